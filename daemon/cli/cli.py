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
from typing import TYPE_CHECKING, NoReturn

import click

from jobsd.daemon import interrupts
from jobsd.daemon.program import drop_output, error, program, require_command

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_SECTIONS = {
    "The daemon": {
        "start": "Run the daemon in the foreground (the default)",
        "with": "Run the daemon beside a web server; they end together",
        "status": "Show on one screen what runs, waits, is due and failed",
        "stop": "Stop the daemon, and wait until it has ended",
        "reload": "Make the daemon reload its configuration and modules",
        "check": "Report every configuration error",
        "config": "Show every setting, and where its value comes from",
        "doctor": "Examine database, wake-ups, clocks, processes",
        "init": "Make a project: bin/jobs, config/, a sample job",
        "generate": "Write a Procfile, a crontab, completions, a man page",
        "console": "Open a Python prompt with jobs, HeartbeatLog, queues",
    },
    "Jobs": {
        "enqueue": "Enqueue a job by its name",
        "perform": "Run a job in this process, at once",
        "list": "List jobs, the newest first",
        "show": "Show one job, and why it is not running",
        "failures": "Show failed jobs by class and error; retry or discard some",
        "retry": "Retry failed jobs with a fresh set of attempts",
        "discard": "Discard jobs that are not running",
        "cancel": "Discard jobs that wait, stop jobs that run",
        "queues": "Show sizes and latencies of queues; pause, resume, clear",
        "clear-finished": "Delete old finished jobs",
    },
    "Recurring tasks": {
        "recurring": "List, show, run and add tasks; explain a schedule",
        "heartbeat": "Show recorded heartbeats: latest, recent, verify, gaps",
        "health": "Print health status as JSON (for probes)",
    },
    "Operation": {
        "web": "Serve the dashboard, for a browser",
        "audit": "List what was done by hand, and by whom",
        "ps": "List the processes of all hosts",
        "logs": "Print the log; filter by level, job, class or text",
        "metrics": "Print once what Prometheus would scrape",
        "db": "Manage the database: migrate, status, sql, url, psql, stop",
        "bench": "Enqueue and drain some jobs, as a quick self-test",
        "version": "Print the version",
    },
}

_COMMANDS = [name for section in _SECTIONS.values() for name in section]

_SHARED = {
    name: module
    for module, names in {
        "check": "check config doctor",
        "enqueue": "enqueue perform",
        "heartbeat": "heartbeat health",
        "job_changes": "retry discard cancel failures",
        "logs": "logs audit",
        "start": "start with",
        "status": "status ps metrics",
        "stop": "stop reload",
    }.items()
    for name in names.split()
}
"""Modules with several commands: each is `NAME_command` there, a single one `command`."""

COMPLETE = "_JOBSD_COMPLETE"
"""The variable by which a shell requests completions."""

_NO_LIBPQ = ("no pq wrapper available", "libpq library not found")
"""How psycopg reports that libpq is missing, by default and with PSYCOPG_IMPL=python."""

_OPENING = "Background jobs and recurring tasks for Python on PostgreSQL alone."

_EXAMPLES = """\
{program}                                  start the daemon, with config/queue.yml
{program} enqueue HeartbeatJob             enqueue a job
{program} status --watch                   see what it does
{program} recurring explain "every day at 5am"
"""

HELP_TOPICS = {
    "options": "The options that commands share",
    "exit-status": "What each exit status means",
}


class Commands(click.Group):
    """The commands by name; without a name, or with an option first, `start` is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        del ctx
        if cmd_name not in (*_COMMANDS, "help"):
            return None
        word = cmd_name.replace("-", "_")
        shared = _SHARED.get(cmd_name)
        module = import_module(f"jobsd.daemon.commands.{shared or word}")
        command: click.Command = getattr(module, f"{word}_command" if shared else "command")
        return command

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
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or suggest the nearest one."""
        require_command(ctx, args[0], (*_COMMANDS, "help"))
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands with this beginning, without loading one of them."""
        from click.shell_completion import CompletionItem

        del ctx
        return [
            CompletionItem(name, help=does)
            for rows in _SECTIONS.values()
            for name, does in rows.items()
            if name.startswith(incomplete)
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
        for title, rows in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:14}", does) for name, does in rows.items()])
        with formatter.section("Examples"):
            for line in _EXAMPLES.format(program=program()).splitlines():
                formatter.write(f"  {line}\n")
        with formatter.section("Help"):
            rows = [(f"help {topic}", does) for topic, does in HELP_TOPICS.items()]
            formatter.write_dl([("COMMAND -h", "Help and examples of a command"), *rows])


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
    interrupts.are_ignored()
    sys.exit(status)


def _hide(arguments: Sequence[str]) -> None:
    """Remove arguments with a password from the process title, which any user may read."""
    if any("://" in word or "assword" in word for word in arguments):
        from jobsd.processes.title import set_title

        set_title(arguments[0] if arguments[0] in _COMMANDS else "command", "")


def _open_streams() -> None:
    """Open streams that were closed at our start: a socket could get their numbers, and lines.

    Characters that the encoding of a stream lacks become escapes.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # This is the lowest free number, so in this order each stream gets its own.
            fd = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(fd, True)  # noqa: FBT003 - the library's
            setattr(sys, name, os.fdopen(fd, mode))
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
