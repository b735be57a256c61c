"""The schedule that a job's definition gives it: `@job(schedule="every day at 3am")`.

Everything about it is checked where it is written; `recurring.code_tasks` makes a recurring
task of it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING, Any, cast

from jobsd.arguments import arguments
from jobsd.errors import Error

if TYPE_CHECKING:
    from jobsd.arguments.signature import Signature

KEY_BYTES_MAX = 255
"""The maximum length of the key of a recurring task."""


@dataclass(frozen=True, slots=True)
class JobSchedule:
    """A schedule, the arguments of its runs as a job stores them, and the key of its task.

    `file` and `line` are those of the job's definition; `file` is absolute, "" if it is
    unknown.
    """

    phrase: str
    arguments_json: str
    key: str
    file: str
    line: int


def read_phrase(given: object) -> str | None:
    """Return a schedule if it can be parsed; None stays None.

    Raises:
        Error: saying why it can't.
    """
    if given is None:
        return None
    if not isinstance(given, str):
        raise Error(f"schedule: {given!r:.60} is not a text such as 'every day at 3am'")
    # Here, since most programs define no schedules.
    from jobsd.schedules import parse  # noqa: PLC0415

    parse(given, "UTC")
    return given


def read_key(given: object) -> str | None:
    """Return the key of a task if it is valid; None stays None.

    Raises:
        Error: saying what a key may be.
    """
    if given is None or is_key(given):
        return cast("str | None", given)
    raise Error(
        f"schedule_key: {given!r:.60} is not 1 to {KEY_BYTES_MAX} bytes of printable text"
    )


def job_schedule(
    options: Mapping[str, Any],
    name: str,
    takes: Signature,
    origin: Callable[..., Any],
    perform: Callable[..., Any],
) -> JobSchedule | None:
    """Return the schedule in the options of the job `name`, None if they have none.

    `origin` is the function or class that is defined, and `perform` the function that runs.

    Raises:
        Error: if an option is missing, or the job does not take the arguments.
    """
    phrase, args, key = (options[f"schedule{rest}"] for rest in ("", "_args", "_key"))
    if phrase is None:
        for option in ("schedule_args", "schedule_key"):
            if options[option] is not None:
                raise Error(f"{option} needs a schedule: @job(schedule='every day at 3am', …)")
        return None
    if key is None and not is_key(name):
        raise Error(f"{name!r:.60} can't be the key of a recurring task; give a schedule_key")
    positional, named = split_arguments(() if args is None else args)
    try:
        takes.check(positional, named)
    except TypeError as error:
        wrong = "it needs schedule_args" if args is None else "schedule_args do not fit"
        raise Error(f"the job {name!r} has a schedule, but {wrong}: {error}") from None
    dumped = arguments.dump(positional, named)
    return JobSchedule(phrase, dumped, key or name, *_source(origin, perform))


def split_arguments(args: object) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Return the positional and the named arguments.

    As in Solid Queue, a mapping at the end of a list holds named ones. A value that is neither
    a list nor a mapping is one argument.
    """
    if isinstance(args, Mapping):
        return (), cast("Mapping[str, Any]", args)
    if not isinstance(args, Sequence) or isinstance(args, (str, bytes)):
        return [args], {}
    positional = list(cast("Sequence[object]", args))
    if positional and isinstance(positional[-1], dict):
        return positional[:-1], cast("dict[str, Any]", positional[-1])
    return positional, {}


def is_key(key: object) -> bool:
    """Return whether a text is a valid key of a recurring task."""
    # Half of a surrogate pair is not printable, so the remaining text can be encoded.
    if not isinstance(key, str) or not key.isprintable():
        return False
    return 0 < len(key.encode()) <= KEY_BYTES_MAX


def _source(origin: Callable[..., Any], perform: Callable[..., Any]) -> tuple[str, int]:
    """Return the file whose age decides which deploy a task belongs to, and the line.

    A class may inherit its `perform` from another file, and a decorator may hide a function:
    then the line is 1.
    """
    module = sys.modules.get(origin.__module__)
    file = str(getattr(module, "__file__", None) or "")
    code: CodeType | None = getattr(inspect.unwrap(perform), "__code__", None)
    return file, 1 if code is None or code.co_filename != file else code.co_firstlineno
