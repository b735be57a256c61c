"""The tasks that our file names, and how they get on in the table.

Each task belongs to the newest file that names it. A scheduler writes its file's tasks when
it starts, and again when the scheduler of another file has gone and left tasks behind: those
that our file names become ours, the others go. Young schedulers act on what they find at
once, since it was left by a predecessor; older ones wait a minute, so that a neighbour that
restarts finds its tasks as they were.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobsd.clock import monotonic
from jobsd.errors import Error
from jobsd.instruments.events import emit
from jobsd.recurring import making
from jobsd.recurring.tasks import STATEMENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jobsd.database.connection import Session
    from jobsd.recurring.task import TaskOptions
    from jobsd.recurring.tasks import RecurringTask

YOUNG_S = 30.0
PATIENCE_S = 60.0


class Naming:
    """The tasks of one scheduler's file."""

    def __init__(self, tasks: Sequence[TaskOptions], started_us: int) -> None:
        self._records = dict(_records(tasks, started_us))
        self._born = monotonic()
        self._orphans_since: float | None = None
        self._told: set[tuple[str, str | None]] = set()

    def names(self, task: RecurringTask) -> bool:
        """Return whether our file names the task, whoever it belongs to."""
        return task.key in self._records

    def store(self, session: Session, process_id: int) -> None:
        """Write our tasks, remove those that nobody names any more, and tell of conflicts."""
        self._orphans_since = None
        parameters = {
            "tasks": json.dumps(list(self._records.values())),
            "process_id": process_id,
        }
        conflicts = session.fetch(STATEMENTS["store_static"], parameters)
        for key, mine, static, theirs, is_ours in conflicts:
            other = theirs if static else "a task made at run time"
            self._tell(key, mine, other, wins=mine if is_ours else other)

    def wants_to_store(self, tasks: Iterable[RecurringTask]) -> bool:
        """Return whether a task of ours is missing, though nobody may have removed it."""
        return not self._records.keys() <= {task.key for task in tasks}

    def may_adopt(self, *, orphans: bool) -> bool:
        """Return whether it is time to settle what others have left behind."""
        now = monotonic()
        if not orphans:
            self._orphans_since = None
            return False
        if self._orphans_since is None:
            self._orphans_since = now
        return now - self._born < YOUNG_S or now - self._orphans_since >= PATIENCE_S

    def compare(self, tasks: Iterable[RecurringTask], process_id: int) -> None:
        """Tell which of our tasks have meanwhile become another file's, and differ."""
        for task in tasks:
            mine = self._records.get(task.key)
            if mine is None or task.named_by == process_id or _same_work(mine, task):
                continue
            self._tell(task.key, mine["source"], task.source, wins=task.source)

    def _tell(self, key: str, mine: str, other: str | None, *, wins: str | None) -> None:
        if (key, other) not in self._told:
            self._told.add((key, other))
            emit("recurring.conflict", task=key, source=mine, other=other, wins=wins)


def _records(
    tasks: Sequence[TaskOptions], started_us: int
) -> Iterable[tuple[str, dict[str, Any]]]:
    for options in tasks:
        try:
            columns = making.from_options(options).columns()
        except Error as error:
            emit("recurring.failed", task=options.key, source=options.source, error=error)
            continue
        changed_at = _file_time(options.source, started_us)
        yield (
            options.key,
            {**columns, "source": options.source, "file_changed_at": changed_at.isoformat()},
        )


def _file_time(source: str, started_us: int) -> datetime:
    """Return when the file was changed, or when the tree was started if it can't be seen."""
    try:
        changed_s = Path(source.rpartition(":")[0]).stat().st_mtime
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
        mine["enabled"],
        json.loads(mine["arguments"]),
    ) == (
        task.phrase,
        task.time_zone,
        task.class_name,
        task.command,
        task.queue_name,
        task.priority,
        task.enabled,
        json.loads(task.arguments_json),
    )
