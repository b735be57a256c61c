"""`health`: the health status for probes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobsd.daemon.output import Result, Value
from jobsd.daemon.statuses import DONE, FAILED
from jobsd.daemon.values import json_text
from jobsd.daemon.verbs import DURATION, Verb, on_project
from jobsd.heartbeat import health_status

if TYPE_CHECKING:
    from jobsd.daemon.project import Project


@click.command(cls=Verb, examples="health\nhealth --within 15m")
@click.option(
    "--within",
    "within_s",
    type=DURATION,
    default="10m",
    show_default=True,
    help="How old the last heartbeat may be.",
)
@on_project
def command(project: Project, within_s: float) -> Result:
    """Print `{"healthy": …, "last_heartbeat": …}`; exit 0 when healthy, 1 when not."""
    with project.session() as session:
        status = health_status(within_s, session=session)
    # It prints JSON anyhow.
    return Result(
        status, (Value(json_text(status)),), status=DONE if status["healthy"] else FAILED
    )
