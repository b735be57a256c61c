"""Recurring tasks as rows: the list, the history, and the cause of a late run."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

from jobsd.clock import utc_now
from jobsd.database.connection import Session
from jobsd.recurring import tasks
from jobsd.recurring.lateness import SCHEDULER, lateness, overdue_since
from jobsd.recurring.tasks import RecurringTask
from jobsd.schedules import ScheduleError

from .processes import has_scheduler
from .words import length, when

if TYPE_CHECKING:
    from jobsd.recurring.runs import RecurringRun


Row = dict[str, Any]


def task_rows(session: Session) -> list[Row]:
    """Return the recurring tasks, by key."""
    now = utc_now()
    return [task_row(task, now) for task in tasks.load(session)]


def task_row(task: RecurringTask, now: datetime) -> Row:
    """Return one recurring task as it is shown."""
    upcoming = task.next_runs(1, now)
    return {
        "key": task.key,
        "schedule": task.schedule,
        "time_zone": _zone_name(task),
        "class_name": task.class_name,
        "command": task.command,
        "arguments": json.loads(task.arguments_json),
        "queue_name": task.queue_name,
        "priority": task.priority,
        "tags": task.tags,
        "description": task.description,
        "static": task.static,
        "enabled": task.enabled,
        "disabled_at": task.disabled_at,
        "disabled_by": task.disabled_by,
        "run_at_start": task.run_at_start,
        "on_missed": task.on_missed,
        "overlap": task.overlap,
        "source": task.source,
        "next_run": upcoming[0] if upcoming else None,
        "last_run": task.last_run_at,
        "runs": task.runs_count,
    }


def listed(session: Session) -> list[Row]:
    """Return the tasks in the order of their next runs; tasks that never run come last."""
    now = utc_now()
    found = [_listed(task, now) for task in tasks.load(session)]
    return sorted(found, key=lambda row: (row["next"] is None, row["next"] or now, row["key"]))


def history_row(task: RecurringTask | None, run: RecurringRun, now: datetime) -> Row:
    """Return a planned run with its delays, its duration, and the cause of its lateness."""
    row = {**asdict(run), "late_s": run.late_s, "late": timedelta(seconds=run.late_s)}
    if task is None:
        return {**row, "waited_s": None, "ran_s": None, "cause": None}
    found = lateness(task, run, now)
    return {
        **row,
        "waited_s": found.queue_s,
        "ran_s": found.run_s,
        "cause": found.cause or None,
    }


def why_late(
    session: Session,
    task: RecurringTask,
    last: RecurringRun | None,
    now: datetime,
    threshold_s: float,
) -> Row | None:
    """Return why a task is late now, or was in its last run; None if it is not."""
    if since := overdue_since(task, last, now):
        runs = has_scheduler(session, threshold_s)
        why = "although a scheduler is running" if runs else "because no scheduler is running"
        sentence = f"it was due {when(since)} and was not enqueued, {why}"
        return {"cause": SCHEDULER, "run_at": since, "reported": sentence}
    if last is None or not (found := lateness(task, last, now)).cause:
        return None
    if last.outcome == "missed":
        sentence = "no scheduler ran at its planned time, or soon enough after it"
    elif last.outcome == "skipped":
        sentence = "the run before it had not ended"
    else:
        sentence = (
            f"enqueued {length(found.scheduler_s)} after its planned time,"
            f" then {_took(found.queue_s)} in the queue, then ran {_took(found.run_s)}"
        )
    return {"cause": found.cause, "run_at": last.run_at, "reported": sentence}


def _took(seconds: float | None) -> str:
    return "not yet" if seconds is None else length(seconds)


def _listed(task: RecurringTask, now: datetime) -> Row:
    row = task_row(task, now)
    following, last, zone = row["next_run"], row["last_run"], _zone(task)
    return {
        **row,
        "next": following and following.astimezone(zone),
        "left": following and following - now,
        "last": last and last.astimezone(zone),
        "passed": last and now - last,
        "activates": row["class_name"] or row["command"],
    }


def _zone(task: RecurringTask) -> tzinfo:
    try:
        return task.plan.zone
    except ScheduleError:
        return UTC


def _zone_name(task: RecurringTask) -> str:
    """Return the zone in effect: the schedule may name another than the task."""
    try:
        return task.plan.time_zone
    except ScheduleError:
        return task.time_zone
