"""`status`: one screen."""

from __future__ import annotations

import gc
import sys
import time
from typing import TYPE_CHECKING

import click

from jobsd.daemon.output import Result, print_result
from jobsd.daemon.shown_arguments import shown_arguments
from jobsd.daemon.statuses import DONE, NOT_RUNNING
from jobsd.daemon.verbs import DURATION, Verb, chosen_format, on_project

if TYPE_CHECKING:
    from jobsd.daemon.project import Project
    from jobsd.database.connection import Session
    from jobsd.operations.shown_arguments import ShownArguments

_EXAMPLES = """
status
status --watch
status --watch 10s
status --json
"""


@click.command(cls=Verb, examples=_EXAMPLES)
@click.option(
    "--watch",
    "every_s",
    is_flag=False,
    flag_value="2s",
    type=DURATION,
    metavar="[EVERY]",
    help="Refresh every so often (default 2s).",
)
@on_project
def command(project: Project, every_s: float | None) -> Result:
    """Show on one screen what runs, what waits, what is due next and what failed.

    Of each state of a queue it counts 10,000 jobs; `queues` counts on. Exit status 3 when
    nothing runs.
    """
    shown = shown_arguments(project)
    with project.session() as session:
        if every_s is not None:
            gc.enable()
        while every_s is not None:
            print_result(_result(project, session, shown, watched=True), chosen_format())
            sys.stdout.flush()
            time.sleep(max(every_s, 0.1))
        return _result(project, session, shown)


def _result(
    project: Project, session: Session, shown: ShownArguments, *, watched: bool = False
) -> Result:
    from jobsd.daemon.status_screen import QUEUED_MAX, Screen, figures
    from jobsd.operations.overview import overview

    seen = overview(session, project.options.supervisor.process_alive_threshold_s, QUEUED_MAX)
    seen.recurring[:] = map(shown.task, seen.recurring)
    status = DONE if seen.running else NOT_RUNNING
    if chosen_format().as_json:
        return Result(seen.document(), status=status)
    screen = Screen(seen, figures(session, seen), watched=watched)
    return Result(None, (screen,), status=status)
