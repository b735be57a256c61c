"""`health`: one answer for a health check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobsd.daemon.verbs import DURATION, Verb, as_json, on_project

if TYPE_CHECKING:
    from jobsd.daemon.project import Project


@click.command(cls=Verb, examples="health\nhealth --within 15m")
@click.option("--within", "within_s", type=DURATION, default="10m", show_default=True)
@as_json
@on_project
def command(project: Project, within_s: float, *, as_json: bool) -> int:
    """Print `{"healthy": …, "last_heartbeat": …}`; exit 0 when healthy, 1 when not."""
    from jobsd.daemon.exits import DONE, FAILED
    from jobsd.daemon.output import print_json
    from jobsd.heartbeat import health_status

    del as_json  # it prints JSON anyhow
    with project.session() as session:
        status = health_status(within_s, session=session)
    print_json(status)
    return DONE if status["healthy"] else FAILED
