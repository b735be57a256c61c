"""`ps`: the processes table."""

import click

from jobsd.daemon.output import Result, Table
from jobsd.daemon.process_list import COLUMNS, EMPTY, for_people
from jobsd.daemon.project import Project
from jobsd.daemon.verbs import Verb, on_project


@click.command(cls=Verb, table=True, examples="ps\nps --json\nps --columns pid,queues,threads")
@on_project
def command(project: Project) -> Result:
    """List the processes of all trees on this database, each supervisor first."""
    from jobsd.operations.processes import processes

    with project.session() as session:
        rows = processes(session, project.options.supervisor.process_alive_threshold_s)
    return Result(rows, (Table(for_people(rows), COLUMNS),), "" if rows else EMPTY)
