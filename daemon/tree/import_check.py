"""The import check: the user's modules, and whether recurring tasks fit their jobs.

A child that is thrown away imports them once, so that a fault is reported with its line
before anything is started, and nothing of theirs stays in the supervisor.
"""

import contextlib
import importlib
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace

from jobsd import handed_on
from jobsd.configuration.options import Options
from jobsd.configuration.source import SourceSpan, UnreadableError, read_source
from jobsd.daemon import shipped
from jobsd.errors import ArgumentError, Error, Fault
from jobsd.events import hooks
from jobsd.jobs import registry
from jobsd.recurring.code_tasks import is_of_code, with_code_tasks
from jobsd.recurring.command import Command, parse_command
from jobsd.recurring.command_job import find_function
from jobsd.recurring.definition import TaskDefinition
from jobsd.text import closest

from . import child, unattended

_FRAMES_MAX = 10


@dataclass(frozen=True, slots=True)
class Imported:
    """The faults of the modules, and the lifecycle hooks and events that they register."""

    faults: tuple[Fault, ...]
    warnings: tuple[str, ...] = ()
    hooks: frozenset[str] = frozenset()
    events: frozenset[str] = frozenset()
    code_tasks: tuple[TaskDefinition, ...] = ()
    """The recurring tasks of the code."""
    applied: str = ""
    """The database into which the application enqueues, as JSON: see `handed_on`. A web server
    has named it, otherwise the modules have."""


def check_imports(options: Options) -> Imported:
    """Import the modules in a child, and compare the recurring tasks with their jobs."""
    # Our modules, before: each page of memory that a child writes to is copied for it.
    shipped.import_shipped_jobs()
    # In memory: a disk that is full or read-only is no reason not to start.
    with open(os.memfd_create("jobsd import check"), "w+", encoding="utf-8") as report:  # noqa: PTH123

        def work() -> int:
            wrong, compared = _compare(options)
            odd = [] if wrong else list(unattended.unserved_queues(compared))
            found = [asdict(fault) for fault in wrong]
            of_code = [asdict(task) for task in compared.tasks if is_of_code(task)]
            calls = [list(hooks.registered()), list(hooks.subscribed())]
            json.dump([found, odd, *calls, of_code, _applied(options)], report)
            report.flush()
            return 0

        status = child.in_child(work)
        report.seek(0)
        found = report.read()
    if status != 0 or not found:
        names = ", ".join(options.imports)
        fault = Fault(f"importing {names} ended the process with status {status}")
        return Imported((fault,))
    wrong, odd, moments, events, of_code, named = json.loads(found)
    return Imported(
        tuple(Fault(**fault) for fault in wrong),
        tuple(odd),
        frozenset(moments),
        frozenset(events),
        tuple(TaskDefinition(**task) for task in of_code),
        named,
    )


def _applied(options: Options) -> str:
    """Return the database of the application, as JSON, "" if ours need not be the same."""
    name = handed_on.APPLIED
    named = os.environ.get(name) or handed_on.applied().get(name, "")
    if not named:
        return ""
    url, schema, *only_against = json.loads(named)
    by = dict(options.given).get("database_url")
    return "" if only_against and by not in only_against else json.dumps([url, schema])


def scheduling(code_tasks: Iterable[TaskDefinition], options: Options) -> Options:
    """Return the options with a scheduler if there are such tasks and the tree may have one."""
    wanted = "scheduler" in options.only and any(code_tasks)
    return replace(options, schedules=options.schedules or wanted)


def _compare(options: Options) -> tuple[list[Fault], Options]:
    """Import the modules here; return all faults, and the options with the code's tasks."""
    broken = [fault for name in options.imports if (fault := _import(name, options))]
    if broken:
        # The jobs that these modules would have defined are unknown.
        return broken[:20], options
    if not (options.skip_recurring or options.until_empty):
        tasks = with_code_tasks(options.tasks, options.time_zone, options.root)
        options = scheduling(tasks, replace(options, tasks=tasks))
    wrong = [fault for task in options.tasks[:10_000] if (fault := _fault_of(task, options))]
    return wrong[:50], options


