"""`ps`: the processes of all trees on the database."""

from collections.abc import Sequence
from typing import Any

import click

from jobsd.daemon import output, values, verbs
from jobsd.daemon.project import Project
from jobsd.daemon.table import Column

Row = dict[str, Any]

_COLUMNS = (
    Column("id", show=values.number, right=True),
    Column("kind", rank=5),
    Column("name"),
    Column("pid", show=values.number, right=True),
    Column("hostname", "HOST", rank=4),
    Column("queues", on="terminal"),
    Column("threads", rank=2, right=True, on="terminal"),
    Column("life", "STATE", on="terminal", style=output.colored),
    Column("heartbeat_age", "HEARTBEAT", rank=1, right=True),
    Column("created_at", "STARTED", rank=6, brief=values.brief_moment, on="terminal"),
    Column("metadata", on="pipe"),
)
_EMPTY = "no process is registered: nothing runs on this database"
_EXAMPLES = "ps\nps --json\nps --columns pid,queues,threads"


@click.command(cls=verbs.Verb, table=True, examples=_EXAMPLES)
@verbs.on_project
def command(project: Project) -> output.Result:
    """List the processes of all trees on this database, each supervisor first."""
    from jobsd.operations.processes import processes

    with project.session() as session:
        rows = processes(session, project.options.supervisor.process_alive_threshold_s)
    table = output.Table(_for_people(rows), _COLUMNS)
    return output.Result(rows, (table,), "" if rows else _EMPTY)


def _for_people(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with what a worker's metadata say in columns of their own."""
    names = ("queues", "threads")
    return [{**row, **{name: row["metadata"].get(name) for name in names}} for row in rows]
