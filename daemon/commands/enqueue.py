"""`enqueue`: store a job by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobsd.daemon.verbs import DURATION, Verb, args_json, as_json, on_project

if TYPE_CHECKING:
    from datetime import datetime

    from jobsd.daemon.project import Project
    from jobsd.jobs.enqueue import EnqueuedJob

_EXAMPLES = """
enqueue HeartbeatJob
enqueue app.mail.welcome '[42]' --queue mail --priority -5
enqueue app.mail.welcome '{"user_id": 42}' --in 10m
enqueue DailyCleanupJob --at 2030-01-01T03:00:00+01:00
"""


@click.command(cls=Verb, examples=_EXAMPLES)
@click.argument("name")
@args_json
@click.option("--queue", metavar="NAME", help="Another queue than the job's own.")
@click.option("--priority", type=int, help="Smaller runs first.")
@click.option("--in", "wait_s", type=DURATION, help="How long to wait: 90, 30s, 10m, 2h, 1d.")
@click.option("--at", metavar="TIME", help="When to run: ISO 8601; in queue.yml's time zone.")
@as_json
@on_project
def command(  # noqa: PLR0913 - the options of an enqueue
    project: Project,
    /,
    *,
    name: str,
    arguments: str,
    queue: str | None,
    priority: int | None,
    wait_s: float | None,
    at: str | None,
    as_json: bool,
) -> int:
    """Enqueue the job NAME and print its id. ARGS-JSON is a list, or an object of names.

    Exit 6 when its limit is reached and it may not wait.
    """
    from jobsd.daemon.calls import read_call
    from jobsd.errors import Error
    from jobsd.jobs import client
    from jobsd.jobs.draft import Options, draft

    project.load_jobs()
    call = read_call(name, arguments)
    wait_until = None if at is None else _moment(at, project)
    try:
        plain = draft(call.definition, call.args, call.kwargs)
        drafted = Options(queue, priority, wait_s, wait_until).apply(plain)
    except Error as fault:
        raise click.UsageError(str(fault), click.get_current_context()) from fault
    with project.session(makes=True):
        job = client.enqueue(drafted)
    return _print(job, as_json=as_json)


def _print(job: EnqueuedJob, *, as_json: bool) -> int:
    from dataclasses import asdict

    from jobsd.daemon.exits import DONE, REFUSED
    from jobsd.daemon.output import print_json, print_line
    from jobsd.daemon.program import error

    if as_json:
        print_json(asdict(job))
    elif job.id is not None:
        print_line(str(job.id))
    if job.id is not None:
        return DONE
    error(
        "the limit of its concurrency key is reached, and it may not wait: nothing was stored"
    )
    return REFUSED


def _moment(text: str, project: Project) -> datetime:
    from datetime import datetime

    from jobsd.schedules import require_zone

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        told = f"{text!r} is no time; write 2030-01-31T15:00, with +01:00 behind it or not"
        raise click.BadParameter(told, param_hint="'--at'") from None
    if moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=require_zone(project.options.time_zone)[1])
