"""`status`, `ps` and `metrics`: the current state as a screen, as processes, as figures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from jobsd.daemon import statuses, values
from jobsd.daemon.cli.output import Column, Result, Table, Value, colored
from jobsd.daemon.cli.verbs import Project, Verb, chosen_format, flag_of, on_project
from jobsd.daemon.cli.watch import watch_option, watching

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.operations.shown_arguments import ShownArguments


_STATUS_EXAMPLES = """
status
status --watch
status --watch 10s
status --processes
status --json
"""


@click.command(cls=Verb, without_database=statuses.NOT_RUNNING, examples=_STATUS_EXAMPLES)
@watch_option
@click.option(
    "--here", is_flag=True, help="Show only processes of this host, or of this container."
)
@flag_of("--processes", "List the processes of all hosts: `ps`.")
@flag_of("--metrics", "Print what Prometheus would scrape: `metrics`.")
@on_project
def status_command(project: Project, every_s: float | None, *, here: bool) -> Result:
    """Show on one screen what runs, what waits, what is due next and what failed.

    It counts up to 10,000 jobs of each state of a queue; `queues` counts more. It begins with
    the findings of the health, the worst first, which change no exit status. Exit status 3 when
    nothing runs.
    """
    shown = project.shown_arguments
    return watching(project, every_s, partial(_result, project, shown=shown, here=here))


def _result(project: Project, session: Session, *, shown: ShownArguments, here: bool) -> Result:
    from jobsd.daemon.cli.status_screen import QUEUED_MAX, Screen, figures
    from jobsd.operations.overview import overview

    threshold_s = project.options.supervisor.process_alive_threshold_s
    targets_s = project.options.monitor.latency_targets_s
    seen = overview(session, threshold_s, QUEUED_MAX, here=here, targets_s=targets_s)
    seen.recurring[:] = map(shown.task, seen.recurring)
    status = statuses.DONE if seen.running else statuses.NOT_RUNNING
    if chosen_format().as_json:
        return Result(seen.document(), status=status)
    return Result(None, (Screen(seen, figures(session, seen)),), status=status)


Row = dict[str, Any]

_PS_COLUMNS = (
    Column("id", show=values.number, right=True),
    Column("kind", rank=5),
    Column("name"),
    Column("pid", show=values.number, right=True),
    Column("hostname", "HOST", rank=4),
    Column("queues", on="terminal"),
    Column("threads", rank=2, right=True, on="terminal"),
    Column("life", "STATE", on="terminal", style=colored),
    Column("heartbeat_age", "HEARTBEAT", rank=1, right=True),
    Column("created_at", "STARTED", rank=6, brief=values.brief_moment, on="terminal"),
    Column("metadata", on="pipe"),
)
_PS_EMPTY = "no process is registered: nothing runs on this database"
_PS_EXAMPLES = "ps\nps --watch\nps --json\nps --columns pid,queues,threads"


@click.command(cls=Verb, table=_PS_COLUMNS, examples=_PS_EXAMPLES)
@watch_option
@on_project
def ps_command(project: Project, every_s: float | None) -> Result:
    """List the processes of all trees on this database, each supervisor first."""
    from jobsd.operations.processes import processes

    threshold_s = project.options.supervisor.process_alive_threshold_s

    def query(session: Session) -> Result:
        rows = processes(session, threshold_s)
        table = Table(_for_people(rows), _PS_COLUMNS)
        return Result(rows, (table,), "" if rows else _PS_EMPTY)

    return watching(project, every_s, query)


def _for_people(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with the metadata of workers in separate columns."""
    names = ("queues", "threads")
    return [{**row, **{name: row["metadata"].get(name) for name in names}} for row in rows]


@click.command(cls=Verb, examples="metrics\nmetrics --openmetrics")
@click.option("--openmetrics", is_flag=True, help="Use the format OpenMetrics.")
@on_project
def metrics_command(project: Project, *, openmetrics: bool) -> Result:
    """Print the metrics once, in the format of Prometheus.

    Gauges come from the database. Counters come from the monitor of the daemon on this host,
    and are left out if it does not answer.
    """
    from jobsd.daemon.tree.tree_metrics import metrics_here
    from jobsd.metrics.metrics import exposition, plain
    from jobsd.operations.gauges import database_figures

    with project.session() as session:
        options = project.options
        figures = database_figures(
            session,
            targets_s=options.monitor.latency_targets_s,
            threshold_s=options.supervisor.process_alive_threshold_s,
        )
        published = metrics_here(session, options)
    text, _ = exposition(None, figures, openmetrics=openmetrics, published=published)
    return Result(plain(figures, published), (Value(text.decode().removesuffix("\n")),))
