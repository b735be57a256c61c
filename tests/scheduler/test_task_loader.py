"""Tasks come from files and from the table, and a change of either is followed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobsd.recurring.definition import SHIPPED
from jobsd.recurring.tasks import RecurringTask
from jobsd.scheduler import static_tasks

from .conftest import OPTIONS, RUNS, hourly, task

if TYPE_CHECKING:
    from pathlib import Path

    from harness.event_recorder import Emitted, EventRecorder
    from rows import Rows

    from .conftest import MakeScheduler

VERSIONS = "SELECT planned_from, updated_at FROM jobsd.recurring_tasks"
KEYS = "SELECT DISTINCT task_key FROM jobsd.recurring_executions ORDER BY task_key"


def _insert(rows: Rows, key: str, queue: str = "ticks") -> None:
    """Make a dynamic task as an SQL client would: without a notification."""
    rows(
        "INSERT INTO jobsd.recurring_tasks (key, schedule, class_name, queue_name)"
        " VALUES (%s, 'every second', 'SchedulerTestJob', %s)",
        key,
        queue,
    )


# Files.


def test_orphaned_tasks_are_adopted_after_a_minute_by_a_young_scheduler_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(static_tasks, "monotonic", lambda: now)
    ours = static_tasks.StaticTasks((), 0)
    assert ours.may_adopt(orphaned=True)
    assert not ours.may_adopt(orphaned=False)

    now += static_tasks.YOUNG_S
    assert not ours.may_adopt(orphaned=True)
    now += static_tasks.ADOPT_AFTER_S - 0.1
    assert not ours.may_adopt(orphaned=True)
    now += 0.1
    assert ours.may_adopt(orphaned=True)
    assert not ours.may_adopt(orphaned=False)
    assert not ours.may_adopt(orphaned=True)


def test_tasks_of_the_file_are_stored(make_scheduler: MakeScheduler, rows: Rows) -> None:
    make_scheduler(task("a", description="first", phrase=hourly()), task("b")).poll()

    stored = rows(
        "SELECT key, static, description, source FROM jobsd.recurring_tasks ORDER BY key"
    )
    source = "config/recurring.yml:1"
    assert stored == [("a", True, "first", source), ("b", True, "", source)]


@pytest.mark.behaviour(81)
def test_a_restart_changes_removes_and_keeps_tasks(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    before = make_scheduler(task("kept", phrase=hourly()), task("gone"), task("changed"))
    before.poll()
    before.end()
    _insert(rows, "dynamic")

    make_scheduler(task("kept", phrase=hourly()), task("changed", phrase=hourly())).poll()

    stored = rows("SELECT key, schedule FROM jobsd.recurring_tasks ORDER BY key")
    assert stored == [("changed", hourly()), ("dynamic", "every second"), ("kept", hourly())]


def test_a_restart_without_changes_keeps_the_version(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    before = make_scheduler(task(phrase=hourly()))
    before.poll()
    before.end()
    version = rows(VERSIONS)

    make_scheduler(task(phrase=hourly())).poll()

    assert rows(VERSIONS) == version


def test_an_edit_beside_the_schedule_keeps_runs_to_catch_up(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    before = make_scheduler(task(phrase=hourly()))
    before.poll()
    before.end()
    ((planned_from, updated_at),) = rows(VERSIONS)

    make_scheduler(task(phrase=hourly(), queue_name="other")).poll()

    ((now_planned_from, now_updated_at),) = rows(VERSIONS)
    assert (now_planned_from == planned_from, now_updated_at > updated_at) == (True, True)


def test_a_task_that_comes_back_knows_its_last_run(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    before = make_scheduler(task())
    before.hurry()
    before.end()
    last = rows("SELECT max(run_at) FROM jobsd.recurring_executions")
    rows("DELETE FROM jobsd.recurring_tasks")

    make_scheduler(task(phrase=hourly())).poll()

    assert rows("SELECT last_run_at FROM jobsd.recurring_tasks") == last


def test_a_deleted_row_of_a_task_in_the_file_comes_back(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    driven = make_scheduler(task(phrase=hourly()))
    driven.poll()
    rows("DELETE FROM jobsd.recurring_tasks")

    driven.check()

    assert rows("SELECT key FROM jobsd.recurring_tasks") == ["tick"]


def test_a_disabled_task_does_not_run(make_scheduler: MakeScheduler, rows: Rows) -> None:
    make_scheduler(task("off", enabled=False), task()).hurry()

    assert rows(KEYS) == ["tick"]


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
    make_scheduler: MakeScheduler, rows: Rows, tmp_path: Path
) -> None:
    old, new = _file(tmp_path, "old.yml", 60), _file(tmp_path, "new.yml", 0)

    for source, queue in ((old, "old"), (new, "new"), (old, "old")):
        make_scheduler(task(source=source, queue_name=queue)).poll()

    assert rows("SELECT source, queue_name FROM jobsd.recurring_tasks") == [(new, "new")]


@pytest.mark.behaviour(81)
def test_a_task_of_two_deploys_belongs_to_the_newer_code(
    make_scheduler: MakeScheduler, rows: Rows, tmp_path: Path
) -> None:
    old, new = _file(tmp_path, "old.py", 60), _file(tmp_path, "new.py", 0)

    for source, queue in ((old, "old"), (new, "new"), (old, "old")):
        make_scheduler(task(source=f"code {source}", queue_name=queue)).poll()

    assert rows("SELECT source, queue_name FROM jobsd.recurring_tasks") == [
        (f"code {new}", "new")
    ]


def test_a_shipped_task_gives_way_to_any_file(
    make_scheduler: MakeScheduler, rows: Rows, tmp_path: Path
) -> None:
    old = _file(tmp_path, "old.yml", 60)

    for source, queue in ((SHIPPED, "first"), (old, "old"), (SHIPPED, "last")):
        make_scheduler(task(source=source, queue_name=queue)).poll()

    assert rows("SELECT source, queue_name FROM jobsd.recurring_tasks") == [(old, "old")]


def test_a_conflict_of_two_files_is_reported_by_both_schedulers(
    make_scheduler: MakeScheduler, emitted: Emitted, tmp_path: Path
) -> None:
    old, new = _file(tmp_path, "old.yml", 60), _file(tmp_path, "new.yml", 0)
    first = make_scheduler(task(source=old, queue_name="old"))
    first.poll()
    make_scheduler(task(source=new, queue_name="new")).poll()
    first.check()

    conflicts = [facts for name, facts in emitted if name == "recurring.conflict"]
    assert [(c["source"], c["other"], c["wins"]) for c in conflicts] == [
        (new, old, new),
        (old, new, new),
    ]


def test_two_files_with_the_same_task_are_no_conflict(
    make_scheduler: MakeScheduler, emitted: Emitted, tmp_path: Path
) -> None:
    for name in ("a.yml", "b.yml"):
        make_scheduler(task(source=_file(tmp_path, name, 0))).poll()

    assert "recurring.conflict" not in dict(emitted)


def test_the_task_of_the_newer_file_runs_in_the_older_scheduler(
    make_scheduler: MakeScheduler, rows: Rows, tmp_path: Path
) -> None:
    older = make_scheduler(task(source=_file(tmp_path, "old.yml", 60), queue_name="old"))
    older.poll()
    make_scheduler(task(source=_file(tmp_path, "new.yml", 0), queue_name="new")).poll()
    rows("DELETE FROM jobsd.jobs")  # a second may have begun in each poll

    older.hurry()
    older.until(lambda: rows("SELECT count(*) FROM jobsd.jobs") != [0])

    assert rows("SELECT DISTINCT queue_name FROM jobsd.jobs") == ["new"]


@pytest.mark.behaviour(81)
def test_tasks_of_a_living_peer_stay(make_scheduler: MakeScheduler, rows: Rows) -> None:
    make_scheduler(task("theirs")).poll()

    make_scheduler(task("mine")).poll()

    assert rows("SELECT key FROM jobsd.recurring_tasks ORDER BY key") == ["mine", "theirs"]


def test_tasks_of_a_peers_file_are_left_to_it(make_scheduler: MakeScheduler) -> None:
    make_scheduler(task("theirs")).poll()
    ours = make_scheduler(task("mine", phrase=hourly()))

    ours.poll()

    assert ours.scheduler.doing().startswith("1 tasks, next mine at ")


def test_the_older_file_counts_again_once_the_newer_one_is_gone(
    make_scheduler: MakeScheduler, rows: Rows, tmp_path: Path
) -> None:
    older = make_scheduler(task(source=_file(tmp_path, "old.yml", 60), queue_name="old"))
    older.poll()
    newer = make_scheduler(
        task(source=_file(tmp_path, "new.yml", 0), queue_name="new"), task("theirs")
    )
    newer.poll()

    newer.end()
    older.check()

    assert rows("SELECT key, queue_name FROM jobsd.recurring_tasks") == [("tick", "old")]


# Dynamic tasks.


@pytest.mark.behaviour(84)
def test_a_task_that_is_made_at_run_time_is_seen_at_once(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    driven = make_scheduler()
    driven.poll()

    RecurringTask.schedule("new", schedule="every second", class_name="SchedulerTestJob")

    driven.until(lambda: rows(KEYS) == ["new"], within_s=2.5)


@pytest.mark.behaviour(84)
def test_an_unscheduled_task_stops(make_scheduler: MakeScheduler, rows: Rows) -> None:
    _insert(rows, "gone")
    driven = make_scheduler(task())
    driven.hurry()

    RecurringTask.unschedule("gone")
    before = rows(f"{RUNS} AND task_key = 'gone'")
    driven.until(lambda: rows(f"{RUNS} AND task_key = 'tick'")[0] > before[0])

    assert rows(f"{RUNS} AND task_key = 'gone'") == before


@pytest.mark.behaviour(84)
def test_a_task_that_is_replaced_between_two_checks_runs_as_it_is_now(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    _insert(rows, "odd", "old")
    driven = make_scheduler()
    driven.poll()

    rows("DELETE FROM jobsd.recurring_tasks")
    # What has run if a second has begun meanwhile.
    rows("DELETE FROM jobsd.recurring_executions")
    rows("DELETE FROM jobsd.jobs")
    _insert(rows, "odd", "new")
    driven.until(lambda: rows(RUNS) != [0])

    assert rows("SELECT DISTINCT queue_name FROM jobsd.jobs") == ["new"]


@pytest.mark.behaviour(84)
def test_an_edit_between_two_checks_loses_no_run(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    driven = make_scheduler(task(on_missed="all"))
    driven.poll()
    (start,) = rows("SELECT date_trunc('second', planned_from) FROM jobsd.recurring_tasks")

    rows("UPDATE jobsd.recurring_tasks SET queue_name = 'edited', updated_at = now()")
    edited = "SELECT count(*) FROM jobsd.jobs WHERE queue_name = 'edited'"
    driven.until(lambda: rows(edited) != [0])

    seconds = rows(
        "SELECT extract(epoch FROM run_at - %s)::int FROM jobsd.recurring_executions"
        " ORDER BY run_at",
        start,
    )
    assert seconds == [*range(1, len(seconds) + 1)]


def test_an_edit_by_hand_is_seen_without_a_notification(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    driven = make_scheduler(task(phrase=hourly(), on_missed="all"))
    driven.poll()

    rows("UPDATE jobsd.recurring_tasks SET schedule = 'every second', queue_name = 'by hand'")
    driven.check()
    driven.until(lambda: rows(RUNS) != [0])

    assert rows("SELECT DISTINCT queue_name FROM jobsd.jobs") == ["by hand"]


def test_a_task_with_an_unreadable_schedule_is_reported_once_for_each_edit(
    make_scheduler: MakeScheduler, rows: Rows, recorder: EventRecorder
) -> None:
    failed = recorder.facts("recurring.failed")
    _insert(rows, "bad")
    rows("UPDATE jobsd.recurring_tasks SET schedule = 'every blue moon'")
    driven = make_scheduler(task(phrase=hourly()))
    driven.poll()
    for queue in ("one", "two"):
        rows(
            "UPDATE jobsd.recurring_tasks SET queue_name = %s, updated_at = now()"
            " WHERE key = 'tick'",
            queue,
        )
        driven.check()
    assert [facts["task"] for facts in failed] == ["bad"]

    rows("UPDATE jobsd.recurring_tasks SET updated_at = now() WHERE key = 'bad'")
    driven.check()

    assert [facts["task"] for facts in failed] == ["bad"] * 2


def test_without_dynamic_tasks_only_the_file_counts(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    _insert(rows, "dynamic")

    make_scheduler(task(), options=replace(OPTIONS, dynamic_tasks_enabled=False)).hurry()

    assert rows(KEYS) == ["tick"]
