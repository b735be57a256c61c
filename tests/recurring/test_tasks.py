"""Recurring tasks can be listed, found, made, switched, run and removed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import refused
from jobsd.errors import ArgumentError, Error, NotFoundError, RefusedError
from jobsd.jobs.definition import Job
from jobsd.recurring import tasks
from jobsd.recurring.command import CommandError
from jobsd.recurring.definition import TaskDefinition
from jobsd.recurring.tasks import RecurringTask
from jobsd.schedules import ScheduleError
from recurring.stored import task_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Session
    from rows import Rows

pytestmark = pytest.mark.usefixtures("default_client")

NIGHTLY: dict[str, Any] = {"schedule": "at 3am every day", "class_name": "RecurringTestJob"}


class OfTwo(Job):
    def perform(self, a: int, b: int = 0) -> None: ...


def _make_static(rows: Rows, key: str = "static") -> None:
    rows(
        "INSERT INTO jobsd.recurring_tasks (key, schedule, class_name, static, source)"
        " VALUES (%s, 'every hour', 'RecurringTestJob', true, 'config/recurring.yml:4')",
        key,
    )


def _unschedule(task: RecurringTask) -> None:
    RecurringTask.unschedule(task.key)


# Reading.


@pytest.mark.parametrize("number", [4, 5])
def test_all_tasks_are_read_however_many_pages_they_fill(
    monkeypatch: pytest.MonkeyPatch, session: Session, number: int
) -> None:
    monkeypatch.setattr(tasks, "PAGE", 2)
    keys = ["B", "a", "a b", "c", "\u00e9"][:number]
    for key in keys:
        RecurringTask.schedule(key, **NIGHTLY)

    assert sorted(task.key for task in tasks.load(session)) == keys


def test_all_lists_every_task_by_key(rows: Rows) -> None:
    _make_static(rows)
    RecurringTask.schedule("nightly", **NIGHTLY)

    assert [task.key for task in RecurringTask.all()] == ["nightly", "static"]


def test_a_task_is_found_by_its_name() -> None:
    RecurringTask.schedule("daily_cleanup", **NIGHTLY)

    task = RecurringTask.find_by(name="daily_cleanup")

    assert task is not None
    assert (task.name, task.key, task.schedule) == (
        "daily_cleanup",
        "daily_cleanup",
        "at 3am every day",
    )


def test_a_name_that_no_task_has_finds_none() -> None:
    assert RecurringTask.find_by(name="heartbeat") is None


def test_finding_by_nothing_is_refused() -> None:
    with pytest.raises(TypeError):
        RecurringTask.find_by()


def test_the_next_run_is_computed() -> None:
    task = RecurringTask.schedule("nightly", **NIGHTLY)
    before = datetime.now(UTC)

    next_run = task.next_run

    assert next_run is not None
    assert (next_run.hour, next_run.minute) == (3, 0)
    assert before < next_run <= datetime.now(UTC) + timedelta(days=1)


def test_a_disabled_task_has_no_next_run() -> None:
    assert RecurringTask.schedule("off", **NIGHTLY, enabled=False).next_run is None


def test_a_schedule_that_means_nothing_has_no_next_run(rows: Rows) -> None:
    rows(
        "INSERT INTO jobsd.recurring_tasks (key, schedule, class_name)"
        " VALUES ('odd', 'every now and then', 'RecurringTestJob')"
    )

    assert task_of("odd").next_run is None


def test_an_unknown_key_is_refused_with_the_nearest(session: Session) -> None:
    RecurringTask.schedule("nightly", **NIGHTLY)

    with pytest.raises(NotFoundError, match="did you mean 'nightly'"):
        tasks.get(session, "nigthly")


def test_tasks_with_hashed_schedules_are_spread_by_key() -> None:
    moments = {
        RecurringTask.schedule(key, schedule="H H * * *", class_name="A").next_run
        for key in ("one", "two", "three")
    }

    assert len(moments) == 3


# Making and removing.


def test_a_task_is_made_with_the_settings_of_the_file() -> None:
    task = RecurringTask.schedule(
        "report",
        schedule="0 9 * * 1-5 Europe/Madrid",
        class_name="RecurringTestJob",
        args=[1, {"deep": True}],
        queue="reports",
        priority=5,
        tags=("billing", "eu"),
        description="weekly figures",
        overlap="skip",
        on_missed="once",
        run_at_start=True,
    )

    assert (task.static, task.enabled, task.queue_name, task.priority) == (
        False,
        True,
        "reports",
        5,
    )
    assert (task.arguments, task.overlap, task.on_missed) == (
        ([1], {"deep": True}),
        "skip",
        "once",
    )
    assert task.tags == ["billing", "eu"]


def test_a_command_goes_to_its_own_queue() -> None:
    task = RecurringTask.schedule("clean", schedule="@hourly", command="app.tasks.clean()")

    assert task.queue_name == "recurring"


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"schedule": "now and then", "class_name": "A"}, ScheduleError),
        ({"schedule": "@daily", "class_name": "A", "time_zone": "Mars/Base"}, ScheduleError),
        ({"schedule": "@daily"}, Error),
        ({"schedule": "@daily", "class_name": "A", "command": "a.b()"}, Error),
        ({"schedule": "@daily", "command": "__import__('os').system('x')"}, CommandError),
        ({"schedule": "@daily", "command": "a.b()", "args": [1]}, Error),
        ({"schedule": "@daily", "class_name": "A", "priority": 1.5}, Error),
        ({"schedule": "@daily", "class_name": "A", "args": [object()]}, Error),
        ({"schedule": "@daily", "class_name": "OfTwo"}, ArgumentError),
        ({"schedule": "@daily", "class_name": "OfTwo", "args": {"b": 1}}, ArgumentError),
        ({"schedule": "@daily", "class_name": "OfTwo", "args": [1, {"c": 2}]}, ArgumentError),
        ({"schedule": "@daily", "class_name": "A", "on_missed": "often"}, Error),
        ({"schedule": "@daily", "class_name": "A", "overlap": "often"}, Error),
        ({"schedule": "@daily", "class_name": "A", "time_zone": None}, Error),
        ({"schedule": "@daily", "class_name": "A", "description": 7}, Error),
        ({"schedule": "@daily", "class_name": "A", "enabled": "yes"}, Error),
        ({"schedule": "@daily", "class_name": "A", "run_at_start": 1}, Error),
        ({"schedule": "@daily", "class_name": "A", "priority": 2**31}, Error),
        ({"schedule": "@daily", "class_name": "A", "tags": "billing"}, Error),
        ({"schedule": "@daily", "class_name": "A", "tags": [""]}, Error),
        *(
            ({"schedule": "@daily", "class_name": "A", "queue": name}, Error)
            for name in refused.QUEUES
        ),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], error: type[Error]) -> None:
    with pytest.raises(error):
        RecurringTask.schedule("bad", **settings)

    assert RecurringTask.all() == []


def test_arguments_that_the_job_does_not_take_are_refused() -> None:
    with pytest.raises(ArgumentError) as refused:
        RecurringTask.schedule("bad", schedule="@daily", class_name="OfTwo", args=[1, 2, 3])

    assert str(refused.value) == (
        "OfTwo.perform() too many positional arguments; it takes (a, b=0)"
    )
    made = RecurringTask.schedule("good", schedule="@daily", class_name="OfTwo", args={"a": 1})
    assert made.arguments == ([], {"a": 1})


@pytest.mark.parametrize("args", [1, "ab", (1,), [1, {"b": 2}]], ids=repr)
def test_arguments_are_one_value_or_several(args: Any) -> None:
    made = RecurringTask.schedule("one", schedule="@daily", class_name="OfTwo", args=args)

    first = "ab" if args == "ab" else 1
    assert made.arguments == ([first], {"b": 2} if isinstance(args, list) else {})


@pytest.mark.parametrize("key", ["", "x" * 256, "a\0b", "a\nb", "\udcff", 7])
def test_a_key_is_printable_and_not_too_long(key: Any) -> None:
    with pytest.raises(Error, match="is not a valid key"):
        RecurringTask.schedule(key, **NIGHTLY)
    assert RecurringTask.find_by(key=key) is None
    with pytest.raises(NotFoundError):
        RecurringTask.unschedule(key)


@pytest.mark.behaviour(84)
def test_a_key_that_is_taken_is_refused(rows: Rows) -> None:
    _make_static(rows)

    with pytest.raises(RefusedError, match=r"taken by config/recurring\.yml:4"):
        RecurringTask.schedule("static", **NIGHTLY)


def test_an_unscheduled_task_is_gone() -> None:
    RecurringTask.schedule("nightly", **NIGHTLY)

    RecurringTask.unschedule("nightly")

    assert RecurringTask.all() == []


def test_unscheduling_an_unknown_task_is_refused() -> None:
    with pytest.raises(NotFoundError):
        RecurringTask.unschedule("nightly")


@pytest.mark.behaviour(84)
@pytest.mark.parametrize("edit", [_unschedule, RecurringTask.enable])
def test_a_task_of_a_file_cannot_be_edited_at_run_time(
    rows: Rows, edit: Callable[[RecurringTask], None]
) -> None:
    _make_static(rows)
    rows("UPDATE jobsd.recurring_tasks SET enabled = false")
    task = task_of("static")

    with pytest.raises(RefusedError, match=r"config/recurring\.yml:4"):
        edit(task)

    assert task_of("static") == task


@pytest.mark.behaviour(84)
def test_a_task_of_a_file_cannot_be_changed_at_run_time(rows: Rows, session: Session) -> None:
    _make_static(rows)
    task = task_of("static")
    daily = TaskDefinition(key="static", phrase="every day", class_name="OfTwo")

    with pytest.raises(RefusedError, match=r"config/recurring\.yml:4"):
        tasks.change(session, daily)

    assert task_of("static") == task


def test_a_task_can_be_disabled_and_enabled() -> None:
    RecurringTask.schedule("nightly", **NIGHTLY).disable()
    off = task_of("nightly")
    off.enable()
    on = task_of("nightly")

    assert (off.enabled, on.enabled) == (False, True)


@pytest.mark.behaviour(84)
def test_a_task_of_a_file_is_disabled_by_a_person_until_it_is_enabled(rows: Rows) -> None:
    _make_static(rows)
    before = task_of("static")

    before.disable(by="ann")
    off = task_of("static")
    off.disable(by="ben")
    still_off = task_of("static")
    off.enable()
    on = task_of("static")

    assert (off.enabled, off.disabled_by, off.next_run) == (False, "ann", None)
    assert off.disabled_at == off.updated_at > before.updated_at
    assert still_off == off
    assert (on.enabled, on.disabled_by, on.disabled_at) == (True, None, None)
    assert on.planned_from > before.planned_from


@pytest.mark.parametrize("by", ["a\0b", "a\nb"])
def test_a_person_is_a_line_of_text(by: str) -> None:
    made = RecurringTask.schedule("nightly", **NIGHTLY)

    with pytest.raises(Error, match="is not a line of printable text"):
        made.disable(by=by)

    assert task_of("nightly") == made


def test_a_task_that_is_made_disabled_can_be_enabled() -> None:
    RecurringTask.schedule("off", **NIGHTLY, enabled=False).enable()

    assert task_of("off").enabled


def test_a_task_that_is_enabled_does_not_catch_up() -> None:
    made = RecurringTask.schedule("nightly", **NIGHTLY)
    made.disable()
    made.enable()

    assert task_of("nightly").planned_from > made.planned_from


def test_enabling_an_enabled_task_changes_nothing() -> None:
    made = RecurringTask.schedule("nightly", **NIGHTLY)

    made.enable()

    assert task_of("nightly") == made


def test_a_task_that_is_made_again_knows_its_last_run() -> None:
    task = RecurringTask.schedule("nightly", **NIGHTLY)
    task.run_now()
    (run,) = task.history()
    RecurringTask.unschedule("nightly")

    again = RecurringTask.schedule("nightly", **NIGHTLY)

    assert again.last_run_at == run.run_at


def test_a_change_keeps_what_the_form_does_not_have(session: Session) -> None:
    rest: dict[str, Any] = {"on_missed": "once", "overlap": "skip"}
    facts = TaskDefinition(key="nightly", phrase="@daily", class_name="OfTwo")
    tasks.add(session, replace(facts, **rest))

    changed = tasks.change(session, replace(facts, description="changed", tags=("eu",)))

    assert (changed.description, changed.tags) == ("changed", ["eu"])
    assert (changed.on_missed, changed.overlap) == ("once", "skip")


def test_a_task_with_another_time_zone_does_not_catch_up(session: Session) -> None:
    facts = TaskDefinition(key="nightly", phrase="every day at 3am", class_name="OfTwo")
    made = tasks.add(session, facts)

    changed = tasks.change(session, replace(facts, time_zone="Asia/Tokyo"))

    assert changed.planned_from > made.planned_from
    assert changed.time_zone == "Asia/Tokyo"