def misfit(task: TaskDefinition) -> tuple[str, str] | None:
    """Return the key of a task's entry that misfits the known jobs, and why; None if none.

    The key is "class" or "args", or "enabled" of an entry that turns off a task of the code.
    """
    if task.is_switch:
        return "enabled", f"no job has a schedule with the key {task.key!r}"
    if task.class_name is None:
        return None
    definition = registry.find(task.class_name)
    if definition is None:
        return "class", f"no job is registered as {task.class_name!r}"
    try:
        definition.require(*task.arguments)
    except ArgumentError as error:
        return "args", str(error)
    return None


def _import(name: str, options: Options) -> Fault | None:
    try:
        with contextlib.redirect_stdout(sys.stderr):
            registry.load_modules((name,), options.root)
    except registry.ModuleError as error:
        return Fault(str(error)[:1000], excerpt=_where(error.__cause__), hint=_hint(error))
    return None


def _hint(error: registry.ModuleError) -> str:
    missing = isinstance(error.__cause__, ModuleNotFoundError)
    if missing and error.__cause__.name == error.module.split(".")[0]:  # type: ignore[union-attr]
        return "modules are searched in the project's folder first, then where Python searches"
    return ""


def _where(error: BaseException | None) -> str:
    """Return the lines of the user's code that led to an error, in Python's form."""
    if error is None:
        return ""
    import traceback  # slow to load, and only for modules that are broken

    lines: list[str] = []
    if not isinstance(error, SyntaxError):
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [frame for frame in frames if not _is_of_importing(frame.filename)]
        lines += traceback.format_list(theirs[-_FRAMES_MAX:])
    lines += traceback.format_exception_only(error)
    return "".join(lines)[:8000].rstrip()


def _is_of_importing(filename: str) -> bool:
    return filename.startswith("<frozen") or filename in {registry.__file__, importlib.__file__}


def _fault_of(task: TaskDefinition, options: Options) -> Fault | None:
    if wrong := misfit(task):
        what, why = wrong
        hint = "" if what == "args" else _hint_for(task, options)
        return _at(task, what, f"{task.key}.{what}: {why}", hint, options)
    if task.command is None:
        return None
    try:
        command = parse_command(task.command)
        wrong_call = _wrong_call(find_function(command.target), command)
        if wrong_call:
            message = f"{task.key}.command: {command.target}: {wrong_call}"
            return _at(task, "command", message, "", options)
    except Error as error:
        return _at(task, "command", f"{task.key}.command: {error}", "", options)
    except Exception as error:  # noqa: BLE001 - whatever the user's module raises
        message = f"{task.key}.command: {type(error).__name__}: {error}"
        return _at(task, "command", message[:1000], "", options)
    return None


def _wrong_call(function: Callable[..., object], command: Command) -> str:
    """Return why a function does not take the arguments of a command, "" if it does."""
    try:
        # A decorator may pass the function inside arguments that a caller does not.
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        # Written in C: its arguments are unknown.
        return ""
    try:
        signature.bind(*command.args, **command.kwargs)
    except TypeError as error:
        return str(error)
    return ""


def _hint_for(task: TaskDefinition, options: Options) -> str:
    """Return a near name, or that a module may be missing."""
    known = registry.definitions()
    if task.is_switch:
        near = closest(task.key, [each.schedule.key for each in known if each.schedule])
    else:
        near = closest(task.class_name or "", [each.name for each in known])
    if near:
        return f"did you mean {near}?"
    imported = f"; it has {', '.join(options.imports)}" if options.imports else ""
    return f"add the module that defines it to `import:` in queue.yml{imported}"


def _at(task: TaskDefinition, key: str, message: str, hint: str, options: Options) -> Fault:
    """Return the fault at the line of the task's key."""
    where = task.arguments_source if key == "args" else ""
    name, line, column = (where or f"{task.source}:1").rsplit(":", 2)
    try:
        source = read_source(options.root, name)
    except UnreadableError:
        source = None
    if source is None or not line.isdecimal():
        return Fault(message, task.source or "", hint=hint)
    start = sum(len(text) + 1 for text in source.text.split("\n")[: int(line) - 1])
    if where:
        start += int(column) - 1
        return SourceSpan(source, start, start + 1).fault(message, hint)
    said = task.class_name or task.command or "false"
    found = re.compile(rf"\b{key}\s*:\s*[\"']?({re.escape(said)})").search(source.text, start)
    at, end = found.span(1) if found else (start, start + 1)
    return SourceSpan(source, at, end).fault(message, hint)
