"""The database's clock is known between two readings, and never thought to be ahead."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from psycopg import conninfo

from jobsd.clock import monotonic
from jobsd.scheduler.clock import DatabaseClock

from .conftest import RUNS, task

if TYPE_CHECKING:
    from jobsd.database.connection import Target

    from .conftest import Ask, MakeScheduler

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def _ahead_s(clock: DatabaseClock, instant: datetime) -> float:
    return (clock.now() - instant).total_seconds()


def test_it_goes_on_from_a_reading() -> None:
    clock = DatabaseClock()
    asked = monotonic()

    clock.measure(asked, NOON, asked)

    assert _ahead_s(clock, NOON) == pytest.approx(0, abs=0.05)


def test_a_slow_answer_does_not_make_it_run_ahead() -> None:
    clock = DatabaseClock()
    now = monotonic()

    clock.measure(now - 0.5, NOON, now)

    assert _ahead_s(clock, NOON) == pytest.approx(0, abs=0.05)


def test_the_best_reading_is_kept() -> None:
    clock = DatabaseClock()
    now = monotonic()
    clock.measure(now, NOON, now)

    clock.measure(now - 1, NOON - timedelta(seconds=0.8), now)

    assert _ahead_s(clock, NOON) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_was_set_is_followed(hours: int) -> None:
    clock = DatabaseClock()
    now = monotonic()
    clock.measure(now, NOON, now)

    clock.measure(now, NOON + timedelta(hours=hours), now)

    assert _ahead_s(clock, NOON) == pytest.approx(hours * 3600, abs=0.05)


def test_an_unread_clock_tells_nothing() -> None:
    with pytest.raises(RuntimeError):
        DatabaseClock().now()


@pytest.mark.failure(
    "The clock of a scheduler's host is an hour off.",
    "It plans by the database's clock.",
)
@pytest.mark.parametrize("hours", [-1, 1])
def test_a_host_whose_clock_is_an_hour_off_plans_by_the_databases(
    make_scheduler: MakeScheduler, ask: Ask, target: Target, hours: int
) -> None:
    ask("CREATE SCHEMA IF NOT EXISTS elsewhere")
    ask(
        "CREATE OR REPLACE FUNCTION elsewhere.now() RETURNS timestamptz LANGUAGE sql AS"
        f" $$ SELECT pg_catalog.now() + interval '{hours} hours' $$"
    )
    # Where this function comes before PostgreSQL's own, the database's clock is another.
    url = conninfo.make_conninfo(target.url, options="-csearch_path=elsewhere,pg_catalog")

    driven = make_scheduler(task(), at=replace(target, url=url))
    driven.poll()
    # The defaults of columns keep to PostgreSQL's own.
    ask(
        "UPDATE jobsd.recurring_tasks SET (planned_from, updated_at) = "
        "(elsewhere.now(), elsewhere.now())"
    )
    driven.look()
    driven.until(lambda: ask(RUNS) != [0])

    (late,) = ask(
        "SELECT elsewhere.now() - run_at FROM jobsd.recurring_executions"
        " WHERE job_id IS NOT NULL ORDER BY run_at DESC LIMIT 1"
    )
    assert timedelta(0) <= late < timedelta(seconds=30)
