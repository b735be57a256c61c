"""A job that has recorded its own end holds its slot until its function has returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.clock import monotonic
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.unique import Unique
from jobsd.operations.limits import limit_rows
from jobsd.supervisor.recovery.claims import DeadProcess, recover
from jobsd.worker.ledger import Ledger

from .bodies import gate, noted
from .effects import NOTE, URL

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from rows import Rows

    from .conftest import MakeWorker

pytestmark = pytest.mark.usefixtures("effects")

MARKED = "SELECT job_ids, completed FROM jobsd.claims WHERE concurrency_key IS NOT NULL"
_ERROR = {"type": "ProcessExitError", "message": "it was killed"}
ENDED = "SELECT id FROM jobsd.jobs WHERE outcome = 'finished' ORDER BY id"


def complete() -> None:
    with psycopg.connect(URL[0]) as connection:
        connection.execute(NOTE.encode())
        current_job().complete(connection=connection)


def go_on(n: int) -> None:
    complete()
    noted.append(f"{n} completed")
    assert gate.wait(60)
    noted.append(f"{n} returned")


@job(limits_concurrency=Limit(to=1, key="all"))
def goes_on(n: int) -> None:
    go_on(n)


@job(limits_concurrency=Limit(to=1, key="all", group="drops", on_conflict="discard"))
def goes_on_alone(n: int) -> None:
    go_on(n)


@job(unique=Unique(until="finished", key="all"))
def unique_goes_on(n: int) -> None:
    go_on(n)


@job(limits_concurrency=Limit(to=1, key="all"))
def raises_afterwards() -> None:
    complete()
    raise LookupError("after the commit")


def _completed() -> bool:
    return "1 completed" in noted


@pytest.mark.failure(
    "A job with a limit goes on after the transaction in which it has completed itself.",
    "Its slot stays held until its function has returned; then the next job of the key begins.",
)
def test_the_next_of_a_key_begins_when_the_function_has_returned(
    make_worker: MakeWorker, rows: Rows, session: Session
) -> None:
    worker = make_worker(threads=3)
    other = make_worker(threads=3, name="other")
    ids = [goes_on.enqueue(n).id for n in (1, 2)]
    worker.until(_completed)

    other.until(lambda: rows("SELECT position FROM jobsd.blocked_executions") == [None])
    worker.worker.reconcile_at = 0.0
    rounds = iter(range(20))
    worker.until(lambda: next(rounds, None) is None)

    assert noted == ["1 completed"]
    assert rows("SELECT outcome FROM jobsd.jobs ORDER BY id") == ["finished", None]
    assert rows(MARKED) == [([], ids[0])]
    assert [(row["held"], row["holders"]) for row in limit_rows(session)] == [(1, [ids[0]])]
    gate.set()
    worker.until(lambda: rows(ENDED) == ids and not rows("SELECT 1 FROM jobsd.claims"))
    assert noted == ["1 completed", "1 returned", "2 completed", "2 returned"]
    assert worker.context.entry.queue("default").outcome("finished") == 2
    assert worker.context.entry.claims_lost == 0


@pytest.mark.parametrize("runs", [True, False])
def test_a_completed_claim_is_ours_until_its_function_has_returned(
    session: Session, rows: Rows, *, runs: bool
) -> None:
    """Where the statement that removes it has not come through, it is not given back."""
    ledger = Ledger("worker-test", keep=True)
    job = ClaimedJob(7, 5, "completes", "[]", "mail", 0, 1, 0.0, "key", 0, 1)
    ledger.add_series(7, [job], "key", monotonic())
    ledger.completing.add(7)
    if not runs:
        ledger.settle(7)
    rows(
        "INSERT INTO jobsd.claims (id, process_id, job_ids, completed, concurrency_key, slot)"
        " VALUES (7, 3, '{}', 5, 'key', 1)"
    )

    assert ledger.reconcile(session, 3) == ([], {})

    assert ledger.holds(job) is runs
    assert ledger.keys == ({"key"} if runs else set())


def test_the_slot_of_a_job_that_raises_after_the_commit_is_handed_over(
    make_worker: MakeWorker, rows: Rows
) -> None:
    worker = make_worker(threads=1)
    ids = [raises_afterwards.enqueue().id for _ in range(3)]

    worker.until(lambda: rows(ENDED) == ids)
    worker.until(lambda: not rows("SELECT 1 FROM jobsd.claims"))


def test_a_discarding_limit_finds_no_slot_while_the_function_runs(
    make_worker: MakeWorker, rows: Rows
) -> None:
    worker = make_worker(threads=1)
    goes_on_alone.enqueue(1)
    worker.until(_completed)

    assert goes_on_alone.enqueue(2).state == "discarded"

    gate.set()
    worker.until(lambda: not rows("SELECT 1 FROM jobsd.claims"))
    assert goes_on_alone.enqueue(3).state != "discarded"


def test_the_unique_key_is_free_with_the_commit(make_worker: MakeWorker) -> None:
    worker = make_worker(threads=1)
    first = unique_goes_on.enqueue(1)
    worker.until(_completed)

    second = unique_goes_on.enqueue(2)

    assert second.state == "ready"
    assert second.id != first.id
    gate.set()
    worker.until(lambda: "2 returned" in noted)


@pytest.mark.failure(
    "The process of a job dies after the transaction in which the job has completed itself.",
    "A recovery removes its claim, hands its slot over, and does not run it again.",
)
@pytest.mark.parametrize("keep", [True, False])
def test_a_recovery_frees_the_slot_and_never_runs_the_job_again(
    make_worker: MakeWorker, rows: Rows, session: Session, *, keep: bool
) -> None:
    worker = make_worker(threads=1, keep=keep)
    first = goes_on.enqueue(1)
    second = goes_on.enqueue(2)
    worker.until(_completed)
    rows(
        "INSERT INTO jobsd.attempts (job_id, attempt, ended_at, log)"
        " VALUES (%s, 1, now(), 'x')",
        first.id,
    )
    rows("UPDATE jobsd.blocked_executions SET position = NULL")
    (process_id,) = rows("SELECT process_id FROM jobsd.claims")
    dead = DeadProcess(
        process_id, "worker", {"type": "X", "message": "dead"}, threads=3, keep=keep
    )

    recovered = recover(session, dead)

    assert recovered.complete
    assert not recovered.failed
    assert not recovered.retried
    assert not recovered.released
    assert rows("SELECT 1 FROM jobsd.claims") == []
    assert rows("SELECT id, outcome FROM jobsd.jobs WHERE id = %s", first.id) == (
        [(first.id, "finished")] if keep else []
    )
    assert rows("SELECT count(*) FROM jobsd.attempts") == [int(keep)]
    assert rows("SELECT job_id FROM jobsd.blocked_executions WHERE position IS NOT NULL") == [
        second.id
    ]
    gate.set()
    worker.until(lambda: noted.count("2 returned") == 1)
    assert noted.count("1 returned") == 1


def test_a_slot_stays_held_while_its_transaction_is_open(
    make_worker: MakeWorker, rows: Rows, session: Session
) -> None:
    worker = make_worker(threads=1)
    goes_on.enqueue(1)
    worker.until(_completed)
    (process_id,) = rows("SELECT process_id FROM jobsd.claims")
    dead = DeadProcess(process_id, "worker", _ERROR)
    with psycopg.connect(URL[0]) as holder:
        holder.execute("SELECT FROM jobsd.claims FOR NO KEY UPDATE")

        assert not recover(session, dead).complete

    assert rows("SELECT cardinality(job_ids) FROM jobsd.claims") == [0]
    gate.set()
    worker.until(lambda: not rows("SELECT 1 FROM jobsd.claims"))
