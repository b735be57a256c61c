"""Runs that a restart has missed, and runs at the start, are enqueued once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from harness.event_recorder import Emitted, names
from jobsd.recurring import runs
from jobsd.recurring.runs import PlannedRun
from jobsd.recurring.tasks import load
from jobsd.scoreboard.scoreboard import Scoreboard

from .conftest import RUNS, amid_s, hourly, task

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from rows import Rows

    from .conftest import MakeScheduler


def _miss(make_scheduler: MakeScheduler, rows: Rows, number: int, **settings: Any) -> None:
    """Start a scheduler after so many runs were missed, none of them just now."""
    interval_s = amid_s()
    missing = task(phrase=f"every: {interval_s}s", **settings)
    before = make_scheduler(missing)
    before.poll()
    before.end()
    rows(
        "UPDATE jobsd.recurring_tasks SET last_run_at = NULL,"
        " planned_from = now() - make_interval(secs => %s)",
        number * interval_s,
    )
    make_scheduler(missing).poll()


@pytest.mark.failure(
    "No scheduler runs for a while.",
    "Missed instants are skipped, run once, or all run, as each task says.",
)
@pytest.mark.behaviour(86)
@pytest.mark.parametrize(("on_missed", "number"), [("skip", 0), ("once", 1), ("all", 3)])
def test_runs_missed_by_a_restart_follow_on_missed(
    make_scheduler: MakeScheduler, rows: Rows, on_missed: str, number: int
) -> None:
    _miss(make_scheduler, rows, 3, on_missed=on_missed)

    assert rows(RUNS) == [number]


@pytest.mark.parametrize(("on_missed", "missed"), [("skip", 3), ("once", 2), ("all", 0)])
def test_the_history_shows_what_did_not_run(
    make_scheduler: MakeScheduler, rows: Rows, on_missed: str, missed: int
) -> None:
    _miss(make_scheduler, rows, 3, on_missed=on_missed)

    assert rows("SELECT missed_count FROM jobsd.recurring_tasks") == [missed]
    found = rows("SELECT count(*) FROM jobsd.recurring_executions WHERE outcome = 'missed'")
    assert found == [missed]


def test_missed_runs_are_reported(
    make_scheduler: MakeScheduler, rows: Rows, emitted: Emitted
) -> None:
    _miss(make_scheduler, rows, 3)

    facts = dict(emitted)["recurring.missed"]
    assert (facts["task"], facts["runs"]) == ("tick", 3)
    assert facts["first"] < facts["last"]


def test_a_gap_is_reported_once(
    make_scheduler: MakeScheduler, rows: Rows, emitted: Emitted
) -> None:
    for _ in range(2):
        _miss(make_scheduler, rows, 3)

    assert names(emitted).count("recurring.missed") == 1


def test_a_new_task_has_missed_nothing(make_scheduler: MakeScheduler, emitted: Emitted) -> None:
    make_scheduler(task(phrase=f"every: {amid_s()}s", on_missed="all")).poll()

    assert "recurring.enqueued" not in names(emitted)


def test_an_instant_that_may_be_cleared_from_the_history_is_not_repeated(
    make_scheduler: MakeScheduler, rows: Rows, session: Session
) -> None:
    make_scheduler(task(phrase=hourly())).poll()
    rows("UPDATE jobsd.recurring_tasks SET last_run_at = now()")
    (row,) = load(session)
    old = datetime.now(UTC) - timedelta(hours=28)

    (stored,) = runs.store(session, [PlannedRun(row, old, runs.draft_of(row))])

    assert (stored.outcome, rows(RUNS)) == ("changed", [0])


# At start.


def test_a_task_may_run_once_more_at_the_start(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    make_scheduler(task("start", phrase=hourly(), run_at_start=True), task("not")).poll()

    assert "start" in rows("SELECT task_key FROM jobsd.recurring_executions")


def test_a_run_at_the_start_follows_the_missed_runs(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    _miss(make_scheduler, rows, 3, on_missed="all", run_at_start=True)

    # One start before the gap, one after it.
    assert rows(RUNS) == [5]


def test_a_replaced_scheduler_does_not_repeat_the_run_at_the_start(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    scoreboard = Scoreboard()
    for _ in range(3):
        driven = make_scheduler(task(phrase=hourly(), run_at_start=True), scoreboard=scoreboard)
        driven.poll()
        driven.end()

    assert rows(RUNS) == [1]


def test_the_successor_of_a_killed_scheduler_does_not_repeat_the_run_at_the_start(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    scoreboard = Scoreboard()
    starting = task(phrase=hourly(), run_at_start=True)
    make_scheduler(starting, scoreboard=scoreboard).poll()
    instant = rows(
        "SELECT extract(epoch FROM run_at) * 1000000 FROM jobsd.recurring_executions"
    )
    scoreboard.ran_at_start = -int(instant[0])

    make_scheduler(starting, scoreboard=scoreboard).poll()

    assert (rows(RUNS), scoreboard.ran_at_start) == ([1], 1)


def test_another_tree_runs_the_task_at_its_own_start(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    for _ in range(2):
        make_scheduler(task(phrase=hourly(), run_at_start=True)).poll()

    assert rows(RUNS) == [2]
