"""`clear-finished`: remove finished jobs past their time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobsd.daemon.verbs import CLASS, DURATION, Verb, as_json, on_project

if TYPE_CHECKING:
    from jobsd.daemon.project import Project

_EXAMPLES = """
clear-finished
clear-finished --older-than 7d --batch 1000 --sleep 0.1
clear-finished --class HeartbeatJob --older-than 1h
"""

_TELL_EVERY_S = 1.0


@click.command(cls=Verb, examples=_EXAMPLES)
@click.option(
    "--older-than",
    "older_than_s",
    type=DURATION,
    help="Since when they have finished; clear_finished_jobs_after unless given (1d).",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 100_000),
    default=500,
    show_default=True,
    help="Jobs at once.",
)
@click.option("--sleep", "sleep_s", type=DURATION, default=0, show_default=True)
@click.option(
    "--class", "class_name", type=CLASS, metavar="NAME", help="Only those of this job."
)
@as_json
@on_project
def command(  # noqa: PLR0913 - the options
    project: Project,
    /,
    *,
    older_than_s: float | None,
    batch: int,
    sleep_s: float,
    class_name: str | None,
    as_json: bool,
) -> None:
    """Remove the finished and discarded jobs past their time; prints how many.

    Failed jobs stay, and so does the history of recurring tasks.
    """
    import time

    from jobsd.clock import monotonic
    from jobsd.daemon.output import print_json, print_line
    from jobsd.daemon.program import note
    from jobsd.jobs.retention import batches

    keep_s = project.options.jobs.clear_finished_jobs_after_s
    limit_s = keep_s if older_than_s is None else older_than_s
    cleared, tell_at = 0, monotonic() + _TELL_EVERY_S
    with project.session() as session:
        for done in batches(session, batch, None, limit_s, class_name):
            cleared += done.cleared
            if monotonic() >= tell_at:
                tell_at = monotonic() + _TELL_EVERY_S
                note(f"{cleared} cleared, at job {done.last_id}")
            if sleep_s and done.cleared:
                time.sleep(sleep_s)
    if as_json:
        print_json({"cleared": cleared})
    else:
        print_line(str(cleared))
