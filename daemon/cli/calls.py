"""Reads a job and its arguments from the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from jobsd import errors

if TYPE_CHECKING:
    from jobsd.jobs.registry import Definition


@dataclass(frozen=True, slots=True)
class Call:
    """A job that is known here, with valid arguments."""

    definition: Definition
    args: list[Any]
    kwargs: dict[str, Any]


def read_call(name: str, text: str) -> Call:
    """Return the job of this name with arguments from JSON: a list, or an object of names.

    Raises:
        UnknownJobError: if no module that was imported defines it.
        click.UsageError: if the arguments can't be read, or don't fit the job.
    """
    from jobsd.arguments import arguments
    from jobsd.jobs import registry

    definition = registry.get(name)
    try:
        args, kwargs = arguments.load(text)
        if definition.takes is not None:
            definition.takes.check(args, kwargs)
    except (errors.ArgumentError, TypeError) as fault:
        raise click.UsageError(_of_argument(fault), click.get_current_context()) from fault
    return Call(definition, args, kwargs)


def _of_argument(fault: Exception) -> str:
    """Return the fault of the arguments in the words of the help."""
    text = str(fault)
    if not text.startswith(_ARGUMENTS):
        return f"ARGS-JSON: {text}"
    return f"ARGS-JSON {text.removeprefix(_ARGUMENTS).replace('are not', 'is not', 1)}"


_ARGUMENTS = "the arguments "
