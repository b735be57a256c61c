"""The job behind a `command`: it calls what the operator wrote beside the task's key.

Its payload is that key and nothing else. Who can only enqueue jobs can thus run a command
again, but never choose what is imported or called: that stands in `recurring_tasks`, where
recurring.yml and the commands of the operator write.
"""

from __future__ import annotations

import importlib
from typing import Any

from jobsd.database.statements import Statements
from jobsd.errors import NotFoundError
from jobsd.jobs.client import default_client
from jobsd.jobs.definition import Job
from jobsd.jobs.enqueueable import FunctionJob

from .command import parse_command

STATEMENTS = Statements("jobsd.recurring", "command_job.sql")


class RecurringCommandJob(Job):
    """Calls the function that a recurring task's `command` names, in the worker."""

    name = "RecurringCommandJob"
    queue = "recurring"

    def perform(self, key: str) -> None:
        """Look up the task's command and call it.

        Raises:
            NotFoundError: when there is no such task any more, or nothing of the name.
        """
        with default_client().session() as session:
            rows = session.fetch(STATEMENTS["command"], {"key": key})
        if not rows:
            raise NotFoundError(f"there is no recurring task {key!r} with a command")
        command = parse_command(rows[0][0])
        function = find_function(command.target)
        function(*command.args, **command.kwargs)


def find_function(target: str) -> Any:  # noqa: ANN401 - whatever the module holds
    """Import what a dotted name means, and return it as something to call.

    A class that is a job is not made but performed.

    Raises:
        NotFoundError: saying which part of the name there is not.
    """
    found, rest = _import(target)
    for part in rest:
        if not hasattr(found, part):
            raise NotFoundError(f"{target!r} can't be called: it has no {part!r}")
        found = getattr(found, part)
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
