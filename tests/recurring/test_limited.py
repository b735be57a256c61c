"""The limit of a recurring task's job holds: its runs are blocked, or recorded as discarded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.errors import LimitError, RefusedError
from jobsd.jobs.definition import Job
from jobsd.jobs.limits import Limit
from jobsd.jobs.unique import Unique
from jobsd.recurring import runs
from jobsd.recurring.runs import PlannedRun
from jobsd.recurring.tasks import RecurringTask
from waiting import Stopwatch

if TYPE_CHECKING:
    from datetime import datetime

    from jobsd.database.connection import Session, Target
    from jobsd.jobs.draft import EnqueuedJob
    from rows import Rows

pytestmark = pytest.mark.usefixtures("default_client")

IN_TABLES = (
    "SELECT (SELECT count(*)::int FROM jobsd.ready_executions),"
    " (SELECT count(*)::int FROM jobsd.blocked_executions)"
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


def test_runs_are_ready_and_wait_in_the_order_of_their_key(rows: Rows) -> None:
    _task("shop", "ShopLimitedTestJob", args=["north"])

    states = [_run("shop").state for _ in range(3)]

    assert states == ["ready", "ready", "ready"]
    assert rows(IN_TABLES) == [(0, 3)]


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
    assert rows("SELECT concurrency_key FROM jobsd.blocked_executions ORDER BY 1") == [
        "ShopLimitedTestJob/north",
        "ShopLimitedTestJob/south",
    ]


@pytest.mark.behaviour(75)
def test_a_run_that_may_not_wait_is_recorded_as_discarded_without_a_job(rows: Rows) -> None:
    task = _task("yield", "YieldingTestJob")

    jobs = [_run("yield") for _ in range(3)]

    assert [job.state for job in jobs] == ["ready", "ready", "discarded"]
    assert jobs[2].id is None
    outcomes = [(run.job_id is None, run.outcome) for run in task.history()]
    assert outcomes == [(True, "discarded"), (False, "ready"), (False, "ready")]
    assert rows("SELECT count(*) FROM jobsd.jobs") == [2]
    assert rows(IN_TABLES) == [(0, 2)]


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

    assert [each.outcome for each in stored] == [*["enqueued"] * 5, "discarded"]


def _runs(tasks: list[RecurringTask], instant: datetime) -> list[PlannedRun]:
    return [PlannedRun(task, instant, runs.draft_of(task)) for task in tasks]


def test_a_run_that_another_process_has_stored_is_left_as_it_is(
    session: Session, rows: Rows
) -> None:
    task = _task("yield", "YieldingTestJob")
    (now,) = rows("SELECT date_trunc('second', now())")
    runs.store(session, _runs([task], now))
    rows("DELETE FROM jobsd.blocked_executions")
    rows("DELETE FROM jobsd.jobs")

    (stored,) = runs.store(session, _runs([task], now))

    assert stored.outcome == "taken"
    assert [run.outcome for run in task.history()] == ["cleared"]


def test_a_run_with_a_blocking_limit_does_not_wait_for_its_key(
    target: Target, rows: Rows
) -> None:
    _task("shop", "ShopLimitedTestJob", args=["north"])
    with psycopg.connect(target.url) as other:
        other.execute("SELECT jobsd.hold_key('ShopLimitedTestJob/north')")

        assert _run("shop").state == "ready"

    assert rows(IN_TABLES) == [(0, 1)]


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
    assert (rows("SELECT count(*) FROM jobsd.jobs"), rows(IN_TABLES)) == ([0], [(0, 0)])


def test_a_key_that_cannot_be_computed_is_a_limit_error() -> None:
    _task("keyless", "KeylessTestJob", args=[0])

    with pytest.raises(LimitError, match="ZeroDivisionError"):
        _run("keyless")


def test_a_run_by_hand_does_not_overlap_with_a_blocked_one() -> None:
    _task("shop", "ShopLimitedTestJob", args=["north"], overlap="skip")
    _run("shop")

    with pytest.raises(RefusedError, match="has not ended"):
        _run("shop")


class OnlyTestJob(Job):
    unique = Unique(key="shop")

    def perform(self, shop: str) -> None:
        """Do nothing."""


def test_a_run_with_a_taken_unique_key_is_recorded_as_discarded(
    session: Session, rows: Rows
) -> None:
    tasks = [_task(key, "OnlyTestJob", args=["north"]) for key in ("one", "two")]
    (now,) = rows("SELECT date_trunc('second', now())")
    stored = runs.store(session, _runs(tasks, now))

    assert [each.outcome for each in stored] == ["enqueued", "discarded"]
    assert OnlyTestJob.enqueue("north").state == "duplicate"
    assert _run("one").state == "discarded"
    assert rows("SELECT count(*) FROM jobsd.jobs") == [1]


def test_a_scheduler_does_not_wait_for_a_held_unique_key(
    target: Target, session: Session, rows: Rows
) -> None:
    task = _task("one", "OnlyTestJob", args=["north"])
    (now,) = rows("SELECT date_trunc('second', now())")
    with psycopg.connect(target.url) as mine:
        OnlyTestJob.using(connection=mine).enqueue("north")
        watch = Stopwatch()
        (stored,) = runs.store(session, _runs([task], now))

        assert watch.took() < 1
    assert stored.outcome == "discarded"
