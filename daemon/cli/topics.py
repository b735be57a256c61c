"""The text of `help TOPIC`: facts about all commands, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from jobsd.daemon import statuses

from . import command_list

if TYPE_CHECKING:
    from .help import Shared

STATUSES = (
    (statuses.DONE, "done"),
    (statuses.FAILED, "the thing asked about failed"),
    (statuses.USAGE, "the command is called in a wrong way"),
    (statuses.NOT_RUNNING, "no daemon runs"),
    (statuses.UNREACHABLE, "the database can't be reached"),
    (statuses.NOT_FOUND, "the job, queue or task does not exist"),
    (statuses.REFUSED, "refused: without --yes, or in this state"),
    (statuses.CRASHED, "an unexpected error; --debug shows its traceback"),
    (statuses.OUTCOMES_LOST, "a stop could not keep the outcomes of some jobs"),
    (statuses.HELD, "another supervisor holds the pidfile"),
    (statuses.CONFIGURATION, "the configuration or the tables have faults"),
    (statuses.INTERRUPTED, "interrupted by Ctrl-C"),
)
"""The exit statuses, and what each means."""


def shared_options() -> list[Shared]:
    """Return each shared option once, in the order of its section."""
    from .help import SECTIONS, Shared
    from .job_selection import filtered
    from .table import Column
    from .verbs import Verb, on_project

    everything = click.command(cls=Verb, table=(Column("id"),), ids=True)(
        filtered(on_project(print))
    )
    found = [each for each in everything.params if isinstance(each, Shared)]
    return sorted(found, key=lambda each: SECTIONS.index(each.section))


def _options(ctx: click.Context, formatter: click.HelpFormatter) -> None:
    from itertools import groupby

    from .help import write_options

    formatter.write_text("Most commands have these options:")
    for title, options in groupby(shared_options(), lambda each: each.section):
        write_options(title, options, ctx, formatter)
    with formatter.section("All commands"):
        formatter.write_dl(
            [
                ("-h, --help", "Print the help of the command, and exit."),
                ("--debug", "Print tracebacks of errors."),
            ]
        )


def _exit_status(_: click.Context, formatter: click.HelpFormatter) -> None:
    formatter.write_text("Exit statuses of all commands:")
    with formatter.indentation():
        formatter.write_dl([(f"{status:>3}", meaning) for status, meaning in STATUSES])


def _commands(_: click.Context, formatter: click.HelpFormatter) -> None:
    groups = {**command_list.SHOWN, "Others": command_list.OTHERS}
    for title, commands in groups.items():
        with formatter.section(title):
            formatter.write_dl([(f"{name:14}", does) for name, does in commands.items()])


def _variables(_: click.Context, formatter: click.HelpFormatter) -> None:
    from jobsd.configuration.variables import variables

    formatter.write_text("Variables of the environment; a flag beats its variable:")
    with formatter.indentation():
        formatter.write_dl(list(variables()))


TOPICS: dict[str, Callable[[click.Context, click.HelpFormatter], None]] = {
    "commands": _commands,
    "options": _options,
    "variables": _variables,
    "exit-status": _exit_status,
}
