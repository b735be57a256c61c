"""The manual page, made of the commands' own help, in the language of man(7)."""

import inspect
from collections.abc import Iterator

import click

from jobsd.machine import PROGRAM_VERSION

_HEAD = r""".TH JOBSD 1 "" "jobsd {version}" "jobsd"
.SH NAME
jobsd \- background jobs and recurring tasks for Python on PostgreSQL
.SH SYNOPSIS
.B jobsd
.RI [ COMMAND ]
.RI [ OPTIONS ]
.br
.B bin/jobs
.RI [ COMMAND ]
.RI [ OPTIONS ]
.SH DESCRIPTION
Without a command, or with options alone, it starts the daemon in the foreground.
.SH COMMANDS"""
_TAIL = """.SH FILES
.TP
.I config/queue.yml
What runs: workers, dispatchers, database, log. JOBSD_CONFIG names another.
.TP
.I config/recurring.yml
The recurring tasks. JOBSD_RECURRING_SCHEDULE names another.
.SH ENVIRONMENT
.TP
.B JOBSD_ENV
The environment; its section overlays the default one.
.TP
.BR QUEUE_DATABASE_URL ", " DATABASE_URL
The database. The flag \\-\\-database\\-url beats them."""


def page() -> str:
    """Return the page."""
    from jobsd.daemon.cli.cli import commands

    context = click.Context(commands)
    lines = [_HEAD.format(version=PROGRAM_VERSION)]
    for name in commands.list_commands(context):
        found = commands.get_command(context, name)
        if found is not None:
            lines += _command(name, found)
    return "\n".join([*lines, *_statuses(), _TAIL])


def _statuses() -> Iterator[str]:
    from jobsd.daemon.cli.topics import STATUSES

    yield ".SH EXIT STATUS"
    for status, meaning in STATUSES:
        yield f".TP\n.B {status}\n{_text(meaning)}"


def _command(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=name)
    # Not `make_metavar`: its number of arguments depends on the version of click.
    arguments = command.collect_usage_pieces(context)[1:]
    yield f".SS {_text(' '.join([name, *arguments]))}"
    yield _text(" ".join(inspect.cleandoc(command.help or "").split()))
    for each in command.params:
        record = each.get_help_record(context) if isinstance(each, click.Option) else None
        if record is not None:
            yield f".TP\n.B {_text(record[0])}\n{_text(record[1])}"
    if isinstance(command, click.Group):
        for verb, inner in command.commands.items():
            yield from _command(f"{name} {verb}", inner)


def _text(text: str) -> str:
    """Return a text without requests or escapes of roff."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    if not escaped.isascii():
        letters = (each if each.isascii() else f"\\[u{ord(each):04X}]" for each in escaped)
        escaped = "".join(letters)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
