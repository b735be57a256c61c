"""A worker that stood still neither starts nor claims before it knows what is its own."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import errors

from jobsd.clock import monotonic, monotonic_ns
from jobsd.database.connection import Session
from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.performing.pool import Pool
from jobsd.processes import registry
from jobsd.supervisor.recovery.claims import SeenHeartbeat, recover
from waiting import Stopwatch, let_pass, wait_until

from .bodies import gate, note, noted, wait_for_gate
from .dead_processes import dead_process

if TYPE_CHECKING:
    from jobsd.database.connection import Target
    from jobsd.database.statements import Statement
    from jobsd.performing.hand import Hand
    from jobsd.performing.series import Waiting

    from .conftest import Count, MakeWorker


@pytest.mark.failure(
    "A worker stands still between its claim and the start of the jobs.",
    "It checks that they are still its own before it starts any",
)
def test_a_worker_that_stood_still_starts_nothing_that_was_given_to_others(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    enqueue_many(wait_for_gate.with_args(i) for i in range(3))
    driven = make_worker(threads=1, prefetch=5, trust_s=0.2)
    driven.until(lambda: len(noted) == 1 and driven.worker.pool.waiting == 2)
    recover(session, dead_process(session, threads=1))
    session.connection.execute("DELETE FROM jobsd.ready_executions")
    stood_still_until = monotonic() + 0.3
    while monotonic() < stood_still_until:
        assert not gate.wait(0.05)

    gate.set()
    driven.until(lambda: not driven.worker.pool.uncollected)

    assert (len(noted), count("jobs WHERE outcome = 'finished'")) == (1, 0)


def test_a_worker_that_stood_still_continues_with_its_own_jobs(
    make_worker: MakeWorker, count: Count
) -> None:
    enqueue_many(wait_for_gate.with_args(i) for i in range(3))
    driven = make_worker(threads=1, prefetch=5, trust_s=0.2)
    driven.until(lambda: len(noted) == 1 and driven.worker.pool.waiting == 2)
    stood_still_until = monotonic() + 0.3
    while monotonic() < stood_still_until:
        assert not gate.wait(0.05)

    gate.set()
    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 3)

    assert sorted(map(str, noted)) == ["0", "1", "2"]


def test_a_worker_that_stood_still_beats_before_it_claims(
    make_worker: MakeWorker, session: Session
) -> None:
    driven = make_worker(trust_s=0.2)
    driven.until(driven.at_rest)
    session.connection.execute("UPDATE jobsd.processes SET last_heartbeat_at = '2000-01-01'")
    let_pass(0.3)
    note.enqueue(1)

    driven.until(lambda: noted)

    (worker,) = registry.processes(session)
    assert worker.heartbeat_age_s < 60


@pytest.mark.failure(
    "The heartbeat of a working worker is not written, because its monitor hangs.",
    "It writes its heartbeat itself before it claims, and is not pruned.",
)
def test_a_worker_without_a_written_heartbeat_beats_before_it_claims(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    driven = make_worker(trust_s=0.3)
    watch = Stopwatch()
    driven.until(lambda: watch.over(0.1))
    seen = _age_heart(session)
    # It may have beaten just before, and late, on a busy machine.
    aged = Stopwatch()
    # It never stands still, and is at it again and again.
    driven.until(lambda: aged.over(0.3))
    wait_for_gate.enqueue(1)
    driven.until(lambda: noted)

    recovered = recover(
        session, dead_process(session, threads=1, seen=SeenHeartbeat(seen, 30.0))
    )
    gate.set()
    driven.until(driven.at_rest)

    assert recovered.alive
    assert count("jobs WHERE outcome = 'finished' AND attempts = 1") == 1


def test_a_worker_with_a_written_heartbeat_claims_without_beating(
    make_worker: MakeWorker, session: Session
) -> None:
    driven = make_worker(trust_s=0.3)
    watch = Stopwatch()
    driven.until(lambda: watch.over(0.1))
    seen = _age_heart(session)

    def written(when_s: float) -> bool:
        # For longer than until the round comes: a busy machine may hold that up.
        driven.context.entry.heartbeat_ns = monotonic_ns() + 10**10
        return watch.over(when_s)

    driven.until(lambda: written(0.4))
    note.enqueue(1)
    driven.until(lambda: written(0) and noted)

    row = session.connection.execute(_HEART).fetchone()
    assert row == (seen,)


def test_a_job_taken_by_a_thread_before_a_standstill_keeps_its_age(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, go_on = threading.Event(), threading.Event()
    take_next = Pool._next

    def stand_still(self: Pool, number: int, hand: Hand) -> Waiting | None:
        found = take_next(self, number, hand)
        taken.set()
        assert go_on.wait(60)
        return found

    monkeypatch.setattr(Pool, "_next", stand_still)
    pool = make_worker(threads=1, trust_s=0.1).worker.pool
    old, new = _claimed(1), _claimed(2)
    pool.post([old], monotonic() - 0.2, 0, lambda _: (0, 0))
    assert taken.wait(60)
    pool.post([new], monotonic() + 10, 0, lambda _: (0, 0))
    go_on.set()
    wait_until(lambda: pool.in_hand == 1)
    doubted: list[ClaimedJob] = []

    def note_doubt(job: ClaimedJob) -> bool:
        doubted.append(job)
        return False

    pool.verify(note_doubt, monotonic())

    assert doubted == [old]


@pytest.mark.failure(
    "A monitor hangs while it prunes a process, with the row locked.",
    "The server ends that transaction after two seconds; the heartbeat can be written again.",
)
def test_a_standstill_during_a_prune_blocks_no_heartbeat(
    make_worker: MakeWorker, session: Session, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = make_worker()
    driven.until(driven.at_rest)
    seen = _age_heart(session)
    fetch, beats = Session.fetch, Session(target, "beats")

    def stand_still(self: Session, statement: Statement, *args: Any) -> Any:
        rows = fetch(self, statement, *args)
        if statement.name == "recover":
            # It returns when the lock on the row is gone.
            _age_heart(beats)
            fetch(self, registry.STATEMENTS["all"])
        return rows

    monkeypatch.setattr(Session, "fetch", stand_still)
    with pytest.raises(errors.IdleInTransactionSessionTimeout):
        recover(session, dead_process(session, threads=1, seen=SeenHeartbeat(seen, 30.0)))
    beats.close()


def _claimed(job_id: int) -> ClaimedJob:
    return ClaimedJob(1, job_id, "nobody.knows", "[]", "default", 0, 1, 0.0, None, 0, job_id)


_HEART = b"SELECT extract(epoch FROM last_heartbeat_at)::float8 FROM jobsd.processes"


def _age_heart(session: Session) -> float:
    """Let the worker's heartbeat be an hour old; return it in seconds since the epoch."""
    set_back = b"UPDATE jobsd.processes SET last_heartbeat_at = now() - interval '1 h'"
    session.connection.execute(set_back)
    row = session.connection.execute(_HEART).fetchone()
    assert row is not None
    return float(row[0])
