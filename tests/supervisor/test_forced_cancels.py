"""A monitor hears of a cancel by force that the job's process can't hear."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from harness.job_rows import claim, make_jobs
from jobsd.clock import monotonic, monotonic_ns
from jobsd.database.connection import Session
from jobsd.processes import registry
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.states.claims import InClaim
from jobsd.supervisor.monitor.forced import NOTICE_S, STUCK_S, ForcedCancels
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Target


@pytest.fixture
def listener(target: Target) -> Iterator[Session]:
    with contextlib.closing(Session(target, "listener", listen=True, topic="kill")) as session:
        session.connection.execute("SELECT 1")
        yield session


def _running(session: Session, jobs: list[int]) -> tuple[Scoreboard, int]:
    """Return a worker's entry that runs the first of these jobs, and their claim."""
    scoreboard = Scoreboard()
    entry = scoreboard.entries[0]
    entry.take("worker", "worker-still")
    entry.row_id = registry.register(
        session, kind="worker", name="worker-still", supervisor_id=0, metadata={}
    )
    claim_id = claim(session, entry.row_id, jobs)
    entry.started(0, jobs[0], claim_id)
    return scoreboard, claim_id


@pytest.mark.failure(
    "A job that holds the interpreter's lock is cancelled by force; notifications don't come.",
    "Its process is found once its loop has not run for two seconds",
)
@pytest.mark.parametrize("listens", [False, True])
def test_without_a_listener_a_stuck_worker_is_found_sooner(
    session: Session, listener: Session, *, listens: bool
) -> None:
    (job_id,) = make_jobs(session, 1)
    scoreboard, _ = _running(session, [job_id])
    session.connection.execute("SELECT jobsd.cancel(%s, true)", (job_id,))
    monitor = ForcedCancels(listener if listens else session, scoreboard, 10.0)
    (entry, *_) = scoreboard.entries
    entry.ticked_ns = monotonic_ns() - 2_500_000_000

    monitor.poll(notified=False)

    # One that is notified may rest for so long.
    assert bool(entry.forced) is not listens


@pytest.mark.parametrize("goes_round", [False, True])
def test_a_worker_without_a_poll_since_the_cancel_is_stuck(
    session: Session, listener: Session, *, goes_round: bool
) -> None:
    first, second = make_jobs(session, 2)
    scoreboard, claim_id = _running(session, [first, second])
    entry = scoreboard.entries[0]
    forced = ForcedCancels(listener, scoreboard, 10.0)
    began = monotonic()
    session.connection.execute("SELECT jobsd.cancel(%s, true)", (first,))

    def is_forced() -> bool:
        if goes_round:
            entry.ticked_ns = monotonic_ns()
        forced.poll(notified=bool(listener.notifications()))
        return bool(entry.forced)

    if goes_round:
        wait_until(lambda: is_forced() or monotonic() - began > 2 * NOTICE_S)
        assert not entry.forced
        return
    entry.ticked_ns = monotonic_ns()
    wait_until(is_forced)
    assert entry.tick_age_s < STUCK_S
    assert entry.forced_job == InClaim(first, claim_id)

    # It ended in time, after all: the next one is not forgotten.
    entry.started(0, second, claim_id)
    session.connection.execute("SELECT jobsd.cancel(%s, true)", (second,))
    entry.ticked_ns = monotonic_ns()
    wait_until(lambda: is_forced() and entry.forced_job == InClaim(second, claim_id))


def test_a_cancel_announced_soon_after_another_one_is_checked_too(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job_id,) = make_jobs(session, 1)
    scoreboard, _ = _running(session, [job_id])
    entry = scoreboard.entries[0]
    began = monotonic_ns()
    now = [began]
    monkeypatch.setattr("jobsd.supervisor.monitor.forced.monotonic_ns", lambda: now[0])
    forced = ForcedCancels(session, scoreboard, 10.0)
    forced.poll(notified=True)
    entry.ticked_ns = began + 100_000_000
    now[0] = began + 500_000_000
    forced.poll(notified=True)
    session.connection.execute("SELECT jobsd.cancel(%s, true)", (job_id,))

    for later_s in (1.1, 1.7):
        now[0] = began + int(later_s * 1e9)
        forced.poll(notified=False)

    assert entry.forced
