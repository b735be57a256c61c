"""Finds the cause when a recurring run was late: the scheduler, the queue, or the run itself.

A run has three parts, and each may take too long: from its planned instant until it was
enqueued, from there until it began, and from there until it ended. A part that has not ended
counts with the time that it has taken so far.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from jobsd.schedules import ScheduleError

from .tasks import RecurringTask

if TYPE_CHECKING:
    from .runs import RecurringRun

LATE_S = 2.0
"""A run that begins within this time after its planned instant is in time."""

OVERDUE_S = 5.0
"""By then a killed scheduler has a successor."""

SCHEDULER, QUEUE, RUN = "scheduler late", "waited in queue", "ran long"

_WAITING = frozenset({"ready", "scheduled", "blocked"})


@dataclass(frozen=True, slots=True)
class Lateness:
    """How long the parts of a run took, and which of them made it late; None: unknown.

    `cause` is "scheduler late", "waited in queue", "ran long" (until after the task's next
    planned instant), or "" for a run in time.
    """

    scheduler_s: float
    queue_s: float | None
    run_s: float | None
    cause: str


def lateness(task: RecurringTask, run: RecurringRun, now: datetime) -> Lateness:
    """Return how late a run of a task was, or is now, and why."""
    scheduler_s = run.late_s
    if run.outcome == "missed":
        return Lateness(scheduler_s, None, None, SCHEDULER)
    if run.outcome == "skipped":
        # Its predecessor ran until after this one's instant.
        return Lateness(scheduler_s, None, None, RUN)
    began = run.started_at or (now if run.outcome in _WAITING else None)
    if began is None:
        cause = SCHEDULER if scheduler_s > LATE_S else ""
        return Lateness(scheduler_s, None, None, cause)
    queue_s = max(0.0, (began - run.enqueued_at).total_seconds())
    ended = run.finished_at or (now if run.outcome == "claimed" else None)
    run_s = (ended - began).total_seconds() if run.started_at and ended else None
    late_s = scheduler_s + queue_s
    cause = "" if late_s <= LATE_S else SCHEDULER if scheduler_s >= queue_s else QUEUE
    if not cause and run_s is not None and ended and _passes_next(task, run.run_at, ended):
        cause = RUN
    return Lateness(scheduler_s, queue_s, run_s, cause)


def overdue_since(
    task: RecurringTask, last: RecurringRun | None, now: datetime
) -> datetime | None:
    """Return the latest planned instant that no scheduler has recorded in time, or None."""
    recorded = max(task.planned_from, task.last_run_at or task.planned_from)
    if last is not None:
        recorded = max(recorded, last.run_at)
    try:
        due = task.plan.previous_at_or_before(now - timedelta(seconds=OVERDUE_S))
    except ScheduleError:
        return None
    return due if task.enabled and due > recorded else None


def late_tasks(
    tasks: list[RecurringTask], latest: Mapping[str, RecurringRun], now: datetime
) -> Iterator[tuple[str, str, float | None]]:
    """Yield the tasks that are late now or were in their last run: key, cause, seconds.

    How long the run before a skipped one took is unknown.
    """
    for task in tasks:
        run = latest.get(task.key)
        if since := overdue_since(task, run, now):
            yield task.key, SCHEDULER, (now - since).total_seconds()
        elif task.enabled and run and (found := lateness(task, run, now)).cause:
            yield task.key, found.cause, _share_s(found)


def _share_s(found: Lateness) -> float | None:
    return {SCHEDULER: found.scheduler_s, QUEUE: found.queue_s, RUN: found.run_s}[found.cause]


def _passes_next(task: RecurringTask, run_at: datetime, ended: datetime) -> bool:
    """Return whether a run ended after the task's next planned instant."""
    try:
        return ended > task.plan.next_after(run_at)
    except ScheduleError:
        return False
