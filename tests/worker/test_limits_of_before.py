"""Limits hold beside programs of the version before, and over the step that changes them.

That version gives a job its slot (a row of `concurrency_slots`) when it becomes ready; its rows
in `ready_executions` know no key. What it says to the tables is written out here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from jobs.placed import places
from jobsd.database import migrate as migrating
from jobsd.database import steps as steps_of_program
from jobsd.database.connection import Session, Target
from jobsd.database.migrate import migrate
from jobsd.database.steps import migrations
from jobsd.jobs.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit

from .bodies import gate, noted

if TYPE_CHECKING:
    from .conftest import Count, MakeWorker


@job(name="of_before", limits_concurrency=Limit(group="g", key="k"))
def work(number: int) -> None:
    noted.append(number)
    if number < 0:
        assert gate.wait(20)


_JOB = (
    "INSERT INTO jobsd.jobs (queue_name, class_name, arguments, concurrency_key,"
    " concurrency_limit, on_conflict)"
    " VALUES ('default', 'of_before', jsonb_build_array(%(number)s::int), 'g/k', 1, 'block')"
    " RETURNING id"
)
_READY = (
    f"WITH job AS ({_JOB}), slot AS (INSERT INTO jobsd.concurrency_slots (job_id, number, key)"
    " SELECT id, 1, 'g/k' FROM job)"
    " INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)"
    " SELECT id, id, 0, 'default' FROM job RETURNING job_id"
)
_BLOCKED = (
    f"WITH job AS ({_JOB})"
    " INSERT INTO jobsd.blocked_executions (job_id, priority, queue_name, concurrency_key)"
    " SELECT id, 0, 'default', 'g/k' FROM job RETURNING job_id"
)
_CLAIM = (
    "WITH picked AS (SELECT ctid AS place, job_id FROM jobsd.ready_executions"
    " ORDER BY priority, position LIMIT 500 FOR UPDATE SKIP LOCKED),"
    " taken AS (DELETE FROM jobsd.ready_executions"
    " WHERE ctid = ANY (ARRAY(SELECT place FROM picked)) RETURNING job_id)"
    " INSERT INTO jobsd.claims (process_id, job_ids)"
    " SELECT 1, array_agg(job_id) FROM taken HAVING count(*) > 0 RETURNING job_ids"
)
_CONCLUDE = (
    "WITH gone AS (DELETE FROM jobsd.claims WHERE process_id = 1 RETURNING job_ids),"
    " freed AS (DELETE FROM jobsd.concurrency_slots"
    " WHERE job_id IN (SELECT unnest(job_ids) FROM gone))"
    " UPDATE jobsd.jobs SET outcome = 'finished', finished_at = now()"
    " WHERE id IN (SELECT unnest(job_ids) FROM gone)"
)
_RECOVER = (
    "WITH gone AS (DELETE FROM jobsd.claims WHERE process_id = %s RETURNING job_ids)"
    " INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)"
    " SELECT job.id, job.id, job.priority, job.queue_name"
    " FROM gone JOIN jobsd.jobs AS job ON job.id = ANY (gone.job_ids)"
)


def _one(session: Session, statement: str, number: int) -> int:
    row = session.connection.execute(statement.encode(), {"number": number}).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.failure(
    "Workers of the version before run beside new ones, and claim.",
    "They see no limited job that has no slot in their way of writing it.",
)
@pytest.mark.usefixtures("make_worker")
def test_a_worker_of_before_claims_no_limited_job_of_ours(session: Session) -> None:
    work.enqueue(1)
    enqueue_many(work.with_args(n) for n in range(3))

    assert session.connection.execute(_CLAIM.encode()).fetchall() == []


def test_a_job_with_a_slot_of_before_keeps_others_of_its_key_waiting(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    _one(session, _READY, -1)
    work.enqueue(2)
    driven = make_worker()

    driven.until(lambda: noted == [-1] and count("all_blocked_executions"))
    gate.set()
    driven.until(lambda: noted == [-1, 2] and not count("claims"))

    assert count("concurrency_slots") == 0


def test_a_worker_of_before_that_ends_a_job_hands_its_slot_over(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    held = _one(session, _READY, 1)
    assert session.connection.execute(_CLAIM.encode()).fetchall() == [([held],)]
    work.enqueue(2)
    driven = make_worker()
    driven.until(lambda: count("all_blocked_executions"))

    session.connection.execute(_CONCLUDE.encode())

    driven.until(lambda: noted == [2] and not count("claims"))


def test_what_a_program_of_before_stores_as_blocked_is_met_by_our_workers(
    make_worker: MakeWorker, session: Session
) -> None:
    for number in range(3):
        _one(session, _BLOCKED, number)
    session.connection.execute("SELECT jobsd.admit(ARRAY['g/k'])")

    make_worker().until(lambda: noted == [0, 1, 2])


def test_what_it_stores_and_may_not_wait_is_dropped_where_its_limit_is_reached(
    session: Session,
) -> None:
    with session.connection.transaction():
        for number in range(3):
            _one(session, _BLOCKED, number)
        session.connection.execute("UPDATE jobsd.blocked_executions SET yields = true")
        session.connection.execute("SELECT jobsd.admit(ARRAY['g/k'])")

    assert list(places(session).values()) == ["ready"]


@pytest.mark.failure(
    "A monitor of the version before buries a new worker that held slots.",
    "What it gives back waits for a slot anew, and the slots are handed over.",
)
def test_recovery_by_a_monitor_of_before_leaves_no_job_without_a_slot(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    enqueue_many([work.with_args(-1), work.with_args(2)])
    dead = make_worker("worker-dead")
    dead.until(lambda: noted == [-1])
    process = session.connection.execute("SELECT process_id FROM jobsd.claims").fetchone()
    assert process is not None
    session.connection.execute(_RECOVER.encode(), process)

    assert count("ready_executions") == 0
    assert count("all_ready_executions") >= 1
    make_worker("worker-next").until(lambda: noted == [-1, -1])
    gate.set()


@pytest.mark.usefixtures("make_worker")
def test_a_dispatcher_of_before_finds_who_waits_beside_a_free_slot(
    session: Session, count: Count
) -> None:
    work.enqueue(1)
    session.connection.execute("UPDATE jobsd.blocked_executions SET position = NULL")

    rows = session.connection.execute("SELECT * FROM jobsd.promote(ARRAY['g/k'], true)")

    assert rows.fetchall() == [("g/k", True, 0, 0)]
    assert count("all_ready_executions") == 1


@pytest.fixture
def before(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> Target:
    """Tables of the version before."""
    target = Target(empty_database)
    with monkeypatch.context() as patch:
        steps = tuple(step for step in migrations() if step.version < 17)
        for module in (steps_of_program, migrating):
            patch.setattr(module, "migrations", lambda: steps)
        migrate(target)
    return target


def test_jobs_that_were_blocked_before_the_step_run_in_their_order(
    before: Target, make_worker: MakeWorker
) -> None:
    with psycopg.connect(before.url, autocommit=True) as connection:
        connection.execute(_READY.encode(), {"number": 0})
        for number in range(1, 200):
            connection.execute(_BLOCKED.encode(), {"number": number})

    migrate(before)

    driven = make_worker(target=before)
    driven.until(lambda: len(noted) == 200)
    assert noted == list(range(200))
    driven.worker.stop()
