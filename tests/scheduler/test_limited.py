"""A scheduler's ticks go through the limits of their jobs, and hold nobody up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from jobsd.jobs.definition import Job
from jobsd.jobs.limits import Limit

from .conftest import RUNS, task

if TYPE_CHECKING:
    from jobsd.database.connection import Target

    from .conftest import Ask, MakeScheduler, Told


class BlockedTickTestJob(Job):
    limits_concurrency = Limit(to=1)

    def perform(self) -> None:
        """Do nothing."""


class DiscardedTickTestJob(Job):
    limits_concurrency = Limit(to=1, on_conflict="discard")

    def perform(self) -> None:
        """Do nothing."""


def test_ticks_wait_for_a_slot_of_their_limit(make_scheduler: MakeScheduler, ask: Ask) -> None:
    driven = make_scheduler(task(class_name="BlockedTickTestJob"))

    driven.until(lambda: ask("SELECT count(*) FROM jobsd.blocked_executions") != [0])

    assert ask("SELECT count(*) FROM jobsd.ready_executions") == [1]


def test_a_tick_that_finds_no_slot_is_told(
    make_scheduler: MakeScheduler, ask: Ask, told: Told
) -> None:
    driven = make_scheduler(task(class_name="DiscardedTickTestJob", on_missed="all"))

    driven.until(lambda: "recurring.discarded" in dict(told))

    outcomes = ask("SELECT outcome FROM jobsd.recurring_executions ORDER BY run_at LIMIT 2")
    assert (outcomes, ask("SELECT count(*) FROM jobsd.jobs")) == ([None, "discarded"], [1])


def test_other_tasks_run_while_somebody_holds_a_limit(
    make_scheduler: MakeScheduler, ask: Ask, target: Target
) -> None:
    driven = make_scheduler(task("limited", class_name="BlockedTickTestJob"), task("free"))
    with psycopg.connect(target.url) as other:
        other.execute("SELECT pg_advisory_xact_lock(jobsd.limits_lock('BlockedTickTestJob'))")

        driven.until(lambda: ask(f"{RUNS} AND task_key = 'free'")[0] >= 2)
