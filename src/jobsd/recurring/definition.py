"""A recurring task as a person defines it: in recurring.yml, or at run time.

Both ways end in `check`, and no task that it refuses reaches the table. This module needs no
database, so that a file can be read without a driver.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobsd.arguments import arguments
from jobsd.errors import Error
from jobsd.jobs import registry
from jobsd.jobs.job_options import OPTIONS
from jobsd.jobs.job_schedule import KEY_BYTES_MAX, is_key, split_arguments
from jobsd.jobs.registry import check_class
from jobsd.schedules import Schedule, parse
from jobsd.text import is_storable

from .command import parse_command

COMMAND_QUEUE = "recurring"
"""The queue of commands, if their task names no other."""

SHIPPED = "shipped with jobsd"
"""The source of a task that an application has because it has no recurring.yml."""

ON_MISSED = ("skip", "once", "all")
OVERLAP = ("allow", "skip")

# `H` and `~` in a cron expression: an instant of a range, chosen by the key.
_CHOSEN_BY_KEY = re.compile(r"~|(?<![A-Za-z])[Hh](?![A-Za-z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDefinition:
    """The columns of a recurring task that a person decides; `phrase` is its `schedule`.

    Either `class_name`, a registered job, or `command`, a dotted call, is given.
    `arguments_json` holds the arguments as a job stores them. `time_zone` applies if the phrase
    names none. `on_missed` is one of `ON_MISSED`, `overlap` one of `OVERLAP`. `source` is
    FILE:LINE of an entry of recurring.yml, "code FILE:LINE" of a job that has the schedule, or
    `SHIPPED`, and `arguments_source` FILE:LINE:COLUMN of the entry's arguments, or of its key
    without any. A task made at run time has neither.
    """

    key: str
    phrase: str
    time_zone: str = "UTC"
    class_name: str | None = None
    command: str | None = None
    arguments_json: str = "[]"
    queue_name: str | None = None
    priority: int | None = None
    tags: Sequence[str] | None = None
    description: str = ""
    enabled: bool = True
    run_at_start: bool = False
    on_missed: str = "skip"
    overlap: str = "allow"
    source: str | None = None
    arguments_source: str = ""

    @property
    def is_switch(self) -> bool:
        """Whether it only turns off a task of the code: `KEY: {enabled: false}` in a file."""
        return self.class_name is None and self.command is None

    @property
    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """The positional and the named arguments.

        Raises:
            ArgumentError: if they hold a type that is not registered in this process.
        """
        return arguments.load(self.arguments_json)

    @property
    def plan(self) -> Schedule:
        """The parsed phrase.

        Raises:
            ScheduleError: if the table holds an invalid schedule.
        """
        # Only if the key chooses the instant: otherwise all tasks of a schedule share it.
        key = self.key if _CHOSEN_BY_KEY.search(self.phrase) else ""
        return parse(self.phrase, self.time_zone, key=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTask(TaskDefinition):
    """A stored definition, with the columns that the table adds: see `RecurringTask`."""

    static: bool = False
    named_by: int | None = None
    disabled_at: datetime | None = None
    disabled_by: str | None = None
    planned_from: datetime
    last_run_at: datetime | None = None
    runs_count: int = 0
    created_at: datetime
    updated_at: datetime


def define(  # noqa: PLR0913 - the settings of recurring.yml
    key: str,
    *,
    schedule: str,
    class_name: str | None = None,
    command: str | None = None,
    args: object = (),
    queue: str | None = None,
    priority: int | None = None,
    tags: Sequence[str] | None = None,
    description: str = "",
    time_zone: str = "UTC",
    enabled: bool = True,
    run_at_start: bool = False,
    on_missed: str = "skip",
    overlap: str = "allow",
) -> TaskDefinition:
    """Return the task of these settings, which are those of recurring.yml.

    Raises:
        Error: as `check` does; ArgumentError if the job is known and takes others.
    """
    task = TaskDefinition(
        key=key,
        phrase=schedule,
        time_zone=time_zone,
        class_name=class_name,
        command=command,
        arguments_json=_arguments_json(class_name, args),
        queue_name=queue_for(queue, command),
        priority=priority,
        tags=tags,
        description=description,
        enabled=enabled,
        run_at_start=run_at_start,
        on_missed=on_missed,
        overlap=overlap,
    )
    return check(task)


def check(task: TaskDefinition) -> TaskDefinition:
    """Check a task, and return it if it can be stored and run.

    Raises:
        ScheduleError: if the phrase or the time zone can't be parsed.
        CommandError: if the command can't be parsed.
        Error: naming another setting that is wrong.
    """
    if not is_key(task.key):
        raise Error(
            f"{task.key!r:.60} is not a valid key: 1 to {KEY_BYTES_MAX} bytes of printable text"
        )
    _check_work(task)
    _check_kind(
        str, schedule=task.phrase, time_zone=task.time_zone, description=task.description
    )
    _check_kind(bool, enabled=task.enabled, run_at_start=task.run_at_start)
    _ = task.plan
    options = {"queue": task.queue_name, "priority": task.priority, "tags": task.tags}
    for option, given in options.items():
        if given is not None:
            OPTIONS[option].read(given)
    _check_choice("on_missed", task.on_missed, ON_MISSED)
    _check_choice("overlap", task.overlap, OVERLAP)
    _check_storable(task)
    return task


def columns(task: TaskDefinition) -> dict[str, Any]:
    """Return the values of a task by the names of their columns."""
    return {
        "key": task.key,
        "schedule": task.phrase,
        "time_zone": task.time_zone,
        "class_name": task.class_name,
        "command": task.command,
        "arguments": task.arguments_json,
        "queue_name": task.queue_name,
        "priority": task.priority,
        "tags": None if task.tags is None else list(task.tags),
        "description": task.description,
        "enabled": task.enabled,
        "run_at_start": task.run_at_start,
        "on_missed": task.on_missed,
        "overlap": task.overlap,
        "source": task.source,
    }


def queue_for(queue: str | None, command: str | None) -> str | None:
    """Return the queue of a task: a command has one of its own, a job knows its own."""
    return COMMAND_QUEUE if queue is None and command else queue


def _arguments_json(class_name: str | None, args: object) -> str:
    positional, named = split_arguments(args)
    if (definition := registry.find(class_name or "")) is not None:
        definition.require(positional, named)
    return arguments.dump(positional, named)


def _check_work(task: TaskDefinition) -> None:
    if bool(task.class_name) == bool(task.command):
        raise Error("a recurring task needs a class or a command, and not both")
    if task.class_name:
        check_class(task.class_name)
        return
    if task.arguments_json != "[]":
        raise Error("a command holds its arguments itself: app.tasks.cleanup(batch=500)")
    parse_command(task.command or "")


def _check_kind(kind: type, **settings: object) -> None:
    for setting, value in settings.items():
        if not isinstance(value, kind):
            what = "a text" if kind is str else "true or false"
            raise Error(f"{setting}: {value!r:.60} is not {what}")


def _check_choice(setting: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise Error(f"{setting}: {value!r} is not one of {', '.join(choices)}")


def _check_storable(task: TaskDefinition) -> None:
    """Refuse a text that PostgreSQL can't store: it would keep all other tasks out, too."""
    for column, value in columns(task).items():
        if isinstance(value, str) and not is_storable(value):
            raise Error(f"{task.key!r}: {column} holds a character that can't be stored")
