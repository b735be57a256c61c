"""The job behind a `command`: it calls the command that the table has for the task's key.

Its payload is that key and no more: a client that may only enqueue jobs can run a command
again, but never choose another one. The command is in `recurring_tasks`, which more roles than
the operator's may write. So a process calls only

- a command that its own recurring.yml has word for word, with any content;
- a function defined in a module of `import:`, or below one, and imported already;
- functions of jobsd that act on the queue alone (`OURS`).

Invariant: no other text of the table makes a process import anything, or reach a name that one
of these modules has only imported (`app.jobs.os.system`).
"""

import importlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jobsd.database.statements import Statements
from jobsd.enqueueing.on_demand import lent, replaceable
from jobsd.errors import NotFoundError, RefusedError
from jobsd.jobs import definition, enqueueable

from .command import parse_command
from .definition import COMMAND_QUEUE

STATEMENTS = Statements("jobsd.recurring", "command_job.sql")

OURS = frozenset(
    f"jobsd.{name}"
    for name in (
        "HeartbeatJob clear_finished_in_batches discard discard_all retry retry_all"
        " queues.clear queues.pause queues.resume"
    ).split()
)
"""The functions of jobsd that any process may call."""

COMMAND_JOB = "RecurringCommandJob"
"""The name of the job; each process registers it with the calls that it may make."""


@dataclass(frozen=True, slots=True)
class AllowedCalls:
    """Calls allowed to a process: of these modules, and the commands of recurring.yml."""

    modules: frozenset[str] = frozenset()
    commands: frozenset[str] = frozenset()

    def function_of(self, command: str) -> Any:  # noqa: ANN401 - whatever the module holds
        """Return the function of a command, if it may be called here.

        Raises:
            CommandError: if it can't be parsed.
            NotFoundError: if no object has the name.
            RefusedError: if it may not be called here.
        """
        target = parse_command(command).target
        if command in self.commands or target in OURS:
            return find_function(target)
        home = next((name for name in _prefixes(target) if name in sys.modules), "")
        parts = target.removeprefix(f"{home}.").split(".")
        if not self._is_callable_here(home) or any(part.startswith("_") for part in parts):
            raise RefusedError(_refusal(target))
        found = _reach(target, sys.modules[home], parts)
        if not self._is_callable_here(getattr(found, "__module__", None)):
            raise RefusedError(_refusal(target))
        return _callable(target, found)

    def _is_callable_here(self, module: object) -> bool:
        return isinstance(module, str) and any(
            module == name or module.startswith(f"{name}.") for name in self.modules
        )


def register(modules: Iterable[str] = (), commands: Iterable[str] = ()) -> type[definition.Job]:
    """Register the job with the allowed calls of this process: see `AllowedCalls`."""
    allowed = AllowedCalls(frozenset(modules), frozenset(commands))

    class RecurringCommandJob(definition.Job):
        """Calls the function that a recurring task's `command` names, in the worker."""

        name = COMMAND_JOB
        queue = COMMAND_QUEUE

        def perform(self, key: str) -> None:
            """Find the task's command and call it.

            Raises:
                NotFoundError: if the task is gone, or no object has the command's name.
                RefusedError: if it may not be called here.
            """
            text = stored_command(key)
            if text is None:
                raise NotFoundError(f"there is no recurring task {key!r} with a command")
            command = parse_command(text)
            allowed.function_of(text)(*command.args, **command.kwargs)

    return RecurringCommandJob


register()


@replaceable
def stored_command(key: str) -> str | None:
    """Return the command of a recurring task; None without such a task."""
    with lent() as session:
        rows = session.fetch(STATEMENTS["command"], {"key": key})
    return str(rows[0][0]) if rows else None


def find_function(target: str) -> Any:  # noqa: ANN401 - whatever the module holds
    """Import the object with a dotted name, and return it as a callable.

    A job's class is performed, not instantiated.

    Raises:
        NotFoundError: naming the part of the name that does not exist.
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
    is_class = isinstance(found, type) and issubclass(found, definition.Job)
    return is_class or isinstance(found, enqueueable.FunctionJob)


def _import(target: str) -> tuple[Any, list[str]]:
    """Import the innermost module that the name begins with; return it and the other parts."""
    parts = target.split(".")
    found: Any = None
    for n in range(1, len(parts)):
        name = ".".join(parts[:n])
        try:
            found = importlib.import_module(name)
        except ModuleNotFoundError as error:
            # A missing module further inside is an error of the module that imports it.
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            if found is None:
                message = f"{target!r} can't be called: there is no module {name!r}"
                raise NotFoundError(message) from None
            return found, parts[n - 1 :]
    return found, parts[-1:]


def _prefixes(target: str) -> Iterable[str]:
    """Yield the possible names of a module, the longest first."""
    while "." in target:
        target = target.rpartition(".")[0]
        yield target


def _refusal(target: str) -> str:
    return (
        f"{target!r} is not called: it is defined in no module of `import:`, and its command"
        " does not stand in this process's recurring.yml"
    )
