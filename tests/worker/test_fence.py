"""A worker that was declared dead changes nothing, and a broken connection loses nothing."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.supervisor.recovery.claims import DeadProcess, recover
from waiting import wait_until

from .bodies import gate, noted, wait_for_gate
from .dead_processes import dead_process, terminate

if TYPE_CHECKING:
    from jobsd.database.connection import Session

    from .conftest import Count, MakeWorker


@job
def wait_at_gate(*, fails: bool) -> None:
    noted.append(fails)
    assert gate.wait(60)
    if fails:
        raise ValueError("told to fail")


class SlowError(Exception):
    """Tells what it has to tell only when the gate is open."""

    def __str__(self) -> str:
        assert gate.wait(60)
        return "at last"


@job
def raise_slowly() -> None:
    raise SlowError


@pytest.mark.failure(
    "a worker that was declared dead ends its job",
    "nothing changes: every finish is fenced by its claim",
)
@pytest.mark.behaviour(30)
def test_a_recovered_worker_that_finishes_changes_nothing(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    wait_for_gate.enqueue(1)
    driven = make_worker()
    driven.until(lambda: noted)

    recovered = recover(session, dead_process(session, threads=3))
    gate.set()
    driven.until(driven.at_rest)
    driven.worker.reconcile_at = 0
    driven.worker.poll()

    assert [job.attempt for job in recovered.failed] == [1]
    assert (count("failed_executions"), count("jobs WHERE finished_at IS NULL")) == (1, 1)
    assert count("jobs WHERE attempts = 1") == 1


@pytest.mark.behaviour(22)
def test_claimed_jobs_are_released_and_running_ones_fail(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    enqueue_many(wait_for_gate.with_args(i) for i in range(9))
    driven = make_worker(prefetch=4)
    driven.until(lambda: len(noted) == 3 and count("claimed_executions") > 3)
    claimed = count("claimed_executions")

    running = driven.context.entry.running()
    recovered = recover(session, dead_process(session, running=running))

    assert sorted(one.id for one in recovered.failed) == [each.job_id for each in running]
    assert len(recovered.released) == claimed - 3
    assert (count("ready_executions"), count("attempts"), count("claims")) == (6, 3, 0)
    assert count("jobs WHERE attempts = 0") == 6
    assert count("ready_executions WHERE position = job_id") == 6


def test_an_unrecorded_success_is_recorded_by_the_recovery(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    enqueue_many(wait_for_gate.with_args(i) for i in range(2))
    driven = make_worker()
    driven.until(lambda: len(noted) == 2)
    gate.set()
    entry = driven.context.entry
    while len(entry.succeeded()) < 2:
        pass

    recovered = recover(
        session, dead_process(session, running=entry.running(), succeeded=entry.succeeded())
    )

    assert (len(recovered.finished), entry.running()) == (2, [])
    assert count("jobs WHERE outcome = 'finished' AND attempts = 1") == 2


def test_a_raised_error_is_no_crash_even_while_it_is_described(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    raise_slowly.enqueue()
    driven = make_worker()
    entry = driven.context.entry
    driven.until(entry.endings)

    facts = {"running": entry.running(), "endings": entry.endings()}
    recovered = recover(session, dead_process(session, **facts))
    gate.set()
    driven.until(driven.at_rest)
    driven.worker.poll()

    errors = [one.error["type"] for one in recovered.failed if one.error]
    assert errors == [f"{__name__}.SlowError"]
    assert (count("attempts"), count("failed_executions"), entry.running()) == (1, 1, [])


def test_a_retried_crash_waits_and_an_exhausted_one_has_failed(session: Session) -> None:
    session.connection.execute(
        "INSERT INTO jobsd.jobs (id, queue_name, class_name, max_attempts, attempts,"
        " retries_crash) VALUES (1, 'q', 'x', 3, 0, true), (2, 'q', 'x', 3, 2, true),"
        " (3, 'q', 'x', 3, 0, false)"
    )
    session.connection.execute(
        "INSERT INTO jobsd.claims (process_id, job_ids) VALUES (7, '{1,2,3}')"
    )

    recovered = recover(
        session, DeadProcess(7, "worker-7", {"type": "ProcessExitError"}, threads=3)
    )

    assert ([j.id for j in recovered.retried], sorted(j.id for j in recovered.failed)) == (
        [1],
        [2, 3],
    )
    waits_s = session.connection.execute(
        "SELECT extract(epoch FROM scheduled_at - ended_at)::float8"
        " FROM jobsd.scheduled_executions JOIN jobsd.attempts USING (job_id)"
    ).fetchall()
    assert [wait_s > 2 for (wait_s,) in waits_s] == [True]


def test_claims_that_are_locked_are_left_for_the_next_call_and_no_others(
    session: Session, count: Count
) -> None:
    session.connection.execute(
        "INSERT INTO jobsd.claims (process_id, job_ids) VALUES (7, '{}'), (7, '{}')"
    )
    with psycopg.connect(session.target.url) as other:
        other.execute("SELECT FROM jobsd.claims ORDER BY id LIMIT 1 FOR UPDATE")
        first = recover(session, DeadProcess(7, "worker-7", {}))
        assert count("claims") == 1
    second = recover(session, DeadProcess(7, "worker-7", {}))

    assert (first.complete, second.complete) == (False, True)


@pytest.mark.failure(
    "The connection of a worker breaks while jobs run.",
    "They continue; their outcomes are recorded once, by the next connection",
)
@pytest.mark.behaviour(33, 34)
def test_a_connection_that_breaks_in_mid_run_loses_and_doubles_nothing(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    enqueue_many(wait_for_gate.with_args(i) for i in range(3))
    driven = make_worker()
    driven.until(lambda: len(noted) == 3)

    terminate(session)
    gate.set()
    with pytest.raises(psycopg.OperationalError):
        driven.until(lambda: False)
    driven.worker.disconnect()
    driven.worker.connect()
    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 3)

    assert (len(noted), count("claims"), count("jobs WHERE attempts = 1")) == (3, 0, 3)


@pytest.mark.failure(
    "The connection breaks after a claim was committed and before its answer came.",
    "The worker reads its claims back and releases those that it does not know",
)
def test_a_claim_with_an_unseen_answer_is_released(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    driven = make_worker()
    row_id = driven.worker.process_id
    session.connection.execute(
        "INSERT INTO jobsd.jobs (id, queue_name, class_name) VALUES (5, 'q', 'x');"
    )
    session.connection.execute(
        "INSERT INTO jobsd.claims (process_id, job_ids) VALUES (%s, '{5}')", (row_id,)
    )

    driven.worker.stop()
    driven.worker.disconnect()
    driven.worker.connect()

    assert (count("ready_executions WHERE job_id = 5"), count("claims")) == (1, 0)


@pytest.mark.failure(
    "The connection breaks after an outcome was committed and before its answer came.",
    "The worker finds that it is recorded, and does not record it again",
)
@pytest.mark.behaviour(34)
def test_an_outcome_with_an_unseen_answer_is_not_recorded_twice(
    make_worker: MakeWorker, count: Count
) -> None:
    wait_for_gate.enqueue(1)
    driven = make_worker()
    driven.until(lambda: noted)
    gate.set()
    wait_until(lambda: not driven.worker.pool.in_hand)
    ledger = driven.worker.ledger
    driven.worker._collect()
    before = ({key: set(ids) for key, ids in ledger.claims.items()}, list(ledger._runs))
    driven.until(lambda: count("jobs WHERE outcome = 'finished'"))
    assert (len(before[1]), ledger.has_unrecorded) == (1, False)

    ledger.claims, ledger._runs = before
    driven.worker.disconnect()
    driven.worker.connect()

    assert (ledger.has_unrecorded, count("jobs WHERE attempts = 1")) == (False, 1)


@pytest.mark.behaviour(13)
def test_a_worker_with_a_deleted_row_registers_again_and_forgets_its_claims(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    enqueue_many(wait_for_gate.with_args(i) for i in range(2))
    driven = make_worker()
    driven.until(lambda: len(noted) == 2)
    given = dead_process(session, threads=3)
    recover(session, given)
    session.connection.execute("DELETE FROM jobsd.processes")

    driven.worker.disconnect()
    driven.worker.connect()
    gate.set()
    driven.until(lambda: driven.worker.pool.busy == 0)
    driven.worker.poll()

    assert driven.worker.process_id != given.process_id
    assert (count("failed_executions"), count("jobs WHERE attempts = 1")) == (2, 2)


@pytest.mark.parametrize("fails", [False, True])
def test_a_job_no_longer_in_its_claim_is_not_recorded_with_the_others(
    make_worker: MakeWorker, session: Session, count: Count, *, fails: bool
) -> None:
    first, second = enqueue_many(wait_at_gate.with_args(fails=fails) for _ in range(2))
    driven = make_worker()
    driven.until(lambda: len(noted) == 2)
    session.connection.execute(
        "UPDATE jobsd.claims SET job_ids = array_remove(job_ids, %s)", (first.id,)
    )
    session.connection.execute(
        "INSERT INTO jobsd.claims (process_id, job_ids) VALUES (0, ARRAY[%s::bigint])",
        (first.id,),
    )

    gate.set()
    driven.until(driven.at_rest)

    assert count(f"jobs WHERE attempts = 0 AND outcome IS NULL AND id = {first.id}") == 1
    assert count(f"jobs WHERE attempts = 1 AND id = {second.id}") == 1
    assert count("failed_executions") == int(fails)
    assert count("claimed_executions") == 1
