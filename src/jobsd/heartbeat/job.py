"""The heartbeat job: each run inserts a row and logs a line."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from jobsd.enqueueing.on_demand import lent, replaceable
from jobsd.jobs import definition

if TYPE_CHECKING:
    from .log import HeartbeatLog


class HeartbeatJob(definition.Job):
    """Proves that recurring tasks are enqueued and run.

    Its line is logged only after the row is committed, and has the time of the row. So
    every heartbeat in the log is in the table.
    """

    def perform(self) -> None:
        """Write one row to `heartbeat_logs` and one line to the log."""
        # Here, since each command that knows the jobs loads this module.
        from jobsd.jobs.current import current_job  # noqa: PLC0415
        from jobsd.logs.always import log_always  # noqa: PLC0415
        from jobsd.machine import hostname  # noqa: PLC0415

        environment = os.environ.get("JOBSD_ENV") or "development"
        job = current_job()
        row = record_heartbeat(environment, hostname(), job.id, job.class_name)
        log_always("jobsd.heartbeat", line(row))


@replaceable
def record_heartbeat(
    environment: str, hostname: str, job_id: int, class_name: str
) -> HeartbeatLog:
    """Insert the heartbeat of a job, and return its row."""
    from .log import record  # noqa: PLC0415 - as above

    with lent() as session:
        return record(session, environment, hostname, job_id, class_name)


def line(row: HeartbeatLog) -> str:
    """Return the line that operators search for: `[HEARTBEAT] {"timestamp":…}`."""
    facts = {
        "timestamp": row.executed_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "environment": row.environment,
        "hostname": row.hostname,
        "message": "Heartbeat job executed successfully",
    }
    return "[HEARTBEAT] " + json.dumps(facts, separators=(",", ":"), ensure_ascii=False)
