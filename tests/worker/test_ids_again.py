"""A database that has gone back in time gives ids again: nobody takes another's for its own.

So does a standby that was behind and is promoted, and a backup that is restored. Behind a
transaction pooler a worker may miss it: its connection never breaks.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enqueueing.placed import in_claims
from harness.job_rows import places
from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.states.claims import LOCK_WAIT, STATEMENTS, Ended, conclusion, record_statement
from jobsd.supervisor.recovery.claims import recover
from jobsd.worker.constants import POLL_MAX_S

from .bodies import gate, note, noted, wait_for_gate
from .dead_processes import dead_process

if TYPE_CHECKING:
    from jobsd.database.connection import Session

    from .conftest import Count, Driven, MakeWorker

_SEQUENCES_BEGIN_ANEW = """
SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, 1, false)
FROM pg_sequences
WHERE schemaname = 'jobsd'
"""
_CLAIMS_WERE_NOT_REPLICATED = """
WITH gone AS (DELETE FROM jobsd.claims RETURNING job_ids)
INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
SELECT job.id, job.id + 1000, job.priority, job.queue_name
FROM gone CROSS JOIN LATERAL unnest(job_ids) AS member (id) JOIN jobsd.jobs AS job USING (id)
"""

_NOTHING_WAS_REPLICATED = (
    "DELETE FROM jobsd.claims",
    "DELETE FROM jobsd.jobs",
    "DELETE FROM jobsd.processes",
)


@job(limits_concurrency=Limit(key=lambda key: key))
def held(key: str) -> None:
    noted.append(key)
    assert gate.wait(60)


@pytest.fixture(autouse=True)
def _begins_at_one(session: Session) -> None:
    session.connection.execute(_SEQUENCES_BEGIN_ANEW.encode())


def _go_back(session: Session, *lost: str) -> None:
    """Let the database be as it was before the last transactions, and its sequences too."""
    for statement in (*lost, _SEQUENCES_BEGIN_ANEW):
        session.connection.execute(statement.encode())


def _one_at_a_time(make_worker: MakeWorker, name: str, *, keep: bool = True) -> Driven:
    return make_worker(name, threads=1, prefetch=0, keep=keep)


@pytest.mark.failure(
    "A standby that was behind is promoted; a worker behind a pooler misses it, and another"
    " one's claim could have the id that its own had.",
    "Ids of claims are drawn at random: what it records changes nothing.",
)
@pytest.mark.parametrize("keep", [True, False])
def test_a_worker_that_missed_the_failover_records_no_claim_of_another(
    make_worker: MakeWorker, session: Session, *, keep: bool
) -> None:
    first = wait_for_gate.enqueue("first")
    old = _one_at_a_time(make_worker, "worker-old", keep=keep)
    old.until(lambda: noted)
    second = wait_for_gate.enqueue("second")
    _go_back(session, _CLAIMS_WERE_NOT_REPLICATED)
    new = _one_at_a_time(make_worker, "worker-new", keep=keep)
    new.until(lambda: noted == ["first", "second"])

    gate.set()
    old.until(old.at_rest)

    assert second.id is not None
    assert places(session)[second.id] == "claimed"
    new.drain()
    old.until(lambda: old.at_rest() and noted == ["first", "second", "first"])
    old.drain()
    ended = {first.id: "finished", second.id: "finished"} if keep else {}
    assert places(session) == ended


def test_a_worker_that_missed_the_failover_releases_no_claim_of_another(
    make_worker: MakeWorker, session: Session
) -> None:
    wait_for_gate.enqueue("first")
    old = _one_at_a_time(make_worker, "worker-old")
    old.until(lambda: noted)
    _go_back(session, *_NOTHING_WAS_REPLICATED)
    second = wait_for_gate.enqueue("second")
    new = _one_at_a_time(make_worker, "worker-new")
    new.until(lambda: noted == ["first", "second"])

    old.worker.reconcile_at = 0.0
    old.worker.poll()
    old.worker.farewell()

    assert second.id is not None
    assert places(session)[second.id] == "claimed"
    kept = session.connection.execute("SELECT name FROM jobsd.processes").fetchall()
    assert kept == [("worker-new",)]


@pytest.mark.parametrize("seen", [True, False], ids=["who has seen it", "who has missed it"])
def test_jobs_with_ids_before_the_cursor_are_found(
    make_worker: MakeWorker, session: Session, *, seen: bool
) -> None:
    enqueue_many(note.with_args(i) for i in range(50))
    driven = make_worker("worker-test")
    driven.until(lambda: len(noted) == 50 and driven.at_rest())
    _go_back(session, "DELETE FROM jobsd.jobs")
    again = note.enqueue("again")
    assert again.id == 1

    if seen:
        driven.worker.disconnect()
        driven.worker.connect()
        driven.worker.poll()
        assert places(session)[1] != "ready"
    driven.until(lambda: noted[50:], within_s=POLL_MAX_S + 5)


@pytest.mark.failure(
    "Ids of jobs come again, and a worker that had one of them before is killed.",
    "What the worker remembers is valid in its claim only: a job that ran has crashed, a job"
    " that did not is released",
)
def test_a_job_that_is_killed_did_not_succeed_because_one_of_its_id_did(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    note.enqueue("before")
    driven = _one_at_a_time(make_worker, "worker-test")
    driven.until(lambda: noted and driven.at_rest())
    _go_back(session, *_NOTHING_WAS_REPLICATED[:2])
    again = wait_for_gate.enqueue("again")
    driven.until(lambda: len(noted) == 2)
    entry = driven.context.entry
    assert [each.job_id for each in entry.succeeded()] == [again.id]

    recovered = recover(
        session, dead_process(session, running=entry.running(), succeeded=entry.succeeded())
    )

    assert [job.id for job in recovered.failed] == [again.id]
    assert count("jobs WHERE outcome IS NOT NULL") == 0


def test_a_job_that_was_only_claimed_did_not_run_because_one_of_its_id_did(
    make_worker: MakeWorker, session: Session
) -> None:
    wait_for_gate.enqueue("before")
    driven = make_worker(threads=1, prefetch=2)
    driven.until(lambda: noted)
    _go_back(session, *_NOTHING_WAS_REPLICATED[:2])
    again = wait_for_gate.enqueue("again")
    assert again.id is not None
    driven.until(lambda: again.id in places(session) and in_claims(session, again.id))

    recovered = recover(session, dead_process(session, running=driven.context.entry.running()))

    assert ([job.id for job in recovered.released], recovered.failed) == ([again.id], [])


@pytest.mark.failure(
    "A job is claimed a second time by a worker that does not know yet that the first claim"
    " was taken away.",
    "The end of its first run changes nothing in the second claim",
)
@pytest.mark.parametrize("how", ["record", "conclude"])
def test_a_claim_loses_only_jobs_that_ended_in_it(how: str, session: Session) -> None:
    session.connection.execute(
        "INSERT INTO jobsd.jobs (id, queue_name, class_name)"
        " VALUES (5, 'q', 'x'), (7, 'q', 'x')"
    )
    session.connection.execute(
        "INSERT INTO jobsd.claims (id, process_id, job_ids) VALUES (2, 1, '{5,7}')"
    )

    if how == "record":
        _record(session, [(1, 5), (2, 7)], {1: (1, 0), 2: (2, 1)})
    else:
        ended = [Ended(1, 5, "finished"), Ended(2, 7, "finished")]
        session.fetch(STATEMENTS["conclude"], conclusion(ended, "w", keep=True))

    assert places(session) == {5: "claimed", 7: "finished"}


def _record(
    session: Session, done: list[tuple[int, int]], batches: dict[int, tuple[int, int]]
) -> None:
    parameters = {
        "claim_ids": [claim for claim, _ in done],
        "job_ids": [job for _, job in done],
        "started_us": [0] * len(done),
        "ended_us": [0] * len(done),
        "batch_ids": list(batches),
        "held": [held for held, _ in batches.values()],
        "remaining": [remaining for _, remaining in batches.values()],
        "lock_wait": LOCK_WAIT,
    }
    session.fetch(record_statement(keep=True).with_(STATEMENTS["no_claim"]), parameters)


def test_slots_of_many_keys_have_ids_that_never_come_again(
    make_worker: MakeWorker, session: Session
) -> None:
    found: list[int] = []
    for turn in range(3):
        enqueue_many(held.with_args(f"{turn} {n}") for n in range(5))
        driven = make_worker(f"worker-{turn}", threads=5)
        driven.until(lambda: len(noted) == 5)
        rows = session.connection.execute(
            "SELECT id FROM jobsd.claims WHERE slot IS NOT NULL"
        ).fetchall()
        found += [id_ for (id_,) in rows]
        gate.set()
        driven.drain()
        gate.clear()
        noted.clear()

    assert len(set(found)) == 15
    assert min(found) >= 2**52
