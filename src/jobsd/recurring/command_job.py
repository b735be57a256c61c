"""The job behind a `command`: it calls what stands beside the task's key.

Its payload is that key and nothing else: who can only enqueue jobs can run a command again,
and never choose what is called. That stands in `recurring_tasks`, where more may write than
the operator. So a process calls only

- what its own recurring.yml says, word for word: whatever that is;
- what is defined in a module of `import:`, or below one, and imported already;
- what of jobsd's own touches nothing but the queue (`OURS`).

Invariant: no other text of the table makes a process import anything, or reach what one of
these modules has imported itself (`app.jobs.os.system`).
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from jobsd.database.statements import Statements
from jobsd.errors import NotFoundError, RefusedError
from jobsd.jobs.client import default_client
from jobsd.jobs.definition import Job
from jobsd.jobs.enqueueable import FunctionJob

from .command import parse_command

if TYPE_CHECKING:
    from collections.abc import Iterable

STATEMENTS = Statements("jobsd.recurring", "command_job.sql")

OURS = frozenset(
    f"jobsd.{name}"
    for name in (
        "HeartbeatJob clear_finished_in_batches discard discard_all retry retry_all"
        " queues.clear queues.pause queues.resume"
    ).split()
)
"""What any process may call of jobsd."""

_modules: frozenset[str] = frozenset()
_commands: frozenset[str] = frozenset()


def allow(modules: Iterable[str], commands: Iterable[str] = ()) -> None:
    """Say what this process may call: of these modules, and by these very texts."""
    global _modules, _commands
    _modules, _commands = frozenset(modules), frozenset(commands)


class RecurringCommandJob(Job):
    """Calls the function that a recurring task's `command` names, in the worker."""

    name = "RecurringCommandJob"
    queue = "recurring"

    def perform(self, key: str) -> None:
        """Look up the task's command and call it.

        Raises:
            NotFoundError: when there is no such task any more, or nothing of the name.
            RefusedError: when it is not to be called here.
        """
        with default_client().session() as session:
            rows = session.fetch(STATEMENTS["command"], {"key": key})
        if not rows:
            raise NotFoundError(f"there is no recurring task {key!r} with a command")
        text = rows[0][0]
        command = parse_command(text)
        function_of(text)(*command.args, **command.kwargs)


def function_of(command: str) -> Any:  # noqa: ANN401 - whatever the module holds
    """Return what a command calls, if it may be called here.

    Raises:
        CommandError: when it can't be read.
        NotFoundError: when there is nothing of the name.
        RefusedError: when it is not to be called here.
    """
    target = parse_command(command).target
    if command in _commands or target in OURS:
        return find_function(target)
    home = next((name for name in _prefixes(target) if name in sys.modules), "")
    parts = target.removeprefix(f"{home}.").split(".")
    if not _is_ours_to_call(home) or any(part.startswith("_") for part in parts):
        raise RefusedError(_refusal(target))
    found = _reach(target, sys.modules[home], parts)
    if not _is_ours_to_call(getattr(found, "__module__", None)):
        raise RefusedError(_refusal(target))
    return _callable(target, found)


def _is_ours_to_call(module: object) -> bool:
    return isinstance(module, str) and any(
        module == name or module.startswith(f"{name}.") for name in _modules
    )


def _prefixes(target: str) -> Iterable[str]:
    """Yield what may be the name of a module, the longest first."""
    while "." in target:
        target = target.rpartition(".")[0]
        yield target


def _refusal(target: str) -> str:
    return (
        f"{target!r} is not called: it is defined in no module of `import:`, and its command"
        " does not stand in this process's recurring.yml"
    )


def find_function(target: str) -> Any:  # noqa: ANN401 - whatever the module holds
    """Import what a dotted name means, and return it as something to call.

    A class that is a job is not made but performed.

    Raises:
        NotFoundError: saying which part of the name there is not.
    """
    return _callable(target, _reach(target, *_import(target)))


def _reach(target: str, found: Any, parts: list[str]) -> Any:  # noqa: ANN401
    for part in parts:
        if not hasattr(found, part):
            raise NotFoundError(f"{target!r} can't be called: it has no {part!r}")
        found = getattr(found, part)
    return found


def _callable(target: str, found: Any) -> Any:  # noqa: ANN401
    if _is_job(found):
        return found.perform_now
    if not callable(found):
        raise NotFoundError(f"{target!r} can't be called: it is a {type(found).__name__}")
    return found


def _is_job(found: object) -> bool:
    is_class = isinstance(found, type) and issubclass(found, Job)
    return is_class or isinstance(found, FunctionJob)


def _import(target: str) -> tuple[Any, list[str]]:
    """Return the innermost module that the name begins with, and the parts behind it."""
    parts = target.split(".")
    found: Any = None
    for n in range(1, len(parts)):
        name = ".".join(parts[:n])
        try:
            found = importlib.import_module(name)
        except ModuleNotFoundError as error:
            # One that is missing further inside is the module's own fault, told as such.
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            if found is None:
                told = f"{target!r} can't be called: there is no module {name!r}"
                raise NotFoundError(told) from None
            return found, parts[n - 1 :]
    return found, parts[-1:]
