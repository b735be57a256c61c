"""`enqueue` and `perform`: a job by its name, for a worker, or here and now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from jobsd.daemon import statuses
from jobsd.daemon.cli import calls, foreground
from jobsd.daemon.cli.output import Result, Value
from jobsd.daemon.cli.parameters import DURATION, QUEUE, TASK, args_json, offered
from jobsd.daemon.cli.verbs import Project, Verb, on_project
from jobsd.daemon.program import error
from jobsd.errors import Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.jobs.draft import EnqueuedJob
    from jobsd.jobs.job_options import UsingOptions


_ENQUEUE_EXAMPLES = """
enqueue HeartbeatJob
enqueue app.mail.welcome '[42]' --queue mail --priority -5
enqueue app.mail.welcome '{"user_id": 42}' --in 10m
enqueue DailyCleanupJob --at 2030-01-01T03:00:00+01:00
enqueue DailyCleanupJob --at '2030-01-01 03:00 Europe/Paris'
"""


@click.command(cls=Verb, examples=_ENQUEUE_EXAMPLES)
@click.argument("name", shell_complete=offered("job"))
@args_json
@click.option(
    "--queue", type=QUEUE, metavar="NAME", help="The queue, instead of the job's own."
)
@click.option("--priority", type=int, help="Jobs with a smaller number run first.")
@click.option(
    "--in", "wait_s", type=DURATION, help="When to run it, from now: 90, 30s, 10m, 2h, 1d."
)
@click.option(
    "--at",
    metavar="TIME",
    help="When to run it: ISO 8601, with an offset or a zone, else in the zone of queue.yml.",
)
@on_project
def enqueue_command(  # noqa: PLR0913 - the options of an enqueue
    project: Project,
    /,
    *,
    name: str,
    arguments: str,
    queue: str | None,
    priority: int | None,
    wait_s: float | None,
    at: str | None,
) -> Result:
    """Enqueue the job NAME and print its id.

    ARGS-JSON is a list of arguments, or an object with the arguments by name. Exit status 6 if
    the job's concurrency limit is reached and it may not wait.
    """
    from jobsd.enqueueing import client
    from jobsd.jobs.draft import draft, with_options

    if wait_s is not None and at is not None:
        raise click.UsageError("use --in or --at, not both", click.get_current_context())
    project.makes = True
    project.load_jobs()
    call = calls.read_call(name, arguments)
    wait_until = None if at is None else _moment(at, project)
    try:
        plain = draft(call.definition, call.args, call.kwargs)
        options: UsingOptions = {"queue": queue, "priority": priority, "wait": wait_s}
        drafted = with_options(plain, {**options, "wait_until": wait_until})
    except Error as fault:
        raise click.UsageError(str(fault), click.get_current_context()) from fault
    with project.session():
        return enqueued(
            client.enqueue(drafted), f"{drafted.class_name} in {drafted.queue_name}"
        )


def enqueued(job: EnqueuedJob, what: str) -> Result:
    """Return the id of an enqueued job, or the refusal of its limit."""
    fields = {"id": job.id, "state": job.state}
    if job.id is not None:
        return Result(fields, (Value(job.id, f"job {job.id} ({job.state}): {what}"),))
    error("the concurrency limit is reached, and this job does not wait: nothing was enqueued")
    return Result(fields, status=statuses.REFUSED)


def _moment(text: str, project: Project) -> datetime:
    """Return a time that is written with an offset, with a zone's name, or with neither."""
    from jobsd.schedules import ScheduleError, require_zone

    written, _, zone = text.strip().rpartition(" ")
    named = bool(written) and zone[:1].isalpha()
    try:
        moment = datetime.fromisoformat(written.strip() if named else text.strip())
    except ValueError:
        moment = None
    if moment is None or (named and moment.tzinfo is not None):
        fault = (
            f"{text!r} is not a time; use ISO 8601, e.g. 2030-01-31T15:00, …+01:00 or"
            " '2030-01-31 15:00 Europe/Paris'"
        )
        raise click.BadParameter(fault, param_hint="'--at'")
    if moment.tzinfo is not None:
        return moment
    counts = zone if named else project.options.time_zone
    try:
        meant = moment.replace(tzinfo=require_zone(counts)[1])
    except ScheduleError as error:
        raise click.BadParameter(error.message, param_hint="'--at'") from None
    # When clocks are put forward, some times are skipped: they can't be intended.
    if meant.astimezone(UTC).astimezone(meant.tzinfo).replace(tzinfo=None) != moment:
        fault = f"there is no {moment:%H:%M} on {moment:%Y-%m-%d} in {counts}: clocks skip it"
        raise click.BadParameter(fault, param_hint="'--at'")
    return meant


_PERFORM_EXAMPLES = """
perform HeartbeatJob
perform app.mail.welcome '[42]'
perform --task clear_finished --quiet
perform app.reports.monthly '{"month": "2030-01"}' --debug
"""


@click.command(cls=Verb, prints=False, examples=_PERFORM_EXAMPLES)
@click.argument("name", required=False, shell_complete=offered("job"))
@args_json
@click.option("--task", type=TASK, metavar="KEY", help="Run a recurring task instead.")
@foreground.quiet_option
@on_project
def perform_command(
    project: Project, name: str | None, arguments: str, *, task: str | None, quiet: bool
) -> int:
    """Run the job NAME, or a task, in this process, without the queue.

    Its output goes to stdout, its log to stderr. Exit status 1 if it raises an exception. A
    database is needed only if the job uses it.
    """
    if (name is None) is (task is None):
        raise click.UsageError("name a job, or a task with --task", click.get_current_context())
    project.makes = True

    def read() -> Callable[[], object]:
        if task is not None:
            return foreground.of_task(project, task)
        return foreground.calling(name or "", arguments)

    return foreground.run_here(project, read, quiet=quiet)
