"""`health`: the health status for probes."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from jobsd.daemon.output import Result, Value
from jobsd.daemon.project import Project
from jobsd.daemon.statuses import DONE, FAILED
from jobsd.daemon.values import json_text
from jobsd.daemon.verbs import DURATION, Verb, on_project

if TYPE_CHECKING:
    from jobsd.database.connection import Session


@click.command(cls=Verb, examples="health\nhealth --within 15m")
@click.option(
    "--within",
    "within_s",
    type=DURATION,
    help="How old the last heartbeat may be; default: two periods of its task.",
)
@on_project
def command(project: Project, within_s: float | None) -> Result:
    """Print `{"healthy": …, "last_heartbeat": …}`; exit status 0 if healthy, 1 if not.

    The rule is that of /healthz. If there is a heartbeat task, the last heartbeat that the
    scheduler enqueued must be recent; a daemon that has just started has time for its first
    one. If there is none, a process of each kind must be alive. `judged_by` names the rule
    that was used. With --within, only the heartbeat counts.
    """
    with project.session() as session:
        status = _judged(project, session, within_s)
    # It prints JSON anyhow.
    return Result(
        status, (Value(json_text(status)),), status=DONE if status["healthy"] else FAILED
    )


def _judged(project: Project, session: Session, given_s: float | None) -> dict[str, Any]:
    from jobsd.configuration.load import examine
    from jobsd.heartbeat.log import HeartbeatLogs, status_of
    from jobsd.operations.processes import processes
    from jobsd.supervisor.monitor.health import WITHIN_S, Expected

    examined = examine(project.root, project.environ, project.flags)
    # With faults in the tasks nobody knows what was promised.
    expected = Expected({}, WITHIN_S) if examined.faults else Expected.by(examined.options)
    within_s = expected.heartbeat_within_s
    beats = HeartbeatLogs(
        session=session, of_tasks=within_s is not None and not examined.faults
    )
    status = status_of(beats, given_s or within_s or WITHIN_S)
    if given_s is not None:
        return status
    threshold_s = project.options.supervisor.process_alive_threshold_s
    living = [row for row in processes(session, threshold_s) if row["life"] == "alive"]
    if within_s is None:
        up = Counter(row["kind"] for row in living)
        good = all(up[kind] for kind in expected.processes)
        return {**status, "healthy": good, "judged_by": "processes"}
    ages_s = [_age_s(row["created_at"]) for row in living if row["kind"] == "supervisor"]
    if not status["healthy"] and ages_s and max(ages_s) <= within_s:
        return {**status, "healthy": True, "judged_by": "time since the start"}
    return {**status, "judged_by": "heartbeat"}


def _age_s(moment: datetime) -> float:
    return (datetime.now(UTC) - moment).total_seconds()
