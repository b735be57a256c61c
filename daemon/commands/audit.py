"""`audit`: what somebody did by hand."""

import click

from jobsd.daemon import output, values, verbs
from jobsd.daemon.project import Project
from jobsd.daemon.table import Column


def _text(value: object) -> str:
    return values.plain(value) or "-"


_COLUMNS = (
    Column("id", show=values.number, right=True),
    Column("acted_at", "WHEN", rank=2, brief=values.brief_moment),
    Column("actor", "WHO", rank=1, show=_text, cuts=True),
    Column("via", rank=4),
    Column("act"),
    Column("target", "ON", rank=1, show=_text, cuts=True, least=20),
    Column("jobs", rank=3, right=True),
    Column("ended_at", "ENDED", rank=5, brief=values.brief_moment),
)


@click.command(cls=verbs.Verb, table=True, examples="audit\naudit -n 200 --json")
@click.option(
    *("-n", "--limit"),
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="How many acts to list.",
)
@verbs.on_project
def command(project: Project, limit: int) -> output.Result:
    """List what was done by hand, by commands or on the dashboard, the latest first."""
    from jobsd.operations import audit

    with project.session() as session:
        rows = audit.rows(session, limit)
    return output.Result(
        rows,
        (output.Table(rows, _COLUMNS),),
        "" if rows else "nothing has been done by hand yet",
    )
