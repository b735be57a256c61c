"""A scheduler polls seldom, and it begins and ends in order."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobsd.clock import monotonic
from jobsd.scheduler.task_loader import CHECK_MIN_S

from .conftest import OPTIONS, RUNS, hourly, task

if TYPE_CHECKING:
    from jobsd.database.connection import Target
    from rows import Rows

    from .conftest import MakeScheduler


@pytest.fixture
def _standing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a scheduler's clock stand still: a poll takes no time."""
    now = monotonic()
    monkeypatch.setattr("jobsd.scheduler.task_loader.monotonic", lambda: now)


@pytest.mark.usefixtures("_standing")
def test_an_idle_scheduler_rests_long(make_scheduler: MakeScheduler) -> None:
    driven = make_scheduler(task(phrase=hourly()))
    driven.poll()

    rests = [driven.poll() for _ in range(100)]

    assert min(rests) > 4


@pytest.mark.usefixtures("_standing")
def test_edits_in_quick_succession_share_a_check(
    make_scheduler: MakeScheduler,
) -> None:
    driven = make_scheduler(task(phrase=hourly()))
    driven.poll()

    rests: list[float] = []
    for _ in range(100):
        driven.scheduler.tasks.request_check()
        rests.append(driven.poll())

    # After a check it would be the 5 s until the next one.
    assert max(rests) == pytest.approx(CHECK_MIN_S)


@pytest.mark.usefixtures("_standing")
def test_without_notifications_it_checks_each_polling_interval(
    make_scheduler: MakeScheduler, target: Target
) -> None:
    driven = make_scheduler(
        task(phrase=hourly()),
        options=replace(OPTIONS, polling_interval_s=0.5),
        at=replace(target, wakeups="off"),
    )

    assert 0.4 < driven.poll() <= 0.5


def test_a_scheduler_that_ends_deletes_its_row(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    driven = make_scheduler(task(phrase=hourly()))
    driven.poll()
    before = rows("SELECT kind FROM jobsd.processes")

    driven.end()

    assert (before, rows("SELECT kind FROM jobsd.processes")) == (["scheduler"], [])


def test_due_runs_do_not_wait_until_thousands_of_tasks_are_planned(
    make_scheduler: MakeScheduler, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobsd.scheduler.task_loader.CHECK_MIN_S", 0.0)
    rare = [task(f"rare {n}", phrase=f"{n % 60} {n // 60} * * *") for n in range(600)]
    driven = make_scheduler(task("often"), task("often too"), *rare)
    driven.poll()
    rows(
        "UPDATE jobsd.recurring_tasks SET planned_from = now() - interval '1.5 s',"
        " updated_at = now()"
    )
    driven.scheduler.tasks.request_check()

    rest_s = driven.poll()

    assert rows(RUNS)[0] >= 2
    assert rest_s == 0.0
    assert driven.scheduler.doing().split()[0] != "602"


def test_its_title_names_the_next_task(make_scheduler: MakeScheduler) -> None:
    driven = make_scheduler(task(phrase=hourly()))

    driven.poll()

    assert driven.scheduler.doing().startswith("1 tasks, next tick at ")


def test_its_title_names_the_day_of_a_task_that_does_not_run_today(
    make_scheduler: MakeScheduler,
) -> None:
    driven = make_scheduler(task(phrase="0 0 29 2 *"))

    driven.poll()

    title = driven.scheduler.doing()
    assert re.fullmatch(r"1 tasks, next tick at \d{4}-02-29 00:00:00 UTC", title)


def test_history_and_heartbeats_are_cleared_past_their_time(
    make_scheduler: MakeScheduler, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobsd.scheduler.scheduler.CLEAR_FIRST_S", 0.0)
    rows(
        "INSERT INTO jobsd.recurring_executions (task_key, run_at)"
        " VALUES ('old', now() - interval '31 days'), ('new', now() - interval '29 days')"
    )
    rows(
        "INSERT INTO jobsd.heartbeat_logs (executed_at, environment, hostname)"
        " VALUES (now() - interval '31 days', 'test', 'old'), (now(), 'test', 'new')"
    )

    make_scheduler().poll()

    left = rows("SELECT task_key FROM jobsd.recurring_executions")
    assert (left, rows("SELECT hostname FROM jobsd.heartbeat_logs")) == (["new"], ["new"])


def test_much_old_history_does_not_wait_for_the_next_hour(
    make_scheduler: MakeScheduler, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobsd.scheduler.scheduler.CLEAR_FIRST_S", 0.0)
    monkeypatch.setattr("jobsd.scheduler.scheduler.CLEAR_MAX", 1)
    rows(
        "INSERT INTO jobsd.recurring_executions (task_key, run_at)"
        " VALUES ('old', now() - interval '40 days'), ('old', now() - interval '41 days')"
    )
    driven = make_scheduler()

    driven.poll()
    left = rows("SELECT count(*) FROM jobsd.recurring_executions")

    assert left == [1]
    driven.until(lambda: rows("SELECT count(*) FROM jobsd.recurring_executions") == [0])
