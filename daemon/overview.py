"""What several commands show: processes, queues, recurring tasks, failures, as plain rows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from jobsd.clock import utc_now
from jobsd.heartbeat.log import HeartbeatLogs
from jobsd.jobs import inspect, queues
from jobsd.processes import registry, thresholds
from jobsd.recurring import tasks
from jobsd.schedules import ScheduleError
from jobsd.supervisor.monitor.gauges import database_figures

from .liveness import life

if TYPE_CHECKING:
    from jobsd.configuration.options import Options
    from jobsd.database.connection import Session
    from jobsd.processes.registry import ProcessRow
    from jobsd.recurring.tasks import RecurringTask

    Row = dict[str, Any]

PROCESS_COLUMNS = ("id", "kind", "name", "pid", "hostname", "heartbeat_age", "metadata")
QUEUE_COLUMNS = ("name", "ready", "oldest_age", "paused")
TASK_COLUMNS = ("key", "schedule", "next_run", "last_run", "runs", "enabled")
FAILURE_COLUMNS = ("id", "class_name", "failed_at", "error")

_IDENTITY = ("boot", "namespace", "started", "supervisor")
_NEXT_RUNS = 5
_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Overview:
    """One screen of facts."""

    running: bool
    processes: list[Row]
    queues: list[Row]
    recurring: list[Row]
    failures: list[Row]
    last_heartbeat: datetime | None


def overview(session: Session, options: Options) -> Overview:
    """Look at everything once; `running` is whether a supervisor lives, on whichever host."""
    rows = processes(session, options)
    planned = [row for row in recurring(session) if row["next_run"] is not None]
    planned.sort(key=lambda row: (row["next_run"], row["key"]))
    beat = HeartbeatLogs(session=session).latest()
    return Overview(
        running=any(row["kind"] == "supervisor" and row["life"] == "alive" for row in rows),
        processes=rows,
        queues=queue_rows(session),
        recurring=planned[:_NEXT_RUNS],
        failures=failures(session),
        last_heartbeat=beat.executed_at if beat else None,
    )


def processes(session: Session, options: Options) -> list[Row]:
    """Return the processes table; `life` is alive, silent or gone."""
    threshold_s = options.supervisor.process_alive_threshold_s
    return [
        {
            "id": row.id,
            "kind": row.kind,
            "name": row.name,
            "pid": row.pid,
            "hostname": row.hostname,
            "heartbeat_age": timedelta(seconds=max(0.0, row.heartbeat_age_s)),
            "metadata": _shown(row),
            "supervisor_id": row.supervisor_id,
            "created_at": row.created_at,
            "life": life(row, threshold_s),
        }
        for row in registry.processes(session)
    ]


def _shown(row: ProcessRow) -> dict[str, object]:
    """Return what a row says of its process; what is the same in a tree, of its first only."""
    hidden = _IDENTITY if row.kind == "supervisor" else (*_IDENTITY, *thresholds.NAMES)
    return {key: value for key, value in row.metadata.items() if key not in hidden}


def queue_rows(session: Session) -> list[Row]:
    """Return the queues that have jobs which have not ended, or are paused, by name."""
    figures = database_figures(session)
    pauses = {pause.queue_name: pause for pause in queues.paused(session=session)}
    names = sorted({*figures.depths, *pauses})
    return [
        {
            "name": name,
            "ready": figures.depths.get(name, {}).get("ready", 0),
            "oldest_age": _age(figures.latencies_s.get(name)),
            "paused": name in pauses,
            "reason": pauses[name].reason if name in pauses else None,
            "paused_by": pauses[name].created_by if name in pauses else None,
            "jobs": dict(figures.depths.get(name, {})),
        }
        for name in names
    ]


def recurring(session: Session) -> list[Row]:
    """Return the recurring tasks, by key."""
    now = utc_now()
    return [task_row(task, now) for task in tasks.load(session)]


def task_row(task: RecurringTask, now: datetime) -> Row:
    """Return one recurring task as it is shown."""
    upcoming = task.next_runs(1, now)
    return {
        "key": task.key,
        "schedule": task.schedule,
        "time_zone": _zone(task),
        "class_name": task.class_name,
        "command": task.command,
        "arguments": json.loads(task.arguments_json),
        "queue_name": task.queue_name,
        "priority": task.priority,
        "description": task.description,
        "static": task.static,
        "enabled": task.enabled,
        "run_at_start": task.run_at_start,
        "on_missed": task.on_missed,
        "overlap": task.overlap,
        "source": task.source,
        "next_run": upcoming[0] if upcoming else None,
        "last_run": task.last_run_at,
        "runs": task.runs_count,
    }


def _zone(task: RecurringTask) -> str:
    """Return the zone that counts: the schedule may name another than the task."""
    try:
        return task.plan.time_zone
    except ScheduleError:
        return task.time_zone


def failures(session: Session) -> list[Row]:
    """Return the latest failures."""
    return [
        {
            "id": failure.id,
            "class_name": failure.class_name,
            "queue_name": failure.queue_name,
            "failed_at": failure.failed_at,
            "error": f"{failure.error.get('type')}: {failure.error.get('message')}",
        }
        for failure in inspect.failures(session, _FAILURES)
    ]


def _age(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=max(0.0, seconds))
