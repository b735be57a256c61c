"""One dispatcher walks over all jobs, in small statements, and finds those in no table."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from harness.job_rows import make_jobs
from jobsd.clock import monotonic
from jobsd.database.commits import Commits
from jobsd.database.connection import Session
from jobsd.dispatcher import lost_walk
from jobsd.dispatcher.lost_walk import LostWalk
from jobsd.states import lost

if TYPE_CHECKING:
    from harness.event_recorder import EventRecorder
    from jobsd.database.connection import Target

    from .conftest import Make

BATCH = 100


@pytest.fixture(autouse=True)
def _in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_walk, "BATCH", BATCH)
    monkeypatch.setattr(lost_walk, "REST", 0.0)
    monkeypatch.setattr(lost_walk, "REST_MIN_S", 0.0)
    monkeypatch.setattr(lost_walk, "CHECK_S", 0.0)
    monkeypatch.setattr(lost_walk, "START_S", 0.0)


@pytest.fixture
def walked(recorder: EventRecorder) -> list[dict[str, Any]]:
    """The events of walks that have ended."""
    return recorder.facts("jobs.walked")


def _walk(session: Session, walker: int) -> LostWalk:
    walk = LostWalk(Commits(session))
    walk.register(walker)
    return walk


def _steps(walk: LostWalk, times: int) -> None:
    for _ in range(times):
        walk.step()


def _row(session: Session, columns: str) -> tuple[Any, ...]:
    row = session.connection.execute(f"SELECT {columns} FROM jobsd.lost_walk".encode())
    return row.fetchone() or ()


def _change(session: Session, change: str) -> None:
    session.connection.execute(f"UPDATE jobsd.lost_walk SET {change}".encode())


@pytest.mark.failure(
    "A job is in no table: rows were removed by hand, or a defect has lost it.",
    "It is found within a day, at once after an outage or where a fence has refused its end;"
    " `doctor`, `list --state lost` and a metric report it. An operator decides whether it"
    " runs again.",
)
def test_a_dispatcher_finds_lost_jobs_by_itself(make: Make, session: Session) -> None:
    jobs = make_jobs(session, 3 * BATCH)
    session.connection.execute("UPDATE jobsd.jobs SET outcome = 'finished' WHERE id % 3 > 0")
    dispatcher, _ = make()

    for _ in range(10):
        dispatcher.poll()

    assert lost.known(session).jobs == len([job for job in jobs if job % 3 == 0])
    assert _row(session, "after_id, ended_at > began_at") == (None, True)


def test_a_walk_goes_by_small_statements_to_its_end(
    session: Session, walked: list[dict[str, Any]]
) -> None:
    make_jobs(session, 2 * BATCH + 1)
    walk = _walk(session, 1)

    _steps(walk, 3)
    assert walked == []
    _steps(walk, 1)

    assert [facts["jobs"] for facts in walked] == [2 * BATCH + 1]
    assert lost.known(session).jobs == 2 * BATCH + 1


def test_between_two_steps_it_rests_for_a_multiple_of_what_one_took(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_walk, "REST", 1000.0)
    make_jobs(session, 2 * BATCH)
    walk = _walk(session, 1)
    walk.step()

    began = monotonic()
    walk.step()
    took_s = monotonic() - began
    _steps(walk, 5)

    assert walk.next_at - began > took_s * 10
    assert _row(session, "ended_at") == (None,)


def test_of_several_only_one_walks(session: Session, target: Target) -> None:
    make_jobs(session, 3 * BATCH)
    with contextlib.closing(Session(target, "test")) as another:
        first, second = _walk(session, 1), _walk(another, 2)

        for _ in range(3):
            first.step()
            second.step()

    assert _row(session, "walker, ended_at") == (1, None)
    assert lost.known(session).jobs == 2 * BATCH


def test_a_walk_that_was_left_in_the_middle_is_carried_on(
    session: Session, monkeypatch: pytest.MonkeyPatch, walked: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr(lost_walk, "STEP_S", 0.0)
    make_jobs(session, 4 * BATCH)
    dead, follower = _walk(session, 1), _walk(session, 2)
    _steps(dead, 4)
    _steps(follower, 3)
    assert _row(session, "walker") == (1,)

    _change(session, "stepped_at = now() - interval '2 minutes'")
    _steps(follower, 10)
    _steps(dead, 3)

    assert _row(session, "walker, after_id") == (2, None)
    assert [facts["jobs"] for facts in walked] == [2 * BATCH]


@pytest.mark.parametrize(
    "change",
    [
        "ended_at = now() - interval '25 hours', began_at = now() - interval '25 hours'",
        "ended_at = now() + interval '1 hour'",
        "server_started_at = server_started_at - interval '1 hour'",
        "after_id = 0, stepped_at = now() + interval '1 hour'",
    ],
    ids=["a day later", "the clock was ahead", "another server", "a walker of another clock"],
)
def test_a_walk_is_due_when_it_should_be(
    change: str, session: Session, walked: list[dict[str, Any]]
) -> None:
    make_jobs(session, 1)
    walk = _walk(session, 1)
    _steps(walk, 5)
    assert len(walked) == 1

    _change(session, change)
    walk = _walk(session, 2)
    _steps(walk, 5)

    assert len(walked) == 2


def test_after_an_outage_a_walk_is_due_but_not_again_and_again(
    session: Session, walked: list[dict[str, Any]]
) -> None:
    walk = _walk(session, 1)
    _steps(walk, 3)
    _change(session, "began_at = now() - interval '2 hours', ended_at = now() - interval '1 h'")
    walk.break_off()

    _steps(walk, 5)
    assert len(walked) == 1

    _change(session, "began_at = now() - interval '61 min', ended_at = now() - interval '1 h'")
    _steps(walk, 5)
    assert len(walked) == 2


def test_the_end_of_a_walk_forgets_what_is_not_lost_any_more(session: Session) -> None:
    (job,) = make_jobs(session, 1)
    lost.find(Commits(session), [job])
    session.connection.execute(
        "INSERT INTO jobsd.ready_executions SELECT id, id, 0, 'q' FROM jobsd.jobs"
    )

    _steps(_walk(session, 1), 3)

    assert session.connection.execute("SELECT FROM jobsd.lost_jobs").rowcount == 0
