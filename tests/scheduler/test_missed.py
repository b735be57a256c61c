"""What was missed over a restart, and what runs at a start, is settled once."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.processes.scoreboard import Scoreboard
from jobsd.recurring import occurrences
from jobsd.recurring.tasks import load

from .conftest import HOURLY, RUNS, task

if TYPE_CHECKING:
    from .conftest import Ask, MakeScheduler, Told


def _amid_s() -> int:
    """Return an interval, counted from the epoch, of which about a half has passed now."""
    now_s = int(time.time())
    return next(s for s in range(7200, 8000) if 0.3 < now_s % s / s < 0.7)


def _names(told: Told) -> list[str]:
    return [name for name, _ in told]


def _miss(make_scheduler: MakeScheduler, ask: Ask, runs: int, **settings: Any) -> None:
    """Start a scheduler after so many runs were missed, none of them just now."""
    interval_s = _amid_s()
    missing = task(schedule=f"every: {interval_s}s", **settings)
    before = make_scheduler(missing)
    before.poll()
    before.end()
    ask(
        "UPDATE jobsd.recurring_tasks SET last_run_at = NULL,"
        " planned_from = now() - make_interval(secs => %s)",
        runs * interval_s,
    )
    make_scheduler(missing).poll()


@pytest.mark.failure(
    "No scheduler runs for a while.",
    "Missed instants are skipped, run once, or all run, as each task says.",
)
@pytest.mark.behaviour(86)
@pytest.mark.parametrize(("on_missed", "runs"), [("skip", 0), ("once", 1), ("all", 3)])
def test_missed_runs_of_a_restart_are_settled_as_the_task_says(
    make_scheduler: MakeScheduler, ask: Ask, on_missed: str, runs: int
) -> None:
    _miss(make_scheduler, ask, 3, on_missed=on_missed)

    assert ask(RUNS) == [runs]


@pytest.mark.parametrize(("on_missed", "missed"), [("skip", 3), ("once", 2), ("all", 0)])
def test_the_history_shows_what_did_not_run(
    make_scheduler: MakeScheduler, ask: Ask, on_missed: str, missed: int
) -> None:
    _miss(make_scheduler, ask, 3, on_missed=on_missed)

    found = ask("SELECT count(*) FROM jobsd.recurring_executions WHERE outcome = 'missed'")
    assert found == [missed]


def test_missed_runs_are_told(make_scheduler: MakeScheduler, ask: Ask, told: Told) -> None:
    _miss(make_scheduler, ask, 3)

    facts = dict(told)["recurring.missed"]
    assert (facts["task"], facts["runs"]) == ("tick", 3)


def test_a_gap_is_told_once(make_scheduler: MakeScheduler, ask: Ask, told: Told) -> None:
    for _ in range(2):
        _miss(make_scheduler, ask, 3)

    assert _names(told).count("recurring.missed") == 1


def test_a_new_task_has_missed_nothing(make_scheduler: MakeScheduler, told: Told) -> None:
    make_scheduler(task(schedule=f"every: {_amid_s()}s", on_missed="all")).poll()

    assert "recurring.enqueued" not in _names(told)


def test_an_instant_that_the_history_may_have_forgotten_is_not_run_again(
    make_scheduler: MakeScheduler, ask: Ask
) -> None:
    driven = make_scheduler(task(schedule=HOURLY))
    driven.poll()
    ask("UPDATE jobsd.recurring_tasks SET last_run_at = now()")
    session = driven.scheduler._session
    (row,) = load(session)
    old = datetime.now(UTC) - timedelta(hours=28)

    (fate,) = occurrences.store(session, [occurrences.Run(row, old, occurrences.draft_of(row))])

    assert (fate.what, ask(RUNS)) == ("changed", [0])


# At start.


def test_a_task_may_run_once_more_at_the_start(make_scheduler: MakeScheduler, ask: Ask) -> None:
    make_scheduler(task("start", schedule=HOURLY, run_at_start=True), task("not")).poll()

    assert "start" in ask("SELECT task_key FROM jobsd.recurring_executions")


def test_a_run_at_the_start_follows_those_that_were_missed(
    make_scheduler: MakeScheduler, ask: Ask
) -> None:
    _miss(make_scheduler, ask, 3, on_missed="all", run_at_start=True)

    # One start before the gap, one after it.
    assert ask(RUNS) == [5]


def test_a_scheduler_that_is_replaced_does_not_run_it_again(
    make_scheduler: MakeScheduler, ask: Ask
) -> None:
    scoreboard = Scoreboard()
    for _ in range(3):
        driven = make_scheduler(task(schedule=HOURLY, run_at_start=True), scoreboard=scoreboard)
        driven.poll()
        driven.end()

    assert ask(RUNS) == [1]


def test_a_scheduler_that_was_killed_before_it_could_say_so_does_not_run_it_again(
    make_scheduler: MakeScheduler, ask: Ask
) -> None:
    scoreboard = Scoreboard()
    starting = task(schedule=HOURLY, run_at_start=True)
    make_scheduler(starting, scoreboard=scoreboard).poll()
    instant = ask("SELECT extract(epoch FROM run_at) * 1000000 FROM jobsd.recurring_executions")
    scoreboard.ran_at_start = -int(instant[0])

    make_scheduler(starting, scoreboard=scoreboard).poll()

    assert (ask(RUNS), scoreboard.ran_at_start) == ([1], 1)


def test_another_tree_runs_it_at_its_own_start(make_scheduler: MakeScheduler, ask: Ask) -> None:
    for _ in range(2):
        make_scheduler(task(schedule=HOURLY, run_at_start=True)).poll()

    assert ask(RUNS) == [2]
