"""The limit of a recurring task's job holds: its runs are blocked, or recorded as discarded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.errors import LimitError, RefusedError
from jobsd.jobs import client, limits
from jobsd.jobs.definition import Job
from jobsd.jobs.limits import Limit
from jobsd.recurring import runs
from jobsd.recurring.runs import PlannedRun
from jobsd.recurring.tasks import RecurringTask

if TYPE_CHECKING:
    from datetime import datetime

    from jobsd.database.connection import Session, Target
    from jobsd.jobs.enqueue import EnqueuedJob
    from rows import Rows

pytestmark = pytest.mark.usefixtures("default_client")

IN_TABLES = (
    "SELECT (SELECT count(*)::int FROM jobsd.ready_executions),"
    " (SELECT count(*)::int FROM jobsd.blocked_executions),"
    " (SELECT count(*)::int FROM jobsd.concurrency_slots)"
)


class ShopLimitedTestJob(Job):
    limits_concurrency = Limit(to=1, key=lambda shop: shop, duration="2m")

    def perform(self, shop: str) -> None:
        """Do nothing."""


class YieldingTestJob(Job):
    limits_concurrency = Limit(to=2, on_conflict="discard")

    def perform(self) -> None:
        """Do nothing."""


class KeylessTestJob(Job):
    limits_concurrency = Limit(key=lambda number: 1 // number)

    def perform(self, number: int) -> None:
        """Do nothing."""


def _task(key: str, class_name: str, **settings: Any) -> RecurringTask:
    return RecurringTask.schedule(key, schedule="@daily", class_name=class_name, **settings)


def _run(key: str) -> EnqueuedJob:
    task = RecurringTask.find_by(key=key)
    assert task is not None
    return task.run_now()


def test_a_run_takes_a_slot_and_the_next_one_waits(rows: Rows) -> None:
    _task("shop", "ShopLimitedTestJob", args=["north"])

    states = [_run("shop").state for _ in range(3)]

    assert states == ["ready", "blocked", "blocked"]
    assert rows(IN_TABLES) == [(1, 2, 1)]


def test_the_job_has_its_limit(rows: Rows) -> None:
    _task("shop", "ShopLimitedTestJob", args=["north"])
    job = _run("shop")

    (row,) = rows(
        "SELECT concurrency_key, concurrency_limit, concurrency_duration::text, on_conflict"
        " FROM jobsd.jobs WHERE id = %s",
        job.id,
    )
    assert row == ("ShopLimitedTestJob/north", 1, "00:02:00", "block")


def test_other_arguments_have_another_limit(rows: Rows) -> None:
    _task("north", "ShopLimitedTestJob", args=["north"])
    _task("south", "ShopLimitedTestJob", args={"shop": "south"})

    assert [_run("north").state, _run("south").state] == ["ready", "ready"]
    assert rows(IN_TABLES) == [(2, 0, 2)]


def test_a_blocked_run_becomes_ready_when_the_slot_is_free(
    rows: Rows, session: Session
) -> None:
    _task("shop", "ShopLimitedTestJob", args=["north"])
    first, second = _run("shop"), _run("shop")

    rows("DELETE FROM jobsd.ready_executions WHERE job_id = %s", first.id)
    rows("DELETE FROM jobsd.concurrency_slots WHERE job_id = %s", first.id)
    limits.promote(session, ["ShopLimitedTestJob/north"])

    assert rows("SELECT job_id FROM jobsd.ready_executions") == [second.id]


@pytest.mark.behaviour(75)
def test_a_run_that_may_not_wait_is_recorded_as_discarded_without_a_job(rows: Rows) -> None:
    task = _task("yield", "YieldingTestJob")

    jobs = [_run("yield") for _ in range(3)]

    assert [job.state for job in jobs] == ["ready", "ready", "discarded"]
    assert jobs[2].id is None
    outcomes = [(run.job_id is None, run.outcome) for run in task.history()]
    assert outcomes == [(True, "discarded"), (False, "ready"), (False, "ready")]
    assert rows("SELECT count(*) FROM jobsd.jobs") == [2]
    assert rows(IN_TABLES) == [(2, 0, 2)]


def test_a_discarded_run_does_not_count(rows: Rows) -> None:
    _task("yield", "YieldingTestJob")

    for _ in range(3):
        _run("yield")

    assert rows("SELECT runs_count FROM jobsd.recurring_tasks") == [2]


def test_limited_and_other_runs_are_stored_together(session: Session, rows: Rows) -> None:
    tasks = [
        _task("shop", "ShopLimitedTestJob", args=["north"]),
        _task("shop too", "ShopLimitedTestJob", args=["north"]),
        _task("plain", "RecurringTestJob"),
        *(_task(f"yield {n}", "YieldingTestJob") for n in range(3)),
    ]
    (now,) = rows("SELECT date_trunc('second', now())")
    stored = runs.store(session, _runs(tasks, now))

    assert [(each.outcome, each.state) for each in stored] == [
        ("enqueued", "ready"),
        ("enqueued", "blocked"),
        ("enqueued", "ready"),
        ("enqueued", "ready"),
        ("enqueued", "ready"),
        ("discarded", "ready"),
    ]


def _runs(tasks: list[RecurringTask], instant: datetime) -> list[PlannedRun]:
    return [PlannedRun(task, instant, runs.draft_of(task)) for task in tasks]


def test_a_run_that_another_process_has_stored_is_left_as_it_is(
    session: Session, rows: Rows
) -> None:
    task = _task("yield", "YieldingTestJob")
    (now,) = rows("SELECT date_trunc('second', now())")
    runs.store(session, _runs([task], now))
    rows("DELETE FROM jobsd.ready_executions")
    rows("DELETE FROM jobsd.jobs")

    (stored,) = runs.store(session, _runs([task], now))

    assert stored.outcome == "taken"
    assert [run.outcome for run in task.history()] == ["cleared"]


def test_a_run_does_not_wait_for_the_lock_of_its_limit(target: Target, rows: Rows) -> None:
    _task("yield", "YieldingTestJob")
    _task("shop", "ShopLimitedTestJob", args=["north"])
    with psycopg.connect(target.url) as other:
        for key in ("YieldingTestJob", "ShopLimitedTestJob/north"):
            other.execute("SELECT pg_advisory_xact_lock(jobsd.limits_lock(%s))", (key,))

        states = [_run("yield").state, _run("shop").state]

    assert states == ["blocked", "blocked"]
    assert rows(IN_TABLES) == [(0, 2, 0)]


def test_runs_that_fail_half_way_leave_nothing(session: Session, rows: Rows) -> None:
    tasks = [_task(f"yield {n}", "YieldingTestJob") for n in range(3)]
    (now,) = rows("SELECT date_trunc('second', now())")
    rows(
        "ALTER TABLE jobsd.recurring_executions ADD CONSTRAINT test_refuses"
        " CHECK (outcome <> 'discarded')"
    )
    try:
        with pytest.raises(psycopg.errors.CheckViolation):
            runs.store(session, _runs(tasks, now))
    finally:
        rows("ALTER TABLE jobsd.recurring_executions DROP CONSTRAINT test_refuses")

    assert rows("SELECT count(*) FROM jobsd.recurring_executions") == [0]
    assert (rows("SELECT count(*) FROM jobsd.jobs"), rows(IN_TABLES)) == ([0], [(0, 0, 0)])


def test_a_key_that_cannot_be_computed_is_a_limit_error() -> None:
    _task("keyless", "KeylessTestJob", args=[0])

    with pytest.raises(LimitError, match="ZeroDivisionError"):
        _run("keyless")


def test_a_run_by_hand_does_not_overlap_with_a_blocked_one() -> None:
    _task("shop", "ShopLimitedTestJob", args=["north"], overlap="skip")
    _run("shop")

    with pytest.raises(RefusedError, match="has not ended"):
        _run("shop")


def test_a_run_deletes_no_other_job_that_may_not_wait_for_its_key(
    session: Session, rows: Rows
) -> None:
    for _ in range(2):
        YieldingTestJob.enqueue()
    due = YieldingTestJob.using(wait=60).enqueue().id
    # As a dispatcher leaves it when it comes due while the lock of its key is held.
    session.connection.execute(
        "WITH gone AS (DELETE FROM jobsd.scheduled_executions RETURNING *)"
        " INSERT INTO jobsd.blocked_executions (job_id, priority, queue_name,"
        " concurrency_key, yields) SELECT job_id, priority, queue_name, concurrency_key, true"
        " FROM gone"
    )
    _task("yield", "YieldingTestJob")

    assert _run("yield").state == "discarded"

    assert rows("SELECT outcome FROM jobsd.jobs WHERE id = %s", due) == ["discarded"]


def test_a_run_that_was_accepted_is_not_deleted_by_an_enqueue(
    target: Target, rows: Rows
) -> None:
    for _ in range(2):
        YieldingTestJob.enqueue()
    _task("yield", "YieldingTestJob")
    with psycopg.connect(target.url) as other:
        other.execute("SELECT pg_advisory_xact_lock(jobsd.limits_lock('YieldingTestJob'))")
        accepted = _run("yield")

    client.enqueue_many([YieldingTestJob.with_args()])

    assert rows("SELECT outcome FROM jobsd.jobs WHERE id = %s", accepted.id) == ["discarded"]
