"""`status`: one screen."""

from __future__ import annotations

import gc
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import click

from jobsd.daemon import statuses, verbs
from jobsd.daemon.output import Result, print_result
from jobsd.daemon.project import Project
from jobsd.daemon.shown_arguments import shown_arguments

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.operations.shown_arguments import ShownArguments

_EXAMPLES = """
status
status --watch
status --watch 10s
status --here
status --json
"""


@click.command(cls=verbs.Verb, examples=_EXAMPLES)
@click.option(
    "--watch",
    "every_s",
    is_flag=False,
    flag_value="2s",
    type=verbs.DURATION,
    metavar="[EVERY]",
    help="Refresh the screen, every 2s unless given.",
)
@click.option(
    "--here", is_flag=True, help="Show only processes of this host, or of this container."
)
@verbs.on_project
def command(project: Project, every_s: float | None, *, here: bool) -> Result:
    """Show on one screen what runs, what waits, what is due next and what failed.

    It counts up to 10,000 jobs of each state of a queue; `queues` counts more. Exit status 3
    when nothing runs.
    """
    screen = partial(_result, project, here=here)
    shown = shown_arguments(project)
    with project.session() as session:
        if every_s is not None:
            gc.enable()
        while every_s is not None:
            print_result(screen(session, shown, watched=True), verbs.chosen_format())
            sys.stdout.flush()
            time.sleep(max(every_s, 0.1))
        return screen(session, shown, watched=False)


def _result(
    project: Project, session: Session, shown: ShownArguments, *, watched: bool, here: bool
) -> Result:
    from jobsd.daemon.status_screen import QUEUED_MAX, Screen, figures
    from jobsd.operations.overview import overview

    threshold_s = project.options.supervisor.process_alive_threshold_s
    seen = overview(session, threshold_s, QUEUED_MAX, here=here)
    seen.recurring[:] = map(shown.task, seen.recurring)
    status = statuses.DONE if seen.running else statuses.NOT_RUNNING
    if verbs.chosen_format().as_json:
        return Result(seen.document(), status=status)
    screen = Screen(seen, figures(session, seen), watched=watched)
    return Result(None, (screen,), status=status)
