"""A recurring task whose job has a limit goes through it: blocked, or discarded and told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.errors import LimitError, RefusedError
from jobsd.jobs import client, limits
from jobsd.jobs.definition import Job
from jobsd.jobs.limits import Limit
from jobsd.recurring import occurrences
from jobsd.recurring.occurrences import Run
from jobsd.recurring.tasks import RecurringTask

if TYPE_CHECKING:
    from datetime import datetime

    from jobsd.database.connection import Session, Target
    from jobsd.jobs.enqueue import EnqueuedJob

    from .conftest import Ask

pytestmark = pytest.mark.usefixtures("default_client")

PLACES = (
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


def test_a_run_takes_a_slot_and_the_next_one_waits(ask: Ask) -> None:
    _task("shop", "ShopLimitedTestJob", args=["north"])

    states = [_run("shop").state for _ in range(3)]

    assert states == ["ready", "blocked", "blocked"]
    assert ask(PLACES) == [(1, 2, 1)]


def test_the_job_bears_its_limit(ask: Ask) -> None:
    _task("shop", "ShopLimitedTestJob", args=["north"])
    job = _run("shop")

    (row,) = ask(
        "SELECT concurrency_key, concurrency_limit, concurrency_duration::text, on_conflict"
        " FROM jobsd.jobs WHERE id = %s",
        job.id,
    )
    assert row == ("ShopLimitedTestJob/north", 1, "00:02:00", "block")


def test_arguments_tell_limits_apart(ask: Ask) -> None:
    _task("north", "ShopLimitedTestJob", args=["north"])
    _task("south", "ShopLimitedTestJob", args={"shop": "south"})

    assert [_run("north").state, _run("south").state] == ["ready", "ready"]
    assert ask(PLACES) == [(2, 0, 2)]


def test_a_blocked_run_becomes_ready_when_the_slot_is_free(ask: Ask, session: Session) -> None:
    _task("shop", "ShopLimitedTestJob", args=["north"])
    first, second = _run("shop"), _run("shop")

    ask("DELETE FROM jobsd.ready_executions WHERE job_id = %s", first.id)
    ask("DELETE FROM jobsd.concurrency_slots WHERE job_id = %s", first.id)
    limits.promote(session, ["ShopLimitedTestJob/north"])

    assert ask("SELECT job_id FROM jobsd.ready_executions") == [second.id]


@pytest.mark.behaviour(75)
def test_a_run_that_may_not_wait_is_told_as_discarded_and_leaves_no_job(ask: Ask) -> None:
    task = _task("yield", "YieldingTestJob")

    jobs = [_run("yield") for _ in range(3)]

    assert [job.state for job in jobs] == ["ready", "ready", "discarded"]
    assert jobs[2].id is None
    outcomes = [(run.job_id is None, run.outcome) for run in task.history()]
    assert outcomes == [(True, "discarded"), (False, "ready"), (False, "ready")]
    assert ask("SELECT count(*) FROM jobsd.jobs") == [2]
    assert ask(PLACES) == [(2, 0, 2)]


def test_a_discarded_run_does_not_count(ask: Ask) -> None:
    _task("yield", "YieldingTestJob")

    for _ in range(3):
        _run("yield")

    assert ask("SELECT runs_count FROM jobsd.recurring_tasks") == [2]


def test_limited_and_other_runs_are_stored_together(session: Session, ask: Ask) -> None:
    tasks = [
        _task("shop", "ShopLimitedTestJob", args=["north"]),
        _task("shop too", "ShopLimitedTestJob", args=["north"]),
        _task("plain", "RecurringTestJob"),
        *(_task(f"yield {n}", "YieldingTestJob") for n in range(3)),
    ]
    (now,) = ask("SELECT date_trunc('second', now())")
    fates = occurrences.store(session, _runs(tasks, now))

    told = [(fate.what, fate.state) for fate in fates]
    assert told == [
        ("enqueued", "ready"),
        ("enqueued", "blocked"),
        ("enqueued", "ready"),
        ("enqueued", "ready"),
        ("enqueued", "ready"),
        ("discarded", "ready"),
    ]


def _runs(tasks: list[RecurringTask], instant: datetime) -> list[Run]:
    return [Run(task, instant, occurrences.draft_of(task)) for task in tasks]


def test_a_run_that_somebody_else_has_stored_is_left_as_it_is(
    session: Session, ask: Ask
) -> None:
    task = _task("yield", "YieldingTestJob")
    (now,) = ask("SELECT date_trunc('second', now())")
    occurrences.store(session, _runs([task], now))
    ask("DELETE FROM jobsd.ready_executions")
    ask("DELETE FROM jobsd.jobs")

    (fate,) = occurrences.store(session, _runs([task], now))

    assert fate.what == "taken"
    assert [run.outcome for run in task.history()] == ["cleared"]


def test_a_run_does_not_wait_for_who_holds_the_limit(target: Target, ask: Ask) -> None:
    _task("yield", "YieldingTestJob")
    _task("shop", "ShopLimitedTestJob", args=["north"])
    with psycopg.connect(target.url) as other:
        for key in ("YieldingTestJob", "ShopLimitedTestJob/north"):
            other.execute("SELECT pg_advisory_xact_lock(jobsd.limits_lock(%s))", (key,))

        states = [_run("yield").state, _run("shop").state]

    assert states == ["blocked", "blocked"]
    assert ask(PLACES) == [(0, 2, 0)]


def test_what_fails_half_way_leaves_nothing(session: Session, ask: Ask) -> None:
    tasks = [_task(f"yield {n}", "YieldingTestJob") for n in range(3)]
    (now,) = ask("SELECT date_trunc('second', now())")
    ask(
        "ALTER TABLE jobsd.recurring_executions ADD CONSTRAINT test_refuses"
        " CHECK (outcome <> 'discarded')"
    )
    try:
        with pytest.raises(psycopg.errors.CheckViolation):
            occurrences.store(session, _runs(tasks, now))
    finally:
        ask("ALTER TABLE jobsd.recurring_executions DROP CONSTRAINT test_refuses")

    assert ask("SELECT count(*) FROM jobsd.recurring_executions") == [0]
    assert (ask("SELECT count(*) FROM jobsd.jobs"), ask(PLACES)) == ([0], [(0, 0, 0)])


def test_a_key_that_cannot_be_had_is_an_error_of_ours() -> None:
    _task("keyless", "KeylessTestJob", args=[0])

    with pytest.raises(LimitError, match="ZeroDivisionError"):
        _run("keyless")


def test_a_run_by_hand_overlaps_with_none_that_is_blocked() -> None:
    _task("shop", "ShopLimitedTestJob", args=["north"], overlap="skip")
    _run("shop")

    with pytest.raises(RefusedError, match="has not ended"):
        _run("shop")


def test_a_run_erases_no_other_job_that_may_not_wait_for_its_key(
    session: Session, ask: Ask
) -> None:
    for _ in range(2):
        YieldingTestJob.enqueue()
    due = YieldingTestJob.using(wait=60).enqueue().id
    # As a dispatcher leaves it when it comes due while somebody holds the lock of its key.
    session.connection.execute(
        "WITH gone AS (DELETE FROM jobsd.scheduled_executions RETURNING *)"
        " INSERT INTO jobsd.blocked_executions (job_id, priority, queue_name,"
        " concurrency_key, yields) SELECT job_id, priority, queue_name, concurrency_key, true"
        " FROM gone"
    )
    _task("yield", "YieldingTestJob")

    assert _run("yield").state == "discarded"

    assert ask("SELECT outcome FROM jobsd.jobs WHERE id = %s", due) == ["discarded"]


def test_a_run_that_was_accepted_is_not_erased_by_who_enqueues(
    target: Target, ask: Ask
) -> None:
    for _ in range(2):
        YieldingTestJob.enqueue()
    _task("yield", "YieldingTestJob")
    with psycopg.connect(target.url) as other:
        other.execute("SELECT pg_advisory_xact_lock(jobsd.limits_lock('YieldingTestJob'))")
        accepted = _run("yield")

    client.enqueue_many([YieldingTestJob.with_args()])

    assert ask("SELECT outcome FROM jobsd.jobs WHERE id = %s", accepted.id) == ["discarded"]
