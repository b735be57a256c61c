"""Recurring runs keep to the limits of their jobs, and delay no other task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from jobsd.jobs.definition import Job
from jobsd.jobs.limits import Limit

from .conftest import RUNS, task

if TYPE_CHECKING:
    from harness.event_recorder import Emitted
    from jobsd.database.connection import Target
    from rows import Rows

    from .conftest import MakeScheduler


class BlockedTickTestJob(Job):
    limits_concurrency = Limit(to=1)

    def perform(self) -> None:
        """Do nothing."""


class DiscardedTickTestJob(Job):
    limits_concurrency = Limit(to=1, on_conflict="discard")

    def perform(self) -> None:
        """Do nothing."""


def test_runs_wait_for_a_slot_of_their_limit(make_scheduler: MakeScheduler, rows: Rows) -> None:
    driven = make_scheduler(task(class_name="BlockedTickTestJob"))

    driven.until(lambda: rows("SELECT count(*) FROM jobsd.blocked_executions")[0] > 1)

    keys = rows("SELECT DISTINCT concurrency_key FROM jobsd.blocked_executions")
    assert (keys, rows("SELECT count(*) FROM jobsd.ready_executions")) == (
        ["BlockedTickTestJob"],
        [0],
    )


def test_a_run_without_a_slot_is_reported(
    make_scheduler: MakeScheduler, rows: Rows, emitted: Emitted
) -> None:
    driven = make_scheduler(task(class_name="DiscardedTickTestJob", on_missed="all"))

    driven.until(lambda: "recurring.discarded" in dict(emitted))

    outcomes = rows("SELECT outcome FROM jobsd.recurring_executions ORDER BY run_at LIMIT 2")
    assert (outcomes, rows("SELECT count(*) FROM jobsd.jobs")) == ([None, "discarded"], [1])


def test_other_tasks_run_while_a_limit_is_locked(
    make_scheduler: MakeScheduler, rows: Rows, target: Target
) -> None:
    driven = make_scheduler(task("limited", class_name="BlockedTickTestJob"), task("free"))
    with psycopg.connect(target.url) as other:
        other.execute("SELECT jobsd.hold_key('BlockedTickTestJob')")

        driven.until(lambda: rows(f"{RUNS} AND task_key = 'free'")[0] >= 2)
