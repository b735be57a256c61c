"""The command line: its commands, and how each of them ends.

A command's module is loaded when the command is called. This module loads only click: so
`--help` answers at once, and errors while the driver is loaded are reported, too.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn, cast

import click

from jobsd.daemon import interrupts
from jobsd.daemon.program import drop_output, error, program, require_command

from . import command_list

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMPLETE = "_JOBSD_COMPLETE"
"""The variable by which a shell requests completions."""

_NO_LIBPQ = ("no pq wrapper available", "libpq library not found")
"""How psycopg reports that libpq is missing, by default and with PSYCOPG_IMPL=python."""

_OPENING = "Background jobs and recurring tasks for Python on PostgreSQL alone."

EXAMPLES = """\
{program} init                    make a project here
{program}                         start the daemon
{program} enqueue HeartbeatJob    enqueue a job
{program} status --watch          see what it does
"""

HELP_TOPICS = {
    "commands": "All commands, also those that are left out above",
    "options": "The options that commands share",
    "variables": "The variables of the environment",
    "exit-status": "What each exit status means",
}


class Commands(click.Group):
    """The commands by name; without a name, or with an option first, `start` is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        del ctx
        return list(command_list.NAMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        del ctx
        if cmd_name not in (*command_list.NAMES, "help"):
            return None
        module, name = command_list.place(cmd_name)
        found: click.Command = getattr(import_module(f"jobsd.daemon.commands.{module}"), name)
        return found

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `start` before options without a command."""
        # A shell that requests completions of the first word gives none.
        first = args[0] if args else "" if ctx.resilient_parsing else "--"
        if first in {"--version", "-V"}:
            args = ["version", *args[1:]]
        elif first == "help" and (not args[1:] or args[1] not in HELP_TOPICS):
            args = [*args[1:], "--help"]
        elif first.startswith("-") and first not in {"-h", "--help"}:
            args = ["start", *args]
        if args[:1] == ["start"] and "--" in args:
            args = ["with", *args[1:]]
        return super().parse_args(ctx, command_list.by_flag(args))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or suggest the nearest one."""
        require_command(ctx, args[0], (*command_list.NAMES, "help"))
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands with this beginning, without loading one of them.

        Those that `-h` leaves out are offered where no other fits.
        """
        from click.shell_completion import CompletionItem

        del ctx
        groups = command_list.SHOWN.values()
        shown = [name for rows in groups for name in rows if name.startswith(incomplete)]
        others = [name for name in command_list.OTHERS if name.startswith(incomplete)]
        return [
            CompletionItem(name, help=command_list.SUMMARIES[name]) for name in shown or others
        ]

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; status 0 if no one reads its output (click would end with 1)."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return 0

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help from the table above, without loading a single command."""
        formatter.write_usage(ctx.command_path, "[COMMAND] [OPTIONS]")
        formatter.write_paragraph()
        formatter.write_text(_OPENING)
        with formatter.section("Examples"):
            for line in EXAMPLES.format(program=program()).splitlines():
                formatter.write(f"  {line}\n")
        for title, commands in command_list.SHOWN.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:16}", does) for name, does in commands.items()])
        with formatter.section("Help"):
            topics = [(f"help {topic}", does) for topic, does in HELP_TOPICS.items()]
            formatter.write_dl([("COMMAND -h", "Help and examples of a command"), *topics])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Run a command."""


def main() -> NoReturn:
    """Run the command of the command line and exit with its status."""
    _open_streams()
    _hide(sys.argv[1:])
    status = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except OSError as fault:
        drop_output()
        # The reader of our pipe may have closed it.
        if not isinstance(fault, BrokenPipeError):
            error(f"can't write the output: {fault.strerror}")
            status = 1
    if isinstance(sys.stdout, _Closed) and sys.stdout.written:
        error("can't write the output: stdout is closed")
        status = 1
    interrupts.are_ignored()
    sys.exit(status)


def _hide(arguments: Sequence[str]) -> None:
    """Remove arguments with a password from the process title, which any user may read."""
    if any("://" in word or "assword" in word for word in arguments):
        from jobsd.processes.title import set_title

        set_title(arguments[0] if arguments[0] in command_list.NAMES else "command", "")


class _Closed(io.TextIOWrapper):
    """Stands for a stdout that was closed at our start: it drops and notices the output."""

    written = False

    def write(self, text: str, /) -> int:
        """Drop the text."""
        self.written = self.written or bool(text)
        return super().write(text)


def _open_streams() -> None:
    """Open streams that were closed at our start: a socket could get their numbers, and lines.

    Characters that the encoding of a stream lacks become escapes.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # This is the lowest free number, so in this order each stream gets its own.
            fd = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(fd, True)  # noqa: FBT003 - the library's
            opened = cast("io.TextIOWrapper", os.fdopen(fd, mode))
            setattr(sys, name, _Closed(opened.detach()) if name == "stdout" else opened)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; report an error on stderr."""
    given = list(arguments)
    end = given.index("--") if "--" in given else len(given)
    debug = "--debug" in given[:end]
    given = [word for at, word in enumerate(given) if word != "--debug" or at > end]
    try:
        return _invoke(given, debug=debug)
    except click.UsageError as fault:
        path = fault.ctx.command_path if fault.ctx else program()
        error(fault.format_message(), f"{path} -h")
        return 2
    except click.ClickException as fault:
        error(fault.format_message())
        return fault.exit_code
    except BaseException as fault:  # noqa: BLE001 - this is where all errors end
        if isinstance(fault, ImportError) and any(part in str(fault) for part in _NO_LIBPQ):
            return _report_no_libpq()
        from jobsd.daemon.tree.exits import report

        return report(fault, debug=debug)


def _report_no_libpq() -> int:
    """Report that libpq is missing: psycopg's traceback would have seventy lines.

    This is not in `exits`, because `exits` can't be loaded in this case.
    """
    error(
        "psycopg finds no libpq, PostgreSQL's client library: install the system's"
        " (Debian: libpq5), or the one that comes with `pip install 'jobsd[binary]'`"
    )
    return 78


def _invoke(arguments: list[str], *, debug: bool) -> int:
    try:
        status = commands.main(
            arguments,
            prog_name=program(),
            standalone_mode=False,
            obj=debug,
            complete_var=COMPLETE,
        )
    finally:
        interrupts.are_the_end_again()
    return status if isinstance(status, int) else 0
