"""`clear --finished` and `clear-finished`: delete old finished jobs."""

import time

import click

from jobsd.clock import monotonic
from jobsd.daemon.cli.output import Result, Value
from jobsd.daemon.cli.parameters import CLASS, DURATION, whole
from jobsd.daemon.cli.verbs import Project, Verb, also, on_project
from jobsd.daemon.program import note
from jobsd.daemon.values import counted

_EXAMPLES = """
clear-finished
clear-finished --older-than 7d --batch 1000 --sleep 0.1
clear-finished --class HeartbeatJob --older-than 1h --dry-run
"""

_REPORT_EVERY_S = 1.0


@click.command(cls=Verb, examples=_EXAMPLES)
@click.option(
    "--older-than",
    "older_than_s",
    type=DURATION,
    help="Only jobs that ended longer ago; default: clear_finished_jobs_after (1d).",
)
@click.option(
    "--batch",
    type=whole(1, 100_000),
    default=500,
    show_default=True,
    help="How many jobs to delete at once.",
)
@click.option(
    "--sleep",
    "sleep_s",
    type=DURATION,
    default=0,
    show_default=True,
    help="How long to pause after each batch.",
)
@click.option(
    "--class", "class_name", type=CLASS, metavar="NAME", help="Only jobs of this class."
)
@click.option("--dry-run", is_flag=True, help="Change nothing; print how many there are.")
@on_project
def clear_finished_command(  # noqa: PLR0913 - the options of a command
    project: Project,
    *,
    older_than_s: float | None,
    batch: int,
    sleep_s: float,
    class_name: str | None,
    dry_run: bool,
) -> Result:
    """Delete old finished and discarded jobs; prints how many.

    Failed jobs stay, and so does the history of recurring tasks.
    """
    from jobsd.acts.retention import batches, clearable
    from jobsd.operations.audit import noting_lost_answers

    keep_s = project.options.jobs.clear_finished_jobs_after_s
    limit_s = keep_s if older_than_s is None else older_than_s
    if dry_run:
        with project.session() as session:
            count = clearable(session, limit_s, class_name)
        found = {"dry_run": True, "jobs": count}
        return Result(found, (Value(count, f"would delete {counted(count, 'job')}"),))
    cleared, report_at = 0, monotonic() + _REPORT_EVERY_S
    with project.session() as session, noting_lost_answers():
        for done in batches(session, batch, None, limit_s, class_name):
            cleared += done.cleared
            if monotonic() >= report_at:
                report_at = monotonic() + _REPORT_EVERY_S
                note(f"{counted(cleared, 'job')} deleted (up to id {done.last_id})")
            if sleep_s and done.cleared:
                time.sleep(sleep_s)
    return Result({"cleared": cleared}, (Value(cleared, f"{counted(cleared, 'job')} deleted"),))


def _require_finished(ctx: click.Context, _: click.Parameter, given: bool) -> None:  # noqa: FBT001 - click's
    if not given and not ctx.resilient_parsing:
        raise click.UsageError(
            "say what to clear: --finished (`queues clear` clears a queue)", ctx
        )


clear_command = also(clear_finished_command, "clear-finished", "clear --finished")
clear_command.params = [
    click.Option(
        ["--finished"],
        is_flag=True,
        expose_value=False,
        callback=_require_finished,
        help="Jobs that have finished or were discarded.",
    ),
    *clear_command.params,
]
