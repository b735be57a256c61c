"""The static tasks: those of our file and of our code, and their rows in the table.

The file of a task of the code is the one that defines its job. Each task belongs to the newest
file that names it. A scheduler stores its file's tasks when it starts, and again when the
scheduler of another file has gone and left orphaned tasks: those in our file become ours, the
others are deleted. A young scheduler acts on orphaned tasks at once, since its predecessor has
left them; an older one waits a minute, so that a peer that restarts finds its tasks unchanged.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from jobsd.clock import monotonic
from jobsd.database.connection import Session
from jobsd.events.events import emit
from jobsd.recurring.code_tasks import file_of
from jobsd.recurring.definition import SHIPPED, TaskDefinition, columns
from jobsd.recurring.tasks import STATEMENTS, RecurringTask

YOUNG_S = 30.0
ADOPT_AFTER_S = 60.0


class StaticTasks:
    """The tasks of one scheduler's file."""

    def __init__(self, tasks: Iterable[TaskDefinition], started_us: int) -> None:
        self.records = {task.key: _record(task, started_us) for task in tasks}
        self._started_at = monotonic()
        self._orphaned_since: float | None = None
        self._reported: set[tuple[str, str | None]] = set()

    def names(self, task: RecurringTask) -> bool:
        """Return whether our file names the task, whichever file it belongs to."""
        return task.key in self.records

    def store(self, session: Session, process_id: int) -> None:
        """Store our tasks, delete tasks that no file defines any more, and report conflicts."""
        self._orphaned_since = None
        parameters = {
            "tasks": json.dumps(list(self.records.values())),
            "process_id": process_id,
        }
        conflicts = session.fetch(STATEMENTS["store_static"], parameters)
        for key, mine, static, theirs, is_ours in conflicts:
            other = theirs if static else "a task made at run time"
            self._report(key, mine, other, wins=mine if is_ours else other)

    def are_missing_in(self, tasks: Iterable[RecurringTask]) -> bool:
        """Return whether a task of ours is missing, as after a DELETE by hand."""
        return not self.records.keys() <= {task.key for task in tasks}

    def may_adopt(self, *, orphaned: bool) -> bool:
        """Return whether it is time to take over, or delete, the orphaned tasks."""
        now = monotonic()
        if not orphaned:
            self._orphaned_since = None
            return False
        if self._orphaned_since is None:
            self._orphaned_since = now
        waited = now - self._orphaned_since >= ADOPT_AFTER_S
        return waited or now - self._started_at < YOUNG_S

    def report_conflicts(self, tasks: Iterable[RecurringTask], process_id: int) -> None:
        """Report which of our tasks now belong to another file, and differ."""
        for task in tasks:
            mine = self.records.get(task.key)
            if mine is None or task.named_by == process_id or _same_work(mine, task):
                continue
            self._report(task.key, mine["source"], task.source, wins=task.source)

    def _report(self, key: str, mine: str, other: str | None, *, wins: str | None) -> None:
        if (key, other) not in self._reported:
            self._reported.add((key, other))
            emit("recurring.conflict", task=key, source=mine, other=other, wins=wins)


def _record(task: TaskDefinition, started_us: int) -> dict[str, Any]:
    changed_at = _file_time(task.source or "", started_us)
    return {**columns(task), "file_changed_at": changed_at.isoformat()}


def _file_time(source: str, started_us: int) -> datetime:
    """Return when the file was changed, or the start of the tree if that can't be read.

    A shipped task is older than each file, so that any file takes precedence.
    """
    if source == SHIPPED:
        return datetime.fromtimestamp(0, UTC)
    try:
        changed_s = file_of(source).stat().st_mtime
    except OSError:
        changed_s = started_us / 1e6
    return datetime.fromtimestamp(changed_s, UTC)


def _same_work(mine: dict[str, Any], task: RecurringTask) -> bool:
    return (
        mine["schedule"],
        mine["time_zone"],
        mine["class_name"],
        mine["command"],
        mine["queue_name"],
        mine["priority"],
        mine["tags"],
        # A task that a person has disabled runs by neither file.
        mine["enabled"] and task.disabled_at is None,
        json.loads(mine["arguments"]),
    ) == (
        task.phrase,
        task.time_zone,
        task.class_name,
        task.command,
        task.queue_name,
        task.priority,
        task.tags,
        task.enabled,
        json.loads(task.arguments_json),
    )
