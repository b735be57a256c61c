"""The timetable: the planned instants of all tasks, in a heap.

An instant is missed when the scheduler reaches it too late: later than a tenth of the time to
the task's next one, but at least 2 s (a killed scheduler is replaced within them) and at most a
minute. The task's `on_missed` decides which missed instants run:

- skip: none of them runs.
- once: the last of them runs, for all.
- all: all of them run, the latest thousand at most.

Missed instants that do not run are recorded, the first ten in a row: so the history shows the
gap, and how it began. Gaps are treated alike, whether no scheduler ran, it was frozen, or the
database could not be reached: a task's instants count from its last run on. If the last run
lies ahead, the clock was put back, and instants count from now on: the history keeps recorded
runs from running again.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

from jobsd.clock import monotonic
from jobsd.recurring.definition import StoredTask
from jobsd.recurring.tasks import RecurringTask
from jobsd.schedules import Schedule, ScheduleError

from .database_clock import AHEAD_MAX

GRACE_MIN = timedelta(seconds=2)
GRACE_MAX = timedelta(seconds=60)
GRACE_SHARE = 10
"""A run may be late by this part of the time to the next instant: a tenth."""

CATCH_UP_MAX = 1000
"""The maximum number of missed instants of one task that are made up for."""

RECORDED_MAX = 10
"""Missed instants in a row that are recorded in the history."""

DUE_MAX_S = 0.5
"""Finding the thousand instants before a long gap takes 40 ms for each task."""

_NEVER = datetime.max.replace(tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class DueRun:
    """A run whose planned instant has come; a missed run is recorded, not enqueued."""

    task: RecurringTask
    run_at: datetime
    missed: bool = False


class Timetable:
    """The tasks that run by schedule, and the next instant of each."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._next_instant = _NextInstant()
        self._heap: list[tuple[datetime, str, int]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def tasks(self) -> list[RecurringTask]:
        """The enabled tasks."""
        return [entry.task for entry in self._entries.values()]

    @property
    def next_run(self) -> tuple[datetime, str] | None:
        """The next planned instant and the key of its task, or None."""
        while self._heap and not self._is_valid(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][:2] if self._heap else None

    def plan(self, task: RecurringTask, now: datetime) -> None:
        """Plan the runs of a task that is new, or has changed.

        A change that does not touch the schedule keeps the next instant. A change of the
        schedule alone, as an UPDATE by hand may make, counts from now on.

        Raises:
            ScheduleError: if the schedule is invalid; the task is not planned then.
        """
        if not task.enabled:
            self.forget(task.key)
            return
        entry = self._entries.get(task.key)
        if entry is not None and entry.is_plan_of(task):
            entry.task = task
            return
        self.forget(task.key)
        by_hand = entry is not None and entry.task.planned_from == task.planned_from
        since = max(task.planned_from, task.last_run_at or task.planned_from)
        if by_hand:
            since = max(since, now)
        if since - now > AHEAD_MAX:
            since = now
        self._entries[task.key] = entry = _Entry(task, since, self._next_instant)
        self._push(entry)

    def forget(self, key: str) -> None:
        """Plan no more runs of a task."""
        self._entries.pop(key, None)

    def keep(self, keys: set[str]) -> None:
        """Forget all tasks except those with these keys."""
        for key in self._entries.keys() - keys:
            self.forget(key)

    def clear(self) -> None:
        """Forget all tasks."""
        self.keep(set())

    def due(self, now: datetime, limit: int) -> list[DueRun]:
        """Take about `limit` due runs, oldest first.

        Returns fewer if finding the missed instants takes longer than `DUE_MAX_S`: then call
        again. A task whose runs may not overlap gets at most one run: whether the next may run
        is not known before this one is stored.
        """
        due: list[DueRun] = []
        alone: list[_Entry] = []
        end = monotonic() + DUE_MAX_S
        while len(due) < limit and (upcoming := self.next_run) and upcoming[0] <= now:
            heapq.heappop(self._heap)
            entry = self._entries[upcoming[1]]
            taken = entry.take(now)
            due += taken
            runs = any(not run.missed for run in taken)
            if runs and entry.task.overlap == "skip":
                alone.append(entry)
            else:
                self._push(entry)
            if monotonic() > end:
                break
        for entry in alone:
            self._push(entry)
        return due

    def put_back(self, task: StoredTask, run_at: datetime) -> None:
        """Plan a run again whose task has changed since it was planned.

        The run comes again if the changed task has the same plan. If the task has not changed
        since, the run was refused for good.
        """
        entry = self._entries.get(task.key)
        if entry and entry.is_plan_of(task) and entry.task.updated_at != task.updated_at:
            entry.next = min(entry.next, run_at)
            self._push(entry)

    def _push(self, entry: _Entry) -> None:
        entry.number = next(self._numbers)
        if entry.next != _NEVER:
            heapq.heappush(self._heap, (entry.next, entry.task.key, entry.number))

    def _is_valid(self, item: tuple[datetime, str, int]) -> bool:
        entry = self._entries.get(item[1])
        return entry is not None and entry.number == item[2]


def busiest_last(tasks: list[RecurringTask]) -> list[RecurringTask]:
    """Return the tasks in the reverse of the order in which to plan them.

    Tasks that have run most often come last, so they are planned first. Tasks of one schedule
    stand together, a schedule of many tasks before one of few.
    """
    shared = Counter(task.phrase for task in tasks)
    return sorted(tasks, key=lambda task: (task.runs_count, shared[task.phrase], task.phrase))


class _NextInstant:
    """Finds the next instant: only once for a thousand tasks of the same schedule."""

    __slots__ = ("_instant", "_next", "_schedule")

    def __init__(self) -> None:
        self._schedule: Schedule | None = None
        self._instant = self._next = _NEVER

    def __call__(self, schedule: Schedule, instant: datetime) -> datetime:
        if schedule is not self._schedule or instant != self._instant:
            try:
                following = schedule.next_after(instant)
            except ScheduleError:
                following = _NEVER
            self._schedule, self._instant, self._next = schedule, instant, following
        return self._next


class _Entry:
    """One task in the timetable, and its next instant."""

    __slots__ = ("_making_up_until", "_next_instant", "_schedule", "next", "number", "task")

    def __init__(
        self, task: RecurringTask, since: datetime, next_instant: _NextInstant
    ) -> None:
        self.task = task
        self._next_instant = next_instant
        self.number = -1
        self._schedule: Schedule = task.plan
        self._making_up_until: datetime | None = None
        self.next = self._after(since)

    def is_plan_of(self, task: StoredTask) -> bool:
        """Return whether the task's instants are those of this entry."""
        mine = self.task
        return (mine.phrase, mine.time_zone, mine.planned_from) == (
            task.phrase,
            task.time_zone,
            task.planned_from,
        )

    def take(self, now: datetime) -> list[DueRun]:
        """Return the runs of the next instant, which is due, and go on to the one after."""
        instant = self.next
        made_up = self._making_up_until is not None and instant <= self._making_up_until
        if not made_up and self._is_late(instant, now):
            return self._make_up(now)
        self.next = self._after(instant)
        return [DueRun(self.task, instant)]

    def _make_up(self, now: datetime) -> list[DueRun]:
        first, on_time = self.next, self._first_on_time(now)
        last = max(first, self._schedule.previous_at_or_before(min(on_time - _INSTANT, now)))
        if self.task.on_missed == "all":
            self.next, self._making_up_until = self._oldest_made_up(first, last), last
            return self._missed(first, self.next)
        self.next = on_time
        if self.task.on_missed == "once":
            return [*self._missed(first, last), DueRun(self.task, last)]
        return self._missed(first, on_time)

    def _missed(self, start: datetime, end: datetime) -> list[DueRun]:
        """Return the first missed runs from `start` on, before `end`."""
        missed: list[DueRun] = []
        while start < end and len(missed) < RECORDED_MAX:
            missed.append(DueRun(self.task, start, missed=True))
            start = self._after(start)
        return missed

    def _first_on_time(self, now: datetime) -> datetime:
        """Return the first instant, from the next one on, that is not missed."""
        instant = max(self.next, self._after(now - GRACE_MAX - _INSTANT))
        while self._is_late(instant, now):
            instant = self._after(instant)
        return instant

    def _oldest_made_up(self, first: datetime, last: datetime) -> datetime:
        oldest = last
        for _ in range(CATCH_UP_MAX - 1):
            if oldest <= first:
                return first
            oldest = self._schedule.previous_at_or_before(oldest - _INSTANT)
        return max(first, oldest)

    def _is_late(self, instant: datetime, now: datetime) -> bool:
        late = now - instant
        if not GRACE_MIN < late <= GRACE_MAX:
            return late > GRACE_MAX
        return late * GRACE_SHARE > self._after(instant) - instant

    def _after(self, instant: datetime) -> datetime:
        return self._next_instant(self._schedule, instant)
