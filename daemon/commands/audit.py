"""`audit`: what somebody did by hand."""

import click

from jobsd.daemon.output import Result, Table
from jobsd.daemon.project import Project
from jobsd.daemon.table import Column
from jobsd.daemon.values import brief_moment, number, plain
from jobsd.daemon.verbs import Verb, on_project


def _text(value: object) -> str:
    return plain(value) or "-"


_COLUMNS = (
    Column("id", show=number, right=True),
    Column("acted_at", "WHEN", rank=2, brief=brief_moment),
    Column("actor", "WHO", rank=1, show=_text, cuts=True),
    Column("via", rank=4),
    Column("act"),
    Column("target", "ON", rank=1, show=_text, cuts=True, least=20),
    Column("jobs", rank=3, right=True),
    Column("ended_at", "ENDED", rank=5, brief=brief_moment),
)


@click.command(cls=Verb, table=True, examples="audit\naudit -n 200 --json")
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@on_project
def command(project: Project, limit: int) -> Result:
    """List what was done by hand, by commands or on the dashboard, the latest first."""
    from jobsd.operations import audit

    with project.session() as session:
        rows = audit.rows(session, limit)
    return Result(
        rows, (Table(rows, _COLUMNS),), "" if rows else "nobody has done anything yet"
    )
