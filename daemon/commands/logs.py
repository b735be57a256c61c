"""`logs` and `audit`: the log, and the acts of people."""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from jobsd import operations
from jobsd.daemon import values
from jobsd.daemon.cli.output import Column, Format, Result, Table, print_line
from jobsd.daemon.cli.parameters import DURATION, JOB_ID, offered, whole
from jobsd.daemon.cli.verbs import Project, Verb, chosen_format, flag_of, on_project

if TYPE_CHECKING:
    from jobsd.daemon.cli.log_reader import Line


LINES = 100

_LOGS_EXAMPLES = """
logs
logs --follow --level warning
logs --job 42
logs --since 1h --grep HEARTBEAT
"""


@dataclass(frozen=True, slots=True)
class _Lines:
    """Lines of the log: formatted on a terminal, unchanged in a pipe."""

    found: Iterable[Line]

    def lines(self, form: Format) -> Iterator[str]:
        """Yield the lines."""
        for line in self.found:
            yield line.shown(colour=form.color) if form.terminal else line.raw()


def _pattern(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        return re.compile(text)
    except re.error as error:
        raise click.BadParameter(
            f"not a regular expression: {error}", param_hint="'--grep'"
        ) from None


@click.command(cls=Verb, examples=_LOGS_EXAMPLES)
@click.option("-f", "--follow", is_flag=True, help="Keep printing new lines.")
@click.option(
    "--level",
    type=click.Choice(("debug", "info", "warning", "error", "critical")),
    default="debug",
    metavar="LEVEL",
    help="The lowest level: debug, info, warning, error or critical.",
)
@click.option("--job", "job_id", type=JOB_ID, help="Only lines of this job.")
@click.option(
    "--class",
    "class_pattern",
    shell_complete=offered("class"),
    metavar="PATTERN",
    help="Only lines of these classes; * stands for any text.",
)
@click.option(
    "--grep",
    callback=_pattern,
    metavar="PATTERN",
    help="Only lines in which this regular expression is found.",
)
@click.option("--since", "since_s", type=DURATION, help="Only lines that are no older.")
@click.option("-n", "--lines", "count", type=whole(0), help="How many lines.")
@flag_of("--audit", "List what was done by hand, and by whom: `audit`.")
@on_project
def logs_command(project: Project, /, **options: Any) -> Result:  # noqa: ANN401 - click's
    """Print the log: the file of `logs.file`, or the journal of its unit.

    It prints the last 100 lines that match, or with --since all that do. It does not read
    rotated files.
    """
    from jobsd.daemon.cli.log_reader import Wanted, parse, read_log

    follow, count = options.pop("follow"), options.pop("count")
    wanted = Wanted(**options)
    if follow and chosen_format().as_json:
        raise click.UsageError("--follow never ends, so it can't print one JSON document")
    lines = parse(read_log(project, follow=follow))
    all_of_them = count is None and wanted.since_s is not None
    # Until the first None: the existing lines.
    past = (line for line in iter(partial(next, lines, None), None) if wanted.admits(line))
    found = deque(past, None if all_of_them else LINES if count is None else count)
    if follow:
        _print_now(found)
        for line in lines:
            _print_now([line] if line is not None and wanted.admits(line) else [])
    empty = "" if found else "no line of the log matches; `logs -n 20` shows the last ones"
    return Result([line.document() for line in found], (_Lines(found),), empty)


def _print_now(found: Iterable[Line]) -> None:
    for text in _Lines(found).lines(chosen_format()):
        print_line(text)
    sys.stdout.flush()


def _text(value: object) -> str:
    return values.plain(value) or "-"


_AUDIT_COLUMNS = (
    Column("id", show=values.number, right=True),
    Column("acted_at", "WHEN", rank=2, brief=values.brief_moment),
    Column("actor", "WHO", rank=1, show=_text, cuts=True),
    Column("via", rank=4),
    Column("act"),
    Column("target", "ON", rank=1, show=_text, cuts=True, least=20),
    Column("jobs", rank=3, right=True),
    Column("ended_at", "ENDED", rank=5, brief=values.brief_moment),
)


@click.command(cls=Verb, table=_AUDIT_COLUMNS, examples="audit\naudit -n 200 --json")
@click.option(
    *("-n", "--limit"),
    type=whole(1, 10_000),
    default=20,
    show_default=True,
    help="How many acts to list.",
)
@on_project
def audit_command(project: Project, limit: int) -> Result:
    """List what operators did, by commands or on the dashboard, the latest first."""
    with project.session() as session:
        rows = operations.audit.rows(session, limit)
    return Result(
        rows,
        (Table(rows, _AUDIT_COLUMNS),),
        "" if rows else "nothing has been done by hand yet",
    )
