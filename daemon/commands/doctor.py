"""`doctor`: examine everything that jobsd needs."""

import click

from jobsd.daemon.output import Result, Table, colored
from jobsd.daemon.project import Project
from jobsd.daemon.statuses import DONE, FAILED, UNREACHABLE
from jobsd.daemon.table import Column
from jobsd.daemon.values import plain
from jobsd.daemon.verbs import Verb, on_project

_COLUMNS = (
    Column("level", style=colored),
    Column("subject"),
    Column("message", show=plain, rank=1, wraps=True),
)


@click.command(cls=Verb, examples="doctor\ndoctor --json")
@on_project
def command(project: Project) -> Result:
    """Examine configuration, database, processes, jobs and tasks; rate each OK, WARN or FAIL.

    Exit status 1 when anything fails, 4 when the database can't be reached.
    """
    from jobsd.daemon.doctor import examine

    findings = list(examine(project))
    failed = {found.subject for found in findings if found.level == "FAIL"}
    rows = [finding.facts() for finding in findings]
    status = UNREACHABLE if "database" in failed else FAILED if failed else DONE
    return Result(rows, (Table(rows, _COLUMNS, heading=False),), status=status)
