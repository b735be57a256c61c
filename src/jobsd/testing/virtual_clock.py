"""A clock that a test advances, and the events that come due: retries, scheduled jobs, tasks.

It stops at each instant at which anything is due, and performs all of it, before it goes on. So
a day takes as long as its jobs do. It is the time of the queue in memory only: `datetime.now()`
of the user's code stays the real time, unless a library such as time-machine follows the clock
(`on_move`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import NamedTuple

from jobsd.clock import parse_duration, utc_now
from jobsd.errors import Error

from .job_store import raise_failures
from .memory_queue import MemoryQueue
from .recorded_job import RecordedJob
from .recurring_tasks import RecurringTasks

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_TICK = timedelta(microseconds=1)


class PlannedInstant(NamedTuple):
    """A planned run: its time, and the key of its recurring task."""

    run_at: datetime
    key: str


class VirtualClock:
    """The time of a test, its jobs and its recurring tasks.

    `jobs` is the queue. `on_move` is called with the new time whenever the clock moves.
    """

    def __init__(
        self, start: datetime | None = None, project: Path | str | None = None
    ) -> None:
        self._now = _aware("start", start) if start is not None else utc_now()
        self.jobs = MemoryQueue(now=lambda: self._now)
        self.tasks = RecurringTasks(self.jobs, project)
        self.on_move: Callable[[datetime], object] | None = None

    @property
    def now(self) -> datetime:
        """The present time, in UTC."""
        return self._now

    def advance(self, by: timedelta | float | str, *, raises: bool = True) -> list[RecordedJob]:
        """Advance the clock and perform the jobs that come due; return them, in order.

        Recurring tasks with `run_at_start` run at the first call, as at a start.

        Raises:
            BaseException: the error of the first job that has failed for good, once the time
                has passed; not with `raises=False`.
            Error: for an invalid duration.
        """
        try:
            seconds = parse_duration(by)
        except ValueError as error:
            raise Error(f"advance: {error}") from None
        try:
            end = self._now + timedelta(seconds=seconds)
        except OverflowError:
            raise Error(f"advance: {by!r} after {self._now.isoformat()} is no date") from None
        return self.advance_to(end, raises=raises)

    def advance_to(self, moment: datetime, *, raises: bool = True) -> list[RecordedJob]:
        """Advance the clock up to and including a moment, as `advance` does.

        Raises:
            Error: when it has passed; and all that `advance` raises.
        """
        end = _aware("advance_to", moment)
        if end < self._now:
            raise Error(f"advance_to: it is {self._now.isoformat()} already")
        self.tasks.start(self._now)
        performed = self.jobs.perform()
        while (instant := self._next_instant()) is not None and instant <= end:
            self._move(max(instant, self._now))
            self.tasks.enqueue_due(self._now)
            performed += self.jobs.perform()
        self._move(end)
        if raises:
            raise_failures(performed)
        return performed

    def move_to(self, moment: datetime) -> None:
        """Move the clock forwards without performing due jobs, as after an outage.

        The missed runs of recurring tasks are left to their `on_missed`.

        Raises:
            Error: when the moment has passed.
        """
        if (there := _aware("move_to", moment)) < self._now:
            raise Error(f"move_to: it is {self._now.isoformat()} already")
        self.tasks.start(self._now)
        self._move(there)

    def runs(self, since: datetime, until: datetime) -> list[PlannedInstant]:
        """Return the planned runs of recurring tasks from one moment until before another."""
        first, end = _aware("since", since) - _TICK, _aware("until", until)
        found = [
            PlannedInstant(run_at, task.key)
            for task in self.tasks.definitions
            for run_at in self.tasks.instants(task, first, end)
        ]
        return sorted(found)

    def runs_on(self, day: date | str) -> list[PlannedInstant]:
        """Return the planned runs of a day, or of the next one with that name: "sunday".

        The day is one of the project's `time_zone`.

        Raises:
            Error: for an invalid name of a day.
        """
        zone = self.tasks.zone
        day = self._next_day(day) if isinstance(day, str) else day
        start = datetime.combine(day, time(), zone)
        return self.runs(start, datetime.combine(day + timedelta(days=1), time(), zone))

    def _next_day(self, name: str) -> date:
        if name.lower() not in _WEEKDAYS:
            raise Error(f"runs_on: {name!r} is not one of {', '.join(_WEEKDAYS)}")
        today = self._now.astimezone(self.tasks.zone).date()
        return today + timedelta((_WEEKDAYS.index(name.lower()) - today.weekday()) % 7)

    def _next_instant(self) -> datetime | None:
        return min(filter(None, (self.jobs.next_due(), self.tasks.next_run())), default=None)

    def _move(self, moment: datetime) -> None:
        self._now = moment
        if self.on_move is not None:
            self.on_move(moment)


def _aware(name: str, moment: datetime) -> datetime:
    if not isinstance(moment, datetime):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise Error(f"{name}: {moment!r} is not a datetime")
    if moment.utcoffset() is None:
        raise Error(f"{name}: {moment} has no time zone; give an aware datetime")
    return moment.astimezone(UTC)
