"""When a worker looks by itself, and how often it asks the database at all."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.clock import monotonic
from jobsd.jobs.definition import job
from jobsd.worker.rhythm import LOOK_MAX_S, LOOK_MIN_S, Rhythm

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Session
    from jobsd.database.statements import Statement

    from .conftest import Count, Driven, MakeWorker

    Rests = Callable[..., list[float]]

_ran: list[object] = []


@job
def note_rhythm(value: object) -> None:
    _ran.append(value)


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> Rests:
    """How long a rhythm rests after claims that came back short, if they took no time."""
    now = monotonic()
    monkeypatch.setattr("jobsd.worker.rhythm.monotonic", lambda: now)

    def after(rhythm: Rhythm, times: int, *, listening: bool = True) -> list[float]:
        found: list[float] = []
        for _ in range(times):
            rhythm.after_short(listening=listening, again_at=None)
            found.append(rhythm.next_look - now)
        return found

    return after


def test_while_the_wish_to_be_woken_is_new_looks_come_at_growing_intervals(
    rests: Rests,
) -> None:
    rhythm = Rhythm(0.1)
    rests(rhythm, 14)

    rhythm.wish_is_new()
    found = rests(rhythm, 14)

    assert found[:3] == pytest.approx([LOOK_MIN_S, 2 * LOOK_MIN_S, 4 * LOOK_MIN_S], abs=1e-3)
    assert found[-1] == pytest.approx(LOOK_MAX_S, abs=1e-3)


def test_a_job_that_came_by_notification_brings_no_new_looks(rests: Rests) -> None:
    rhythm = Rhythm(0.1)
    rests(rhythm, 14)

    rhythm.look_now()

    assert rests(rhythm, 1) == pytest.approx([LOOK_MAX_S], abs=1e-3)


def test_without_notifications_the_polling_interval_rules(rests: Rests) -> None:
    assert rests(Rhythm(0.1), 2, listening=False) == pytest.approx([0.1, 0.1], abs=1e-3)


def test_a_lone_job_costs_two_statements(
    make_worker: MakeWorker, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = make_worker()
    driven.until(lambda: _is_asleep(driven))
    session = driven.worker._session
    asked: list[Statement] = []
    ways: dict[str, Callable[..., list[Any]]] = {
        "fetch_prepared": session.fetch_prepared,
        "fetch": session.fetch,
    }

    def note(way: str, statement: Statement, parameters: dict[str, Any]) -> list[Any]:
        asked.append(statement)
        return ways[way](statement, parameters)

    for way in ways:
        monkeypatch.setattr(session, way, partial(note, way))

    # A claim that a busy machine has held up would be followed by a survey.
    monkeypatch.setattr("jobsd.worker.choice.SLOW_S", math.inf)
    # As after ten seconds of sleep: a sweep that was slow has been paid for, too.
    driven.worker._rhythm._interval_s = LOOK_MAX_S
    driven.worker._rhythm.next_look = monotonic() + LOOK_MAX_S
    driven.worker._places._sweep_allowed_at = 0.0
    note_rhythm.enqueue(1)
    driven.until(lambda: count("jobs WHERE outcome = 'finished'") and _is_asleep(driven))

    assert len(asked) == 2


_MAKE_READY = """
WITH gone AS (DELETE FROM jobsd.scheduled_executions RETURNING job_id, priority, queue_name)
INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
SELECT job_id, job_id, priority, queue_name FROM gone
"""


def test_a_job_whose_enqueuer_had_seen_nobody_idle_is_found_at_once(
    make_worker: MakeWorker, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = make_worker()
    driven.until(lambda: _is_asleep(driven))
    worker = driven.worker
    say = worker._sleeper.sleep

    def commit_behind_its_back(row_id: int) -> bool:
        is_new = say(row_id)
        if is_new:
            session.connection.execute(_MAKE_READY)
        return is_new

    # As after a time with many jobs: it is not idle any more, and the pauses were long before.
    worker._sleeper.rise(worker._row_id)
    worker._rhythm._interval_s = LOOK_MAX_S
    # Nothing else finds the job early: the claim is a sweep, no look for limited jobs is due.
    worker._places.forget()
    worker._limited.next_at = math.inf
    worker._rhythm.look_now()
    monkeypatch.setattr(worker._sleeper, "sleep", commit_behind_its_back)
    note_rhythm.using(wait=3600).enqueue("crossed")

    driven.until(lambda: "crossed" in _ran, within_s=LOOK_MAX_S / 2)


def _is_asleep(driven: Driven) -> bool:
    return driven.at_rest() and driven.worker._rhythm.next_look - monotonic() > 1
