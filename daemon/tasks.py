"""Recurring tasks as they are shown: the list, the history, and why one was late."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

from jobsd.clock import utc_now
from jobsd.configuration.missing_task import explain_missing_task
from jobsd.errors import NotFoundError
from jobsd.recurring import tasks
from jobsd.recurring.lateness import SCHEDULER, lateness, overdue_since
from jobsd.schedules import ScheduleError

from .output import human, is_terminal, length, print_line, print_rows
from .overview import task_row

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import datetime

    from jobsd.database.connection import Session
    from jobsd.recurring.runs import RecurringRun
    from jobsd.recurring.tasks import RecurringTask

    from .project import Project

    Row = dict[str, Any]

LIST_COLUMNS = ("next", "left", "last", "passed", "key", "schedule", "activates")


@contextlib.contextmanager
def expected(project: Project, key: str) -> Generator[None]:
    """Tell of a task that is not found what keeps it in its file.

    Raises:
        NotFoundError: as its cause; it says where the task is when the file has it.
    """
    try:
        yield
    except NotFoundError as error:
        where = explain_missing_task(project.root, project.environ, key)
        raise NotFoundError(
            f"no task {key!r} is loaded: {where}" if where else str(error)
        ) from error


def task_rows(session: Session) -> list[Row]:
    """Return the tasks in the order of their next runs; those that never run come last."""
    now = utc_now()
    rows = [_listed(task, now) for task in tasks.load(session)]
    return sorted(rows, key=lambda row: (row["next"] is None, row["next"] or now, row["key"]))


def print_tasks(rows: list[Row], *, as_json: bool) -> None:
    """Print them in the layout of `systemctl list-timers`."""
    # Only now: a command may have been hidden meanwhile.
    rows = [{**row, "activates": row["class_name"] or row["command"]} for row in rows]
    if as_json or not is_terminal():
        # The clock of each task is for people.
        listed = [
            {name: value for name, value in row.items() if name != "zone"} for row in rows
        ]
        print_rows(listed, LIST_COLUMNS, as_json=as_json)
        return
    table = [[name.upper() for name in LIST_COLUMNS], *map(_for_people, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    # Nothing is cut off, however narrow the terminal: it folds what is too long.
    for fields in table:
        print_line("  ".join(map(str.ljust, fields, widths)).rstrip())


def history_row(task: RecurringTask | None, run: RecurringRun, now: datetime) -> Row:
    """Return a planned run with the parts that it took, and what made it late."""
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


def why_late(task: RecurringTask, last: RecurringRun | None, now: datetime) -> Row | None:
    """Return the cause when a task is late now, or was in its last run; else None."""
    if since := overdue_since(task, last, now):
        ago = length((now - since).total_seconds())
        told = f"it was due {ago} ago and nobody has enqueued it; does a scheduler run?"
        return {"cause": SCHEDULER, "run_at": since, "told": told}
    if last is None or not (found := lateness(task, last, now)).cause:
        return None
    if last.outcome == "missed":
        told = "nobody came to its planned time soon enough"
    elif last.outcome == "skipped":
        told = "the run before it had not ended"
    else:
        told = (
            f"enqueued {length(found.scheduler_s)} after its planned time,"
            f" then {_told(found.queue_s)} in the queue, then ran {_told(found.run_s)}"
        )
    return {"cause": found.cause, "run_at": last.run_at, "told": told}


def _told(seconds: float | None) -> str:
    return "not yet" if seconds is None else length(seconds)


def _listed(task: RecurringTask, now: datetime) -> Row:
    row = task_row(task, now)
    following, last = row["next_run"], row["last_run"]
    try:
        zone = task.plan.zone
    except ScheduleError:
        zone = UTC
    return {
        **row,
        "next": following,
        "left": following and following - now,
        "last": last,
        "passed": last and now - last,
        "zone": zone,
    }


def _for_people(row: Row) -> list[str]:
    """Return the fields of a row, its times as they stand on the task's own clock."""
    following, last = (
        moment and f"{moment.astimezone(row['zone']):%a %Y-%m-%d %H:%M:%S %Z}"
        for moment in (row["next"], row["last"])
    )
    left = row["left"] and f"{length(row['left'].total_seconds())} left"
    passed = row["passed"] and f"{length(row['passed'].total_seconds())} ago"
    off = None if row["enabled"] else "disabled"
    rest = (row["key"], row["schedule"], row["activates"])
    return [human(field) for field in (following, left or off, last, passed, *rest)]
