"""The manual page, made of the commands' own help, in the language of man(7)."""

import inspect
import os
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

import click

from jobsd.configuration.variables import variables
from jobsd.daemon.cli.cli import EXAMPLES, commands
from jobsd.daemon.cli.help import Helpful
from jobsd.daemon.cli.topics import STATUSES, shared_options
from jobsd.machine import PROGRAM_VERSION

_WIDTH = 72
_HEAD = r""".SH NAME
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
Without a command, or with options alone, it starts the daemon in the
foreground.
A supervisor starts workers, dispatchers and a scheduler, and replaces them."""
_FILES = {
    "config/queue.yml": "What runs: workers, dispatchers, database, log.",
    "config/recurring.yml": "The recurring tasks.",
    "storage/postgres": "The embedded PostgreSQL, if no database is configured.",
}


def page(environ: Mapping[str, str] = os.environ) -> str:
    """Return the page; a build that is to be the same each time sets SOURCE_DATE_EPOCH."""
    epoch = environ.get("SOURCE_DATE_EPOCH")
    day = datetime.fromtimestamp(float(epoch), UTC) if epoch else datetime.now(UTC)
    return "\n".join(_lines(f"{day:%Y-%m-%d}"))


def _lines(day: str) -> Iterator[str]:
    yield f'.TH JOBSD 1 "{day}" "jobsd {PROGRAM_VERSION}" "jobsd"'
    yield _HEAD
    context = click.Context(commands)
    yield ".SH OPTIONS\nMost commands have these options:"
    yield from _options(shared_options(), context)
    yield ".SH COMMANDS"
    for name in commands.list_commands(context):
        found = commands.get_command(context, name)
        yield from _command(name, found) if found else ()
    yield ".SH EXIT STATUS"
    yield from _terms((str(status), meaning) for status, meaning in STATUSES)
    yield ".SH ENVIRONMENT"
    yield from _terms(variables())
    yield ".SH FILES"
    yield from _terms(_FILES.items(), font="I")
    yield ".SH EXAMPLES"
    for line in EXAMPLES.format(program="jobsd").splitlines():
        typed, does = line.split("  ", 1)
        yield from _terms([(typed, f"{does.strip().capitalize()}.")])


def _command(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=name)
    # Not `make_metavar`: its number of arguments depends on the version of click.
    arguments = command.collect_usage_pieces(context)[1:]
    yield f".SS {_escaped(' '.join([name, *arguments]))}"
    yield from _text(inspect.cleandoc(command.help or ""))
    if isinstance(command, Helpful):
        yield from _options(command.own_options(), context)
    if isinstance(command, click.Group):
        for verb, inner in command.commands.items():
            yield from _command(f"{name} {verb}", inner)


def _options(options: Iterable[click.Option], context: click.Context) -> Iterator[str]:
    records = (each.get_help_record(context) for each in options)
    yield from _terms(record for record in records if record is not None)


def _terms(rows: Iterable[tuple[str, str]], font: str = "B") -> Iterator[str]:
    for term, meaning in rows:
        yield f".TP\n.{font} {_escaped(term)}"
        yield from _text(meaning)


def _text(text: str) -> Iterator[str]:
    """Yield the lines of a text; each sentence begins a line."""
    for sentence in re.split(r"(?<=[.:])\s+", text.strip()):
        words = " ".join(sentence.split())
        wrapped = textwrap.wrap(words, _WIDTH, break_long_words=False, break_on_hyphens=False)
        yield from map(_escaped, wrapped)


def _escaped(text: str) -> str:
    """Return a text without requests or escapes of roff."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    if not escaped.isascii():
        letters = (each if each.isascii() else f"\\[u{ord(each):04X}]" for each in escaped)
        escaped = "".join(letters)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
