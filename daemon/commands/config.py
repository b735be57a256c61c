"""`config`: what counts, and where it comes from."""

import click

from jobsd.daemon.output import Result, Table
from jobsd.daemon.project import Project
from jobsd.daemon.verbs import Noun, Verb, chosen_format, on_project


@click.group(cls=Noun, examples="config show\nconfig show --json", default="show")
def command() -> None:
    """Show the configuration as the daemon would read it."""


@command.command(cls=Verb, table=True, examples="config show\nconfig show --json")
@on_project
def show(project: Project) -> Result:
    """Show every setting: its value, and the flag, variable or line that sets it.

    Needs no database; passwords are left out. Exit status 78 when a setting can't be read.
    """
    from jobsd.daemon.config_list import COLUMNS, settings

    form = chosen_format()
    rows = list(settings(project, for_people=form.terminal and not form.as_json))
    return Result(rows, (Table(rows, COLUMNS),))
