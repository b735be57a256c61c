"""`perform`: run a job in this process."""

import click

from jobsd.daemon.foreground import calling, run_here
from jobsd.daemon.project import Project
from jobsd.daemon.verbs import Verb, args_json, on_project

_EXAMPLES = """
perform HeartbeatJob
perform app.mail.welcome '[42]'
perform app.reports.monthly '{"month": "2030-01"}' --debug
"""


@click.command(cls=Verb, prints=False, examples=_EXAMPLES)
@click.argument("name")
@args_json
@on_project
def command(project: Project, name: str, arguments: str) -> int:
    """Run the job NAME in this process, without the queue.

    Its output goes to stdout, its log to stderr. Exit status 1 if it raises an exception. A
    database is needed only if the job uses it.
    """
    return run_here(project, lambda: calling(name, arguments))
