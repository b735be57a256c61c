"""`list`: jobs, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobsd.daemon.verbs import DURATION, Verb, as_json, on_project

if TYPE_CHECKING:
    from jobsd.daemon.project import Project

_STATES = ("scheduled", "ready", "blocked", "claimed", "failed", "finished", "discarded")

_COLUMNS = ("id", "class_name", "queue_name", "state", "attempts", "created_at", "arguments")

_EXAMPLES = """
list
list --state failed --class app.mail.welcome
list --queue mail --since 1h --limit 100 --json
"""


@click.command("list", cls=Verb, examples=_EXAMPLES)
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
@click.option("--queue", metavar="NAME", help="Only those of this queue.")
@click.option("--class", "class_name", metavar="NAME", help="Only those of this job.")
@click.option(
    "--since", "since_s", type=DURATION, help="Only those enqueued since: 30s, 1h, 2d."
)
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="How many.",
)
@as_json
@on_project
def command(  # noqa: PLR0913 - the filters
    project: Project,
    /,
    *,
    state: str | None,
    queue: str | None,
    class_name: str | None,
    since_s: float | None,
    limit: int,
    as_json: bool,
) -> None:
    """List jobs, the newest first."""
    from dataclasses import asdict

    from jobsd.daemon.output import print_rows
    from jobsd.jobs.inspect import Filter, listed, without

    wanted = Filter(state, queue, class_name, since_s, limit)
    with project.session() as session:
        jobs = [asdict(job) for job in listed(session, wanted)]
    hidden = project.options.jobs.filter_arguments
    rows = [{**job, "arguments": without(job["arguments"], hidden)} for job in jobs]
    print_rows(rows, _COLUMNS, as_json=as_json)
