"""A scheduler's rounds are few, and it comes and goes in order."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobsd.clock import monotonic
from jobsd.scheduler.scheduler import LOOK_MIN_S

from .conftest import HOURLY, OPTIONS, RUNS, task

if TYPE_CHECKING:
    from jobsd.database.connection import Target

    from .conftest import Ask, MakeScheduler


@pytest.fixture
def _standing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a scheduler's clock stand still: a round takes no time."""
    now = monotonic()
    monkeypatch.setattr("jobsd.scheduler.scheduler.monotonic", lambda: now)


@pytest.mark.usefixtures("_standing")
def test_an_idle_scheduler_asks_little(make_scheduler: MakeScheduler) -> None:
    driven = make_scheduler(task(schedule=HOURLY))
    driven.poll()

    rests = [driven.poll() for _ in range(100)]

    assert min(rests) > 4


@pytest.mark.usefixtures("_standing")
def test_edits_that_come_one_after_the_other_are_looked_at_together(
    make_scheduler: MakeScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = make_scheduler(task(schedule=HOURLY))
    driven.poll()
    looks: list[int] = []
    monkeypatch.setattr(driven.scheduler, "_look", lambda: looks.append(1))
    monkeypatch.setattr(driven.scheduler._session, "notifications", lambda: ["recurring"])

    rests = [driven.poll() for _ in range(100)]

    assert (looks, max(rests) <= 2 * LOOK_MIN_S) == ([], True)


@pytest.mark.usefixtures("_standing")
def test_without_wake_ups_the_polling_interval_is_the_rhythm(
    make_scheduler: MakeScheduler, target: Target
) -> None:
    driven = make_scheduler(
        task(schedule=HOURLY),
        options=replace(OPTIONS, polling_interval_s=0.5),
        at=replace(target, wakeups="off"),
    )

    assert 0.4 < driven.poll() <= 0.5


def test_it_says_goodbye(make_scheduler: MakeScheduler, ask: Ask) -> None:
    driven = make_scheduler(task(schedule=HOURLY))
    driven.poll()
    before = ask("SELECT kind FROM jobsd.processes")

    driven.end()

    assert (before, ask("SELECT kind FROM jobsd.processes")) == (["scheduler"], [])


def test_what_is_due_does_not_wait_until_thousands_are_planned(
    make_scheduler: MakeScheduler, ask: Ask
) -> None:
    rare = [task(f"rare {n}", schedule=f"{n % 60} {n // 60} * * *") for n in range(600)]
    driven = make_scheduler(task("often"), task("often too"), *rare)
    driven.poll()
    ask(
        "UPDATE jobsd.recurring_tasks SET planned_from = now() - interval '1.5 s',"
        " updated_at = now()"
    )
    driven.scheduler._look_at = 0.0

    rest_s = driven.scheduler.poll()

    assert ask(RUNS)[0] >= 2
    assert rest_s == 0.0
    assert driven.scheduler.doing().split()[0] != "602"


def test_its_title_names_the_next_task(make_scheduler: MakeScheduler) -> None:
    driven = make_scheduler(task(schedule=HOURLY))

    driven.poll()

    assert driven.scheduler.doing().startswith("1 tasks, next tick at ")


def test_its_title_names_the_day_of_a_task_that_does_not_run_today(
    make_scheduler: MakeScheduler,
) -> None:
    driven = make_scheduler(task(schedule="0 0 29 2 *"))

    driven.poll()

    title = driven.scheduler.doing()
    assert re.fullmatch(r"1 tasks, next tick at \d{4}-02-29 00:00:00 UTC", title)


def test_history_and_heartbeats_are_cleared_past_their_time(
    make_scheduler: MakeScheduler, ask: Ask
) -> None:
    ask(
        "INSERT INTO jobsd.recurring_executions (task_key, run_at)"
        " VALUES ('old', now() - interval '31 days'), ('new', now() - interval '29 days')"
    )
    ask(
        "INSERT INTO jobsd.heartbeat_logs (executed_at, environment, hostname)"
        " VALUES (now() - interval '31 days', 'test', 'old'), (now(), 'test', 'new')"
    )
    driven = make_scheduler()
    driven.poll()

    driven.scheduler._clear_at = 0.0
    driven.poll()

    left = ask("SELECT task_key FROM jobsd.recurring_executions")
    assert (left, ask("SELECT hostname FROM jobsd.heartbeat_logs")) == (["new"], ["new"])
