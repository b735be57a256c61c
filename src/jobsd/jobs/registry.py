"""The jobs that this process knows, by their names."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, KeysView, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobsd import errors
from jobsd.text import closest, error_stack, is_seen, is_storable

if TYPE_CHECKING:
    from jobsd.arguments.signature import Signature

    from .job_schedule import JobSchedule
    from .limits import Limit
    from .policy import Policy
    from .time_limits import TimeLimit
    from .unique import Unique

QUEUE_BYTES_MAX = 255
CLASS_CHARACTERS_MAX = 1000
PRIORITY_MIN, PRIORITY_MAX = -(2**31), 2**31 - 1
_FRAMES_MAX = 1000


@dataclass(frozen=True, slots=True)
class Definition:
    """One job as its author has defined it."""

    name: str
    perform: Callable[..., Any]
    queue: str
    priority: int
    policy: Policy
    source: str
    """module.function, to distinguish a reload from a second job of the same name."""
    limit: Limit | None = None
    takes: Signature | None = None
    coroutine: Callable[..., Any] | None = None
    """What makes the coroutine of an asynchronous job, which `perform` runs to its end."""
    time_limit: TimeLimit | None = None
    result_ttl_s: float | None = None
    """The time for which its result is kept; None: it is not kept."""
    unique: Unique | None = None
    expires_in_s: float | None = None
    """Within how long of its first due moment it has to be begun; None: whenever."""
    tags: list[str] | None = None
    schedule: JobSchedule | None = None

    def require(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Return when the job takes these arguments.

        Raises:
            ArgumentError: with the reason, and the job's parameters.
        """
        if self.takes is None:
            return
        try:
            self.takes.check(args, kwargs)
        except TypeError as error:
            raise errors.ArgumentError(f"{error}; it takes {self.takes}") from None

    def named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments by the names of their parameters, defaults among them.

        Raises:
            TypeError: when the job does not take them.
        """
        return dict(kwargs) if self.takes is None else self.takes.named(args, kwargs)


class ModuleError(errors.Error):
    """A module that is to define jobs can't be imported; `shown` holds the user's traceback."""

    def __init__(self, module: str, error: BaseException) -> None:
        self.module = module
        self.shown = error_stack(error, _FRAMES_MAX).rstrip()
        super().__init__(f"can't import {module!r}: {type(error).__name__}: {error}")


_definitions: dict[str, Definition] = {}
_asynchronous: set[str] = set()
_HOW_KNOWN = (
    "that `import:` in queue.yml has the module that defines it;"
    " a running daemon loads modules only at start and on HUP"
)


def register(definition: Definition) -> None:
    """Make a job known under its name.

    Raises:
        Error: when another job has the name, or the key of its schedule.
    """
    known = _definitions.get(definition.name)
    if known is not None and known.source != definition.source:
        raise errors.Error(
            f"two jobs are named {definition.name!r}: {known.source} and {definition.source}",
        )
    if definition.schedule is not None:
        _require_own_key(definition, definition.schedule.key)
    _definitions[definition.name] = definition
    if definition.coroutine is not None:
        _asynchronous.add(definition.name)
    else:
        _asynchronous.discard(definition.name)


def _require_own_key(definition: Definition, key: str) -> None:
    for other in _definitions.values():
        is_same = other.name == definition.name
        if other.schedule is not None and other.schedule.key == key and not is_same:
            raise errors.Error(
                f"two jobs have the schedule_key {key!r}: {other.source} and"
                f" {definition.source}"
            )


def find(name: str) -> Definition | None:
    """Return the job of this name, or None."""
    return _definitions.get(name)


def get(name: str) -> Definition:
    """Return the job of this name.

    Raises:
        UnknownJobError: naming the nearest known job, and how jobs become known.
    """
    known = _definitions.get(name)
    if known is None:
        same = [full for full in _definitions if full.rpartition(".")[2] == name]
        near = same[0] if same else closest(name, _definitions)
        hint = f"did you mean {near!r}? Else check" if near else "check"
        raise errors.UnknownJobError(name, f"; {hint} {_HOW_KNOWN}")
    return known


def known() -> KeysView[str]:
    """Return the names of all jobs, as they are at any time."""
    return _definitions.keys()


def asynchronous() -> AbstractSet[str]:
    """Return the names of the asynchronous jobs, as they are at any time."""
    return _asynchronous


def definitions() -> list[Definition]:
    """Return all jobs, by name."""
    return [_definitions[name] for name in sorted(_definitions)]


def load_modules(names: Iterable[str], root: Path) -> None:
    """Import the modules that define jobs, with `root` as the first place to look.

    Raises:
        ModuleError: for the first that can't be imported, whatever it raises.
    """
    folder = str(root)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    for name in names:
        try:
            importlib.import_module(name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise ModuleError(name, error) from error


def check_queue(name: object) -> str:
    """Return a queue's name when it is one.

    Raises:
        Error: saying what a name may be.
    """
    if isinstance(name, str) and _is_queue_name(name):
        return name
    raise errors.Error(
        f"{str(name)[:60]!r} is not a queue name: 1 to {QUEUE_BYTES_MAX} bytes of printable"
        " text without '*' and ',', and no space at its ends",
    )


def check_class(name: object) -> str:
    """Return the name of a job when a table can hold it, whether there is one or not.

    Raises:
        Error: saying what a name may be.
    """
    if isinstance(name, str) and 0 < len(name) <= CLASS_CHARACTERS_MAX and is_storable(name):
        return name
    raise errors.Error(
        f"{str(name)[:60]!r} is not a name of a job: 1 to {CLASS_CHARACTERS_MAX} characters"
        " of text without NUL"
    )


def check_priority(value: object) -> int:
    """Return a priority when it is one; smaller numbers run first.

    Raises:
        Error: naming the valid priorities.
    """
    if isinstance(value, int) and not isinstance(value, bool):  # noqa: SIM102 - narrows
        if PRIORITY_MIN <= value <= PRIORITY_MAX:
            return value
    raise errors.Error(
        f"{value!r} is not a priority: a whole number from {PRIORITY_MIN} to {PRIORITY_MAX};"
        " smaller numbers run first",
    )


def check_count(option: str, value: object, most: int = 2**31 - 1) -> int:
    """Return the value of an option that is a count.

    Raises:
        Error: saying what it may be.
    """
    # A bool is an int too, but no number that anybody means.
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
        return value
    raise errors.Error(f"{option}: {value!r:.60} is not a whole number from 1 to {most}")


def check_line(option: str, given: str) -> str:
    """Return the value of an option that is a line of text.

    Raises:
        Error: saying what it may be.
    """
    if isinstance(given, str) and given.isprintable():  # pyright: ignore[reportUnnecessaryIsInstance]
        return given
    raise errors.Error(f"{option}: {given!r} is not a line of printable text")


def _is_queue_name(name: str) -> bool:
    plain = is_seen(name) and name == name.strip(" ") and not set("*,") & set(name)
    return plain and 0 < len(name.encode()) <= QUEUE_BYTES_MAX
