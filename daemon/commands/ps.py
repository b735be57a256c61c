"""`ps`: the processes table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobsd.daemon.verbs import Verb, as_json, on_project

if TYPE_CHECKING:
    from jobsd.daemon.project import Project


@click.command(cls=Verb, examples="ps\nps --json")
@as_json
@on_project
def command(project: Project, *, as_json: bool) -> None:
    """List the processes of all trees on this database, each supervisor first."""
    from jobsd.daemon.output import print_rows
    from jobsd.daemon.overview import PROCESS_COLUMNS, processes

    with project.session() as session:
        rows = processes(session, project.options)
    print_rows(rows, PROCESS_COLUMNS, as_json=as_json)
