"""The heartbeat job: each run inserts a row and logs a line."""

from __future__ import annotations

import json
import os

from jobsd.instruments.always import log_always
from jobsd.jobs import current, definition, finding
from jobsd.machine import hostname

from .log import HeartbeatLog, record


class HeartbeatJob(definition.Job):
    """Proves that recurring tasks are enqueued and run.

    Its line is logged only after the row is committed, and has the time of the row. So
    every heartbeat in the log is in the table.
    """

    def perform(self) -> None:
        """Write one row to `heartbeat_logs` and one line to the log."""
        environment = os.environ.get("JOBSD_ENV") or "development"
        job = current.current_job()
        with finding.lent() as session:
            row = record(session, environment, hostname(), job.id, job.class_name)
        log_always("jobsd.heartbeat", line(row))


def line(row: HeartbeatLog) -> str:
    """Return the line that operators search for: `[HEARTBEAT] {"timestamp":…}`."""
    facts = {
        "timestamp": row.executed_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "environment": row.environment,
        "hostname": row.hostname,
        "message": "Heartbeat job executed successfully",
    }
    return "[HEARTBEAT] " + json.dumps(facts, separators=(",", ":"), ensure_ascii=False)
