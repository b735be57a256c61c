"""Tasks come from files and from the table, and a change of either is followed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobsd.recurring.tasks import RecurringTask
from jobsd.scheduler import naming

from .conftest import HOURLY, OPTIONS, RUNS, task

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Ask, MakeScheduler, Told

VERSIONS = "SELECT planned_from, updated_at FROM jobsd.recurring_tasks"
KEYS = "SELECT DISTINCT task_key FROM jobsd.recurring_executions ORDER BY task_key"


def _insert(ask: Ask, key: str, queue: str = "ticks") -> None:
    """Make a dynamic task as an SQL client would: without a notification."""
    ask(
        "INSERT INTO jobsd.recurring_tasks (key, schedule, class_name, queue_name)"
        " VALUES (%s, 'every second', 'SchedulerTestJob', %s)",
        key,
        queue,
    )


# Files.


def test_what_a_neighbour_left_is_taken_after_a_minute_but_by_who_is_young_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(naming, "monotonic", lambda: now)
    ours = naming.Naming((), 0)
    assert ours.may_adopt(orphans=True)
    assert not ours.may_adopt(orphans=False)

    now += naming.YOUNG_S
    assert not ours.may_adopt(orphans=True)
    now += naming.PATIENCE_S - 0.1
    assert not ours.may_adopt(orphans=True)
    now += 0.1
    assert ours.may_adopt(orphans=True)
    assert not ours.may_adopt(orphans=False)
    assert not ours.may_adopt(orphans=True)


def test_tasks_of_the_file_are_stored(make_scheduler: MakeScheduler, ask: Ask) -> None:
    make_scheduler(task("a", description="first", schedule=HOURLY), task("b")).poll()

    rows = ask(
        "SELECT key, static, description, source FROM jobsd.recurring_tasks ORDER BY key"
    )
    source = "config/recurring.yml:1"
    assert rows == [("a", True, "first", source), ("b", True, "", source)]


@pytest.mark.behaviour(81)
def test_a_restart_changes_removes_and_keeps(make_scheduler: MakeScheduler, ask: Ask) -> None:
    before = make_scheduler(task("kept", schedule=HOURLY), task("gone"), task("changed"))
    before.poll()
    before.end()
    _insert(ask, "dynamic")

    make_scheduler(task("kept", schedule=HOURLY), task("changed", schedule=HOURLY)).poll()

    rows = ask("SELECT key, schedule FROM jobsd.recurring_tasks ORDER BY key")
    assert rows == [("changed", HOURLY), ("dynamic", "every second"), ("kept", HOURLY)]


def test_a_restart_without_changes_keeps_the_version(
    make_scheduler: MakeScheduler, ask: Ask
) -> None:
    before = make_scheduler(task(schedule=HOURLY))
    before.poll()
    before.end()
    version = ask(VERSIONS)

    make_scheduler(task(schedule=HOURLY)).poll()

    assert ask(VERSIONS) == version


def test_an_edit_beside_the_schedule_keeps_what_may_be_caught_up(
    make_scheduler: MakeScheduler, ask: Ask
) -> None:
    before = make_scheduler(task(schedule=HOURLY))
    before.poll()
    before.end()
    ((planned_from, updated_at),) = ask(VERSIONS)

    make_scheduler(task(schedule=HOURLY, queue_name="other")).poll()

    ((now_planned_from, now_updated_at),) = ask(VERSIONS)
    assert (now_planned_from == planned_from, now_updated_at > updated_at) == (True, True)


def test_a_task_that_comes_back_knows_its_last_run(
    make_scheduler: MakeScheduler, ask: Ask
) -> None:
    before = make_scheduler(task())
    before.hurry()
    before.end()
    last = ask("SELECT max(run_at) FROM jobsd.recurring_executions")
    ask("DELETE FROM jobsd.recurring_tasks")

    make_scheduler(task(schedule=HOURLY)).poll()

    assert ask("SELECT last_run_at FROM jobsd.recurring_tasks") == last


def test_a_row_of_the_file_that_somebody_deletes_comes_back(
    make_scheduler: MakeScheduler, ask: Ask
) -> None:
    driven = make_scheduler(task(schedule=HOURLY))
    driven.poll()
    ask("DELETE FROM jobsd.recurring_tasks")

    driven.look()

    assert ask("SELECT key FROM jobsd.recurring_tasks") == ["tick"]


def test_a_task_that_is_turned_off_does_not_run(
    make_scheduler: MakeScheduler, ask: Ask
) -> None:
    make_scheduler(task("off", enabled=False), task()).hurry()

    assert ask(KEYS) == ["tick"]


# Two files.


def _file(folder: Path, name: str, age_s: float) -> str:
    """Write a file that was changed so long ago; return the place of a task in it."""
    import os
    import time

    path = folder / name
    path.write_text("")
    changed = time.time() - age_s
    os.utime(path, (changed, changed))
    return f"{path}:1"


@pytest.mark.behaviour(81)
def test_a_task_of_two_files_belongs_to_the_newer_one(
    make_scheduler: MakeScheduler, ask: Ask, tmp_path: Path
) -> None:
    old, new = _file(tmp_path, "old.yml", 60), _file(tmp_path, "new.yml", 0)

    for source, queue in ((old, "old"), (new, "new"), (old, "old")):
        make_scheduler(task(source=source, queue_name=queue)).poll()

    assert ask("SELECT source, queue_name FROM jobsd.recurring_tasks") == [(new, "new")]


def test_a_conflict_of_two_files_is_told_by_whoever_meets_it(
    make_scheduler: MakeScheduler, told: Told, tmp_path: Path
) -> None:
    old, new = _file(tmp_path, "old.yml", 60), _file(tmp_path, "new.yml", 0)
    first = make_scheduler(task(source=old, queue_name="old"))
    first.poll()
    make_scheduler(task(source=new, queue_name="new")).poll()
    first.look()

    conflicts = [facts for name, facts in told if name == "recurring.conflict"]
    assert [(c["source"], c["other"], c["wins"]) for c in conflicts] == [
        (new, old, new),
        (old, new, new),
    ]


def test_two_files_that_say_the_same_are_no_conflict(
    make_scheduler: MakeScheduler, told: Told, tmp_path: Path
) -> None:
    for name in ("a.yml", "b.yml"):
        make_scheduler(task(source=_file(tmp_path, name, 0))).poll()

    assert "recurring.conflict" not in dict(told)


def test_the_older_file_runs_its_task_as_the_newer_one_says(
    make_scheduler: MakeScheduler, ask: Ask, tmp_path: Path
) -> None:
    older = make_scheduler(task(source=_file(tmp_path, "old.yml", 60), queue_name="old"))
    older.poll()
    make_scheduler(task(source=_file(tmp_path, "new.yml", 0), queue_name="new")).poll()
    ask("DELETE FROM jobsd.jobs")  # a second may have begun in each round

    older.hurry()
    older.until(lambda: ask("SELECT count(*) FROM jobsd.jobs") != [0])

    assert ask("SELECT DISTINCT queue_name FROM jobsd.jobs") == ["new"]


@pytest.mark.behaviour(81)
def test_tasks_of_a_living_neighbour_stay(make_scheduler: MakeScheduler, ask: Ask) -> None:
    make_scheduler(task("theirs")).poll()

    make_scheduler(task("mine")).poll()

    assert ask("SELECT key FROM jobsd.recurring_tasks ORDER BY key") == ["mine", "theirs"]


def test_tasks_of_a_neighbours_file_are_left_to_it(make_scheduler: MakeScheduler) -> None:
    make_scheduler(task("theirs")).poll()
    ours = make_scheduler(task("mine", schedule=HOURLY))

    ours.poll()

    assert ours.scheduler.doing().startswith("1 tasks, next mine at ")


def test_the_older_file_counts_again_once_the_newer_one_is_gone(
    make_scheduler: MakeScheduler, ask: Ask, tmp_path: Path
) -> None:
    older = make_scheduler(task(source=_file(tmp_path, "old.yml", 60), queue_name="old"))
    older.poll()
    newer = make_scheduler(
        task(source=_file(tmp_path, "new.yml", 0), queue_name="new"), task("theirs")
    )
    newer.poll()

    newer.end()
    older.look()

    assert ask("SELECT key, queue_name FROM jobsd.recurring_tasks") == [("tick", "old")]


# Dynamic tasks.


@pytest.mark.behaviour(84)
def test_a_task_that_is_made_at_run_time_is_seen_at_once(
    make_scheduler: MakeScheduler, ask: Ask
) -> None:
    driven = make_scheduler()
    driven.poll()

    RecurringTask.schedule("new", schedule="every second", class_name="SchedulerTestJob")

    driven.until(lambda: ask(KEYS) == ["new"], within_s=2.5)


@pytest.mark.behaviour(84)
def test_an_unscheduled_task_stops(make_scheduler: MakeScheduler, ask: Ask) -> None:
    _insert(ask, "gone")
    driven = make_scheduler(task())
    driven.hurry()

    RecurringTask.unschedule("gone")
    before = ask(f"{RUNS} AND task_key = 'gone'")
    driven.until(lambda: ask(f"{RUNS} AND task_key = 'tick'")[0] > before[0])

    assert ask(f"{RUNS} AND task_key = 'gone'") == before


@pytest.mark.behaviour(84)
def test_a_task_that_is_made_anew_between_two_looks_runs_as_it_is_now(
    make_scheduler: MakeScheduler, ask: Ask
) -> None:
    _insert(ask, "odd", "old")
    driven = make_scheduler()
    driven.poll()

    ask("DELETE FROM jobsd.recurring_tasks")
    # What has run if a second has begun meanwhile.
    ask("DELETE FROM jobsd.recurring_executions")
    ask("DELETE FROM jobsd.jobs")
    _insert(ask, "odd", "new")
    driven.until(lambda: ask(RUNS) != [0], within_s=4.0)

    assert ask("SELECT DISTINCT queue_name FROM jobsd.jobs") == ["new"]


@pytest.mark.behaviour(84)
def test_an_edit_between_two_looks_loses_no_tick(
    make_scheduler: MakeScheduler, ask: Ask
) -> None:
    driven = make_scheduler(task(on_missed="all"))
    driven.poll()
    (start,) = ask("SELECT date_trunc('second', planned_from) FROM jobsd.recurring_tasks")

    ask("UPDATE jobsd.recurring_tasks SET queue_name = 'edited', updated_at = now()")
    edited = "SELECT count(*) FROM jobsd.jobs WHERE queue_name = 'edited'"
    driven.until(lambda: ask(edited) != [0], within_s=4.0)

    seconds = ask(
        "SELECT extract(epoch FROM run_at - %s)::int FROM jobsd.recurring_executions"
        " ORDER BY run_at",
        start,
    )
    assert seconds == [*range(1, len(seconds) + 1)]


def test_an_edit_by_hand_is_seen_though_it_tells_nobody(
    make_scheduler: MakeScheduler, ask: Ask
) -> None:
    driven = make_scheduler(task(schedule=HOURLY, on_missed="all"))
    driven.poll()

    ask("UPDATE jobsd.recurring_tasks SET schedule = 'every second', queue_name = 'by hand'")
    driven.look()
    driven.until(lambda: ask(RUNS) != [0], within_s=2.5)

    assert ask("SELECT DISTINCT queue_name FROM jobsd.jobs") == ["by hand"]


def test_without_dynamic_tasks_only_the_file_counts(
    make_scheduler: MakeScheduler, ask: Ask
) -> None:
    _insert(ask, "dynamic")

    make_scheduler(task(), options=replace(OPTIONS, dynamic_tasks_enabled=False)).hurry()

    assert ask(KEYS) == ["tick"]
