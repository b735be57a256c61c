"""Reads recurring.yml: the keys of each task, checked with line and column."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from jobsd.arguments.arguments import dump
from jobsd.errors import ArgumentError, Error
from jobsd.jobs import job_schedule
from jobsd.recurring import definition
from jobsd.recurring.command import CommandError, parse_command
from jobsd.schedules import ScheduleError, parse
from jobsd.text import shipped_text

from . import document, kinds
from .faults import Faults, Mistake, label, nearest
from .fields import Entry
from .source import Mapping, Node, Pair, Source, SourceSpan, is_null, literal

_WORK = frozenset({"class", "command", "schedule"})
_KEYS = _WORK | {"args", "queue", "priority", "tags", "description", "time_zone", "enabled"}
_PRIORITY = kinds.whole(-(1 << 31), (1 << 31) - 1)

CLEARING = "clear_finished"
"""The shipped task that an application of a framework has, unless it has a file."""


def is_own(pair: Pair) -> bool:
    """Return whether a pair of the top level is a task, not a section."""
    if not isinstance(pair.value, Mapping):
        return False
    return not _WORK.isdisjoint(pair.value.pairs) or _turns_off(pair.value)


def _turns_off(value: Mapping) -> bool:
    """Return whether an entry is `{enabled: false}`, which turns off a task of the code."""
    enabled = value.pairs.get("enabled")
    is_alone = len(value.pairs) == 1
    return enabled is not None and is_alone and literal(enabled.value) is False


def read(
    section: Mapping, time_zone: str, faults: Faults, warnings: list[str]
) -> Iterator[definition.TaskDefinition]:
    """Read the tasks of one section; `time_zone` is the default of their schedules."""
    for pair in section.pairs.values():
        if faults.full:
            return
        span, key = pair.key.span, pair.key.text
        if not job_schedule.is_key(key):
            expected = f"1 to {job_schedule.KEY_BYTES_MAX} bytes of printable text"
            faults.add(span, f"the key of a task must have {expected}")
        if not isinstance(pair.value, Mapping):
            faults.add(span, f"{label(key)} must be a mapping", _misplaced(pair))
            continue
        with Entry(pair.value, label(key), span, faults) as entry:
            task = (
                _switch(key, entry)
                if _turns_off(pair.value)
                else _task(key, entry, time_zone, faults, warnings)
            )
        if not task.is_switch:
            _check(task, span, faults)
        yield task


def shipped(time_zone: str) -> definition.TaskDefinition:
    """Return the task `CLEARING` as the shipped recurring.yml has it."""
    faults = Faults()
    text = shipped_text("shipped/config/recurring.yml")
    top = document.compose(Source("recurring.yml", text), {}, faults)
    assert isinstance(top, Mapping)  # noqa: S101 - our own file
    section = top.pairs["default"].value
    assert isinstance(section, Mapping)  # noqa: S101
    (task,) = (each for each in read(section, time_zone, faults, []) if each.key == CLEARING)
    return replace(task, source=definition.SHIPPED)


def _check(task: definition.TaskDefinition, span: SourceSpan, faults: Faults) -> None:
    """Check a task as a whole, once each of its fields is valid."""
    if faults.any:
        return
    try:
        definition.check(task)
    except Error as error:
        faults.add(span, str(error))


def _misplaced(pair: Pair) -> str:
    if is_null(pair.value):
        return "to turn a task off write `enabled: false` below its key"
    near = nearest(pair.key.text, _KEYS)
    return f'"{near}" belongs below the key of a task' if near else ""


def _task(
    key: str, entry: Entry, default_zone: str, faults: Faults, warnings: list[str]
) -> definition.TaskDefinition:
    class_name = entry.read("class", kinds.optional(kinds.text(kinds.read_name)), None)
    command = entry.read("command", kinds.optional(kinds.text(_command)), None)
    _check_work(entry)
    time_zone = entry.read("time_zone", kinds.optional(kinds.TIME_ZONE), None) or default_zone
    arguments = kinds.Kind(partial(_arguments, faults=faults), "arguments")
    queue = entry.read("queue", kinds.optional(kinds.text(kinds.read_queue)), None)
    return definition.TaskDefinition(
        key=key,
        class_name=class_name,
        command=command,
        arguments_json=entry.read("args", arguments, "[]"),
        queue_name=definition.queue_for(queue, command),
        priority=entry.read("priority", kinds.optional(_PRIORITY), None),
        tags=entry.read("tags", kinds.optional(kinds.texts(str, "tags")), None),
        description=entry.read("description", kinds.optional(kinds.text(str)), None) or "",
        time_zone=time_zone,
        enabled=entry.read("enabled", kinds.boolean, default=True),
        run_at_start=entry.read("run_at_start", kinds.boolean, default=False),
        on_missed=entry.read("on_missed", kinds.choice(*definition.ON_MISSED), "skip"),
        overlap=entry.read("overlap", kinds.choice(*definition.OVERLAP), "allow"),
        phrase=_phrase(entry, time_zone, warnings),
        source=_source(entry),
        arguments_source=entry.span_of("args").name,
    )


def _switch(key: str, entry: Entry) -> definition.TaskDefinition:
    return definition.TaskDefinition(
        key=key,
        phrase="",
        enabled=entry.read("enabled", kinds.boolean, default=False),
        source=_source(entry),
        arguments_source=entry.span_of("enabled").name,
    )


def _check_work(entry: Entry) -> None:
    """Check that exactly one of `class` and `command` is given."""
    if entry.is_given("class") and entry.is_given("command"):
        entry.wrong("command", "can't be used together with class", "keep one of the two")
    elif entry.is_given("command") and entry.is_given("args"):
        hint = 'write them into the command: "app.tasks.cleanup(batch=500)"'
        entry.wrong("args", "can't be used together with command", hint)
    elif not entry.is_given("class") and not entry.is_given("command"):
        entry.missing("write what the task runs", "class", "command")


def _phrase(entry: Entry, time_zone: str, warnings: list[str]) -> str:
    """Read the schedule, and check it in its time zone."""
    if entry.is_given("schedule") and entry.is_given("every"):
        entry.wrong("every", "can't be used together with schedule", "keep one of the two")
    elif not entry.is_given("schedule") and not entry.is_given("every"):
        hint = 'such as "every 5 minutes", "at 5am every day" or "*/15 * * * *"'
        entry.missing(hint, "schedule")
    check = partial(_checked, time_zone=time_zone, source=_source(entry), warnings=warnings)
    interval = kinds.text(lambda length: check(f"every: {length}"))
    phrase = entry.read("schedule", kinds.optional(kinds.text(check)), None)
    return phrase or entry.read("every", kinds.optional(interval), None) or ""


def _checked(phrase: str, time_zone: str, source: str, warnings: list[str]) -> str:
    try:
        schedule = parse(phrase, time_zone)
    except ScheduleError as error:
        raise kinds.refused("is not a schedule", phrase, error) from None
    warnings.extend(f"{source} {warning}" for warning in schedule.warnings)
    return phrase


def _source(entry: Entry) -> str:
    return f"{entry.span.source.name}:{entry.span.line}"


def _command(call: str) -> str:
    try:
        parse_command(call)
    except CommandError as error:
        raise Mistake(
            f"can't be read: {error.message}", error.hint, quotes_value=False
        ) from None
    return call


def _arguments(node: Node, faults: Faults) -> str:
    try:
        return dump(*job_schedule.split_arguments([] if is_null(node) else literal(node)))
    except ArgumentError as error:
        if faults.any:
            # A text that PostgreSQL can't store was reported as a fault already.
            return "[]"
        raise Mistake(f"can't be stored: {error}", quotes_value=False) from None
