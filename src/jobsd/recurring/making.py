"""A recurring task before it is stored: what its row will hold, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, cast

from jobsd.errors import Error
from jobsd.jobs import registry
from jobsd.jobs.arguments import dump
from jobsd.jobs.registry import check_priority, check_queue
from jobsd.schedules import parse
from jobsd.text import is_storable

from .command import parse_command

if TYPE_CHECKING:
    from .task import TaskOptions

COMMAND_QUEUE = "recurring"
"""Where commands run, unless their task says otherwise."""

KEY_BYTES_MAX = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """The columns of a task that a person decides; `arguments` is JSON text."""

    key: str
    schedule: str
    time_zone: str = "UTC"
    class_name: str | None = None
    command: str | None = None
    arguments: str
    queue_name: str | None
    priority: int | None = None
    description: str = ""
    enabled: bool = True
    run_at_start: bool = False
    on_missed: str = "skip"
    overlap: str = "allow"

    def columns(self) -> dict[str, Any]:
        """Return the values by the names of their columns."""
        # Not `asdict`: it copies each value, 0.2 s of the start with 10,000 tasks.
        return {each.name: getattr(self, each.name) for each in fields(self)}


def task(
    key: str,
    *,
    class_name: str | None = None,
    command: str | None = None,
    args: Sequence[Any] | Mapping[str, Any] = (),
    queue: str | None = None,
    **settings: Any,  # noqa: ANN401 - those of NewTask
) -> NewTask:
    """Return a task with these settings, which are those of recurring.yml.

    Raises:
        ScheduleError: when the schedule or the time zone can't be read.
        CommandError: when the command can't be read.
        ArgumentError: when the job is known here and takes other arguments.
        TypeError: for a setting that there is not, or without a schedule.
        Error: for anything else that can't be meant.
    """
    _check_work(class_name, command, args)
    positional, named = _call_arguments(class_name, args)
    made = NewTask(
        key=key,
        class_name=class_name,
        command=command,
        arguments=dump(positional, named),
        queue_name=queue or COMMAND_QUEUE if command else queue,
        **settings,
    )
    _check(made)
    return _storable(made)


def from_options(options: TaskOptions) -> NewTask:
    """Return the task that an entry of recurring.yml makes: it was checked when it was read.

    Raises:
        Error: when its arguments or texts can't be stored.
    """
    return _storable(
        NewTask(
            key=options.key,
            schedule=options.schedule,
            time_zone=options.time_zone,
            class_name=options.class_name,
            command=options.command,
            arguments=dump(*options.call_arguments()),
            queue_name=options.queue_name or (COMMAND_QUEUE if options.command else None),
            priority=options.priority,
            description=options.description,
            enabled=options.enabled,
            run_at_start=options.run_at_start,
            on_missed=options.on_missed,
            overlap=options.overlap,
        )
    )


def _check(made: NewTask) -> None:
    _require(str, time_zone=made.time_zone, description=made.description)
    _require(bool, enabled=made.enabled, run_at_start=made.run_at_start)
    _check_key(made.key)
    parse(made.schedule, made.time_zone, key=made.key)
    if made.queue_name is not None:
        check_queue(made.queue_name)
    if made.priority is not None:
        check_priority(made.priority)
    _check_one_of("on_missed", made.on_missed, "skip", "once", "all")
    _check_one_of("overlap", made.overlap, "allow", "skip")


def _storable(made: NewTask) -> NewTask:
    """Return the task when PostgreSQL can store its texts: one that can't spoils all others."""
    for column, value in made.columns().items():
        text = value if isinstance(value, str) else ""
        if not is_storable(text):
            raise Error(f"{made.key!r}: {column} holds a character that can't be stored")
    return made


def _call_arguments(
    class_name: str | None, args: Sequence[Any] | Mapping[str, Any]
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Return positional and named ones that the job takes, if it is known here."""
    positional, named = _told_apart(args)
    if (definition := registry.find(class_name or "")) is not None:
        definition.require(positional, named)
    return positional, named


def _told_apart(
    args: Sequence[Any] | Mapping[str, Any],
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Return positional and named ones; a mapping at the end of a list holds named ones."""
    if isinstance(args, Mapping):
        return (), args
    # One value of any other kind is one argument.
    several = isinstance(args, Sequence) and not isinstance(args, (str, bytes))  # pyright: ignore[reportUnnecessaryIsInstance]
    positional: list[Any] = list(args) if several else [args]
    named: dict[str, Any] = {}
    if positional and isinstance(positional[-1], dict):
        named = cast("dict[str, Any]", positional.pop())
    return positional, named


def _check_work(class_name: str | None, command: str | None, args: object) -> None:
    if bool(class_name) == bool(command):
        raise Error("a recurring task needs a class or a command, and not both")
    if command:
        if args:
            raise Error("a command holds its arguments itself: app.tasks.cleanup(batch=500)")
        parse_command(command)


def is_key(key: object) -> bool:
    """Return whether a task may have this key."""
    # Half of a surrogate pair is not printable, so that what is left can be encoded.
    if not isinstance(key, str) or not key.isprintable():
        return False
    return 0 < len(key.encode()) <= KEY_BYTES_MAX


def _check_key(key: str) -> None:
    if not is_key(key):
        raise Error(f"{key!r:.60} is no key: 1 to {KEY_BYTES_MAX} bytes of printable text")


def _require(kind: type, **settings: object) -> None:
    for setting, value in settings.items():
        if not isinstance(value, kind):
            what = "a text" if kind is str else "true or false"
            raise Error(f"{setting}: {value!r:.60} is not {what}")


def _check_one_of(setting: str, value: str, *allowed: str) -> None:
    if value not in allowed:
        raise Error(f"{setting}: {value!r} is none of {', '.join(allowed)}")
