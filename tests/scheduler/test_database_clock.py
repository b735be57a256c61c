"""The database's clock is known between two readings, and never taken to be ahead."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import conninfo

from jobsd.clock import monotonic
from jobsd.scheduler.database_clock import DatabaseClock
from jobsd.scheduler.timetable import Timetable

from .conftest import RUNS, task
from .test_timetable import ROW, START

if TYPE_CHECKING:
    from harness.event_recorder import Emitted
    from jobsd.database.connection import Target
    from rows import Rows

    from .conftest import Driven, MakeScheduler

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> float:
    """This machine's clock, which stands still."""
    moment = monotonic()
    monkeypatch.setattr("jobsd.scheduler.database_clock.monotonic", lambda: moment)
    return moment


def _ahead_s(clock: DatabaseClock, instant: datetime) -> float:
    return (clock.now() - instant).total_seconds()


def test_the_clock_goes_on_from_a_reading(now: float) -> None:
    clock = DatabaseClock()

    clock.measure(now - 7, NOON, now - 7)

    assert _ahead_s(clock, NOON) == pytest.approx(7, abs=0.001)


def test_a_slow_answer_does_not_set_the_clock_ahead(now: float) -> None:
    clock = DatabaseClock()

    clock.measure(now - 0.5, NOON, now)

    assert _ahead_s(clock, NOON) == pytest.approx(0, abs=0.001)


def test_the_best_reading_is_kept(now: float) -> None:
    clock = DatabaseClock()
    clock.measure(now, NOON, now)

    clock.measure(now - 1, NOON - timedelta(seconds=0.8), now)

    assert _ahead_s(clock, NOON) == pytest.approx(0, abs=0.001)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_was_set_is_followed(hours: int, now: float) -> None:
    clock = DatabaseClock()
    clock.measure(now, NOON, now)

    clock.measure(now, NOON + timedelta(hours=hours), now)

    assert _ahead_s(clock, NOON) == pytest.approx(hours * 3600, abs=0.001)


@pytest.mark.parametrize(("reading_s", "put_back_s"), [(-3600, 3599), (-0.5, 0), (3600, 0)])
def test_it_is_known_by_how_much_the_clock_was_put_back_at_least(
    reading_s: float, put_back_s: int
) -> None:
    clock = DatabaseClock()
    now = monotonic()
    clock.measure(now, NOON, now)

    found = clock.measure(now - 1, NOON + timedelta(seconds=reading_s), now)

    assert found == pytest.approx(put_back_s, abs=0.001)


def test_a_clock_without_a_reading_has_no_time() -> None:
    with pytest.raises(RuntimeError):
        DatabaseClock().now()


@pytest.mark.parametrize(("ahead_s", "next_s"), [(9, 10), (11, 1)])
@pytest.mark.parametrize("column", ["last_run_at", "planned_from"])
def test_an_instant_ahead_of_the_clock_counts_as_far_as_a_reading_may_be_old(
    column: str, ahead_s: int, next_s: int
) -> None:
    columns: dict[str, Any] = {column: START + timedelta(seconds=ahead_s)}
    timetable = Timetable()

    timetable.plan(replace(ROW, **columns), START)

    assert timetable.next_run == (START + timedelta(seconds=next_s), "tick")


def _set_clock(rows: Rows, ahead: str) -> None:
    rows("CREATE SCHEMA IF NOT EXISTS elsewhere")
    rows(
        "CREATE OR REPLACE FUNCTION elsewhere.now() RETURNS timestamptz LANGUAGE sql AS"
        f" $$ SELECT pg_catalog.now() + interval '{ahead}' $$"
    )


def _elsewhere(target: Target) -> Target:
    """Return where that function comes before PostgreSQL's own: the clock is another."""
    options = "-csearch_path=elsewhere,pg_catalog"
    return replace(target, url=conninfo.make_conninfo(target.url, options=options))


@pytest.mark.failure(
    "The clock of a scheduler's host is an hour off.",
    "It plans by the database's clock.",
)
@pytest.mark.parametrize("hours", [-1, 1])
def test_a_host_with_a_clock_an_hour_off_plans_by_the_databases(
    make_scheduler: MakeScheduler, rows: Rows, target: Target, hours: int
) -> None:
    _set_clock(rows, f"{hours} hours")

    driven = make_scheduler(task(), at=_elsewhere(target))
    driven.poll()
    # The defaults of columns keep to PostgreSQL's own.
    rows(
        "UPDATE jobsd.recurring_tasks SET (planned_from, updated_at) = "
        "(elsewhere.now(), elsewhere.now())"
    )
    driven.check()
    driven.until(lambda: rows(RUNS) != [0])

    (late,) = rows(
        "SELECT elsewhere.now() - run_at FROM jobsd.recurring_executions"
        " WHERE job_id IS NOT NULL ORDER BY run_at DESC LIMIT 1"
    )
    assert timedelta(0) <= late < timedelta(seconds=30)


_AHEAD = "SELECT EXISTS (SELECT FROM jobsd.recurring_tasks WHERE last_run_at > now() + '1 day')"
_RIGHT = f"{RUNS} AND run_at BETWEEN %s AND now()"


def _run_ahead(make_scheduler: MakeScheduler, rows: Rows, target: Target) -> Driven:
    """Return a scheduler that has run its task while the server was a month ahead."""
    driven = make_scheduler(task(), at=_elsewhere(target))
    _set_clock(rows, "0")
    driven.until(lambda: rows(RUNS) != [0])
    _set_clock(rows, "30 days")
    driven.check()
    driven.until(lambda: rows(_AHEAD) == [True])
    return driven


@pytest.mark.failure(
    "The clock of the server jumps ahead by a month, and back.",
    "Recurring tasks continue from the right time, and the change of the clock is reported",
)
@pytest.mark.parametrize("fresh", [False, True], ids=["the same scheduler", "a new one"])
def test_tasks_go_on_when_the_servers_clock_was_ahead_and_is_put_back(
    make_scheduler: MakeScheduler, rows: Rows, target: Target, emitted: Emitted, *, fresh: bool
) -> None:
    driven = _run_ahead(make_scheduler, rows, target)
    _set_clock(rows, "0")
    (back,) = rows("SELECT now()")
    if fresh:
        driven.end()
        driven = make_scheduler(task(), at=_elsewhere(target))

    driven.check()
    driven.until(lambda: rows(_RIGHT, back)[0] >= 2)

    seconds = [
        facts["seconds"] for name, facts in emitted if name == "recurring.clock_put_back"
    ]
    assert [round(put_back_s / 86400) for put_back_s in seconds] == ([] if fresh else [30])
