"""When a worker polls by itself, and how often it asks the database at all."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.clock import monotonic
from jobsd.jobs.definition import job
from jobsd.worker.claiming.polling import PollingInterval
from jobsd.worker.constants import POLL_MAX_S, POLL_MIN_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Session

    from .conftest import Count, Driven, MakeWorker

    Rests = Callable[..., list[float]]

_ran: list[object] = []


@job
def note_polling(value: object) -> None:
    _ran.append(value)


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> Rests:
    """How long a interval rests after claims that came back short, if they took no time."""
    now = monotonic()
    monkeypatch.setattr("jobsd.worker.claiming.polling.monotonic", lambda: now)

    def after(interval: PollingInterval, times: int, *, listening: bool = True) -> list[float]:
        found: list[float] = []
        for _ in range(times):
            interval.begin()
            interval.after_short(listening=listening, sweep_at=None)
            found.append(interval.next_poll - now)
        return found

    return after


def test_while_the_idle_registration_is_new_polls_come_at_growing_intervals(
    rests: Rests,
) -> None:
    interval = PollingInterval(0.1)
    rests(interval, 14)

    interval.reset_backoff()
    found = rests(interval, 14)

    assert found[:3] == pytest.approx([POLL_MIN_S, 2 * POLL_MIN_S, 4 * POLL_MIN_S], abs=1e-3)
    assert found[-1] == pytest.approx(POLL_MAX_S, abs=1e-3)


def test_a_job_that_came_by_notification_brings_no_new_polls(rests: Rests) -> None:
    interval = PollingInterval(0.1)
    rests(interval, 14)

    interval.poll_now()

    assert rests(interval, 1) == pytest.approx([POLL_MAX_S], abs=1e-3)


def test_without_notifications_the_polling_interval_rules(rests: Rests) -> None:
    assert rests(PollingInterval(0.1), 2, listening=False) == pytest.approx(
        [0.1, 0.1], abs=1e-3
    )


def test_a_lone_job_costs_two_statements(
    make_worker: MakeWorker, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = make_worker()
    driven.until(lambda: _is_asleep(driven))
    session = driven.worker.session
    asked: list[object] = []
    ways: dict[str, Callable[..., Any]] = {
        "fetch_bound": session.fetch_bound,
        "send_bound": session.send_bound,
        "fetch": session.fetch,
    }

    def note(way: str, *what: object) -> Any:
        asked.append(what)
        return ways[way](*what)

    for way in ways:
        monkeypatch.setattr(session, way, partial(note, way))

    # A claim that a busy machine has held up would be followed by a survey.
    monkeypatch.setattr("jobsd.worker.claiming.selector.HORIZON_S", math.inf)
    # As after ten seconds of sleep: a sweep that was slow has been paid for, too.
    driven.worker.claiming.polling._backoff_s = POLL_MAX_S
    driven.worker.claiming.polling.next_poll = monotonic() + POLL_MAX_S
    driven.worker.claiming.cursor.sweep_allowed_at = 0.0
    # Nor is a search for limited jobs due, then.
    driven.worker.claiming.limited.search.due_at = monotonic() + POLL_MAX_S
    note_polling.enqueue(1)
    driven.until(lambda: count("jobs WHERE outcome = 'finished'") and _is_asleep(driven))

    assert len(asked) == 2


_MAKE_READY = """
WITH gone AS (DELETE FROM jobsd.scheduled_executions RETURNING job_id, priority, queue_name)
INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
SELECT job_id, job_id, priority, queue_name FROM gone
"""


def test_a_job_enqueued_during_the_idle_registration_is_found_at_once(
    make_worker: MakeWorker, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = make_worker()
    driven.until(lambda: _is_asleep(driven))
    worker = driven.worker
    say = worker.claiming.idle.register

    def commit_behind_its_back(row_id: int) -> bool:
        is_new = say(row_id)
        if is_new:
            session.connection.execute(_MAKE_READY)
        return is_new

    # As after a time with many jobs: it is not idle any more, and the pauses were long before.
    worker.claiming.idle.withdraw(worker.process_id)
    worker.claiming.polling._backoff_s = POLL_MAX_S
    # Nothing else finds the job early: the claim is a sweep, no search for limited jobs is due.
    worker.claiming.cursor.reset()
    worker.claiming.limited.search.due_at = math.inf
    worker.claiming.polling.poll_now()
    monkeypatch.setattr(worker.claiming.idle, "register", commit_behind_its_back)
    note_polling.using(wait=3600).enqueue("crossed")

    driven.until(lambda: "crossed" in _ran, within_s=POLL_MAX_S / 2)


def _is_asleep(driven: Driven) -> bool:
    return driven.at_rest() and driven.worker.claiming.polling.next_poll - monotonic() > 1


def test_a_claim_that_was_begun_answers_the_notification_before_it() -> None:
    interval = PollingInterval(60.0)
    interval.poll_now()

    interval.begin()
    interval.after_short(listening=True, sweep_at=None)

    assert not interval.is_due


def test_a_notification_during_a_claim_is_not_forgotten() -> None:
    interval = PollingInterval(60.0)
    interval.begin()
    interval.poll_now()

    interval.after_short(listening=True, sweep_at=None)

    assert interval.is_due
