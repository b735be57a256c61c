"""What runs next: the planned instants of all tasks, in a heap.

An instant counts as missed when we come to it late: later than a tenth of the time to the
task's next one, but at least 2 s (a scheduler that was killed is replaced within them) and
at most a minute. What becomes of missed ones is the task's choice:

- skip: none of them runs.
- once: the last of them runs, for all.
- all: all of them run, the latest thousand at most.

Missed instants that do not run are told, the first ten of a row: so the history shows the
gap, and how it began. It is all the same whether nobody ran, the scheduler was frozen, or
the database was away: a task's instants count from its last run on. Where that lies ahead,
the clock was put back, and they count from now on: what has run stands in the history.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.schedules import ScheduleError

from .clock import AHEAD_MAX

if TYPE_CHECKING:
    from jobsd.recurring.tasks import RecurringTask
    from jobsd.schedules import Schedule

GRACE_MIN = timedelta(seconds=2)
GRACE_MAX = timedelta(seconds=60)
GRACE_SHARE = 10
"""Every how-manieth part of the time to the next instant a run may be late."""

CATCH_UP_MAX = 1000
"""More missed instants of one task than this are never made up for."""

TOLD_MAX = 10
"""Missed instants of one row that are written into the history."""

ROUND_MAX_S = 0.5
"""To find the thousand instants before a long gap takes 40 ms for each task."""

_NEVER = datetime.max.replace(tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Tick:
    """A planned instant of a task that has come; a missed one is told and does not run."""

    task: RecurringTask
    run_at: datetime
    missed: bool = False


class Timetable:
    """The tasks that run by schedule, and the next instant of each."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._following = _Following()
        self._heap: list[tuple[datetime, str, int]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def tasks(self) -> list[RecurringTask]:
        """The tasks that are turned on."""
        return [entry.task for entry in self._entries.values()]

    @property
    def next_tick(self) -> tuple[datetime, str] | None:
        """The next instant and whose it is, or None."""
        while self._heap and not self._is_valid(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][:2] if self._heap else None

    def plan(self, task: RecurringTask, now: datetime) -> None:
        """Take a task in, or take note of how it has changed.

        A change that does not touch the schedule leaves the next instant as it is. One that
        touches it alone, as an UPDATE by hand may, counts from now on.

        Raises:
            ScheduleError: when the schedule means nothing; the task is not planned then.
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
        self._entries[task.key] = entry = _Entry(task, since, self._following)
        self._push(entry)

    def forget(self, key: str) -> None:
        """Leave a task out from now on."""
        self._entries.pop(key, None)

    def keep(self, keys: set[str]) -> None:
        """Forget all tasks but these."""
        for key in self._entries.keys() - keys:
            self.forget(key)

    def due(self, now: datetime, limit: int) -> list[Tick]:
        """Take about `limit` ticks whose time has come, oldest first.

        Fewer when it takes longer than a round may to settle what was missed: ask again.
        Of a task whose runs may not overlap there is one at most: whether the next may run
        is not known before this one is stored.
        """
        ticks: list[Tick] = []
        alone: list[_Entry] = []
        end = monotonic() + ROUND_MAX_S
        while len(ticks) < limit and (upcoming := self.next_tick) and upcoming[0] <= now:
            heapq.heappop(self._heap)
            entry = self._entries[upcoming[1]]
            taken = entry.take(now)
            ticks += taken
            runs = any(not tick.missed for tick in taken)
            if runs and entry.task.overlap == "skip":
                alone.append(entry)
            else:
                self._push(entry)
            if monotonic() > end:
                break
        for entry in alone:
            self._push(entry)
        return ticks

    def put_back(self, task: RecurringTask, run_at: datetime) -> None:
        """Take a tick back that was planned from a task which has changed meanwhile.

        It comes again when the task as it is now has the same plan. When the task has not
        changed at all since, the tick was refused for good.
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
    """Order tasks as they are planned, from the end: those that run most often come first.

    Tasks of one schedule stand together, a schedule of many tasks before one of few.
    """
    shared = Counter(task.phrase for task in tasks)
    return sorted(tasks, key=lambda task: (task.runs_count, shared[task.phrase], task.phrase))


class _Following:
    """What follows an instant: asked a thousand times for tasks of one schedule, found once."""

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
    """One task's place in the timetable."""

    __slots__ = ("_following", "_making_up_until", "_schedule", "next", "number", "task")

    def __init__(self, task: RecurringTask, since: datetime, following: _Following) -> None:
        self.task = task
        self._following = following
        self.number = -1
        self._schedule: Schedule = task.plan
        self._making_up_until: datetime | None = None
        self.next = self._after(since)

    def is_plan_of(self, task: RecurringTask) -> bool:
        """Return whether the task's instants are those of this entry."""
        mine = self.task
        return (mine.phrase, mine.time_zone, mine.planned_from) == (
            task.phrase,
            task.time_zone,
            task.planned_from,
        )

    def take(self, now: datetime) -> list[Tick]:
        """Return the ticks that the next instant comes to, and go on to the one after them."""
        tick = self.next
        made_up = self._making_up_until is not None and tick <= self._making_up_until
        if not made_up and self._is_late(tick, now):
            return self._make_up(now)
        self.next = self._after(tick)
        return [Tick(self.task, tick)]

    def _make_up(self, now: datetime) -> list[Tick]:
        first, on_time = self.next, self._first_on_time(now)
        last = max(first, self._schedule.previous_at_or_before(min(on_time - _INSTANT, now)))
        if self.task.on_missed == "all":
            self.next, self._making_up_until = self._oldest_made_up(first, last), last
            return self._told(first, self.next)
        self.next = on_time
        if self.task.on_missed == "once":
            return [*self._told(first, last), Tick(self.task, last)]
        return self._told(first, on_time)

    def _told(self, start: datetime, end: datetime) -> list[Tick]:
        """Return the first missed ticks from `start` on that lie before `end`."""
        ticks: list[Tick] = []
        while start < end and len(ticks) < TOLD_MAX:
            ticks.append(Tick(self.task, start, missed=True))
            start = self._after(start)
        return ticks

    def _first_on_time(self, now: datetime) -> datetime:
        """Return the first instant from the next one on that we are not late for."""
        tick = max(self.next, self._after(now - GRACE_MAX - _INSTANT))
        while self._is_late(tick, now):
            tick = self._after(tick)
        return tick

    def _oldest_made_up(self, first: datetime, last: datetime) -> datetime:
        oldest = last
        for _ in range(CATCH_UP_MAX - 1):
            if oldest <= first:
                return first
            oldest = self._schedule.previous_at_or_before(oldest - _INSTANT)
        return max(first, oldest)

    def _is_late(self, tick: datetime, now: datetime) -> bool:
        late = now - tick
        if not GRACE_MIN < late <= GRACE_MAX:
            return late > GRACE_MAX
        return late * GRACE_SHARE > self._after(tick) - tick

    def _after(self, instant: datetime) -> datetime:
        return self._following(self._schedule, instant)
