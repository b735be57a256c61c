"""Loads the recurring tasks from the table when they have changed, and plans their runs.

A notification or the polling interval causes a check: one statement that reads the clock and a
fingerprint of all tasks. The tasks are read only if the fingerprint differs.
"""

from datetime import datetime

from jobsd.clock import monotonic
from jobsd.configuration.options import SchedulerOptions
from jobsd.database.connection import Session, Statements
from jobsd.events.events import emit
from jobsd.processes.process import REST_MAX_S
from jobsd.recurring.tasks import RecurringTask, load
from jobsd.schedules import ScheduleError

from . import database_clock, timetable
from .static_tasks import StaticTasks

STATEMENTS = Statements("jobsd.scheduler", "task_loader.sql")

CHECK_MIN_S = 0.1
"""The shortest time between two checks, however many notifications come."""


class TaskLoader:
    """Keeps a timetable in step with the table of tasks."""

    def __init__(
        self, session: Session, static_tasks: StaticTasks, options: SchedulerOptions
    ) -> None:
        self.timetable = timetable.Timetable()
        self._session = session
        self._static_tasks = static_tasks
        self._options = options
        self._clock = database_clock.DatabaseClock()
        self._process_id = 0
        self._fingerprint: tuple[int, int] | None = None
        self._unplanned: list[RecurringTask] = []
        self._refused: set[tuple[str, datetime]] = set()
        self._check_at = 0.0
        self.checked_at = 0.0
        """The monotonic time of the last check."""

    def now(self) -> datetime:
        """Return the database's time, in UTC, counted on from the last check."""
        return self._clock.now()

    def restart(self, process_id: int) -> None:
        """Store the tasks of our file, and discard the tasks read before."""
        self._process_id = process_id
        self._static_tasks.store(self._session, process_id)
        self._forget()
        self._check_at = 0.0

    def request_check(self) -> None:
        """Check for changes soon, whatever the polling interval."""
        self._check_at = min(self._check_at, self.checked_at + CHECK_MIN_S)

    def load_changes(self) -> None:
        """Check for changes if the interval has passed, and read the tasks if any changed."""
        if "recurring" in self._session.notifications():
            self.request_check()
        if monotonic() < self._check_at:
            return
        fingerprint, orphaned = self._check()
        if self._static_tasks.may_adopt(orphaned=orphaned):
            self._static_tasks.store(self._session, self._process_id)
            self._load()
        elif fingerprint != self._fingerprint:
            self._load()
        # Taken before the tasks were read: the next check finds changes made in between.
        self._fingerprint = fingerprint
        listening = self._session.listening
        pause_s = REST_MAX_S if listening else self._options.polling_interval_s
        self._check_at = self.checked_at + pause_s

    def reload(self) -> None:
        """Read and plan all tasks now, since one of them has changed."""
        self._load()
        self.plan(len(self._unplanned))

    def plan(self, limit: int) -> None:
        """Plan at most `limit` of the tasks that were read."""
        if not self._unplanned:
            return
        for task in [self._unplanned.pop() for _ in self._unplanned[:limit]]:
            try:
                self.timetable.plan(task, self.now())
            except ScheduleError as error:
                if (task.key, task.updated_at) not in self._refused:
                    self._refused.add((task.key, task.updated_at))
                    emit("recurring.failed", task=task.key, error=error)
        if not self._unplanned:
            emit("recurring.loaded", tasks=len(self.timetable))

    def rest_s(self) -> float:
        """Return the seconds until the next run or check; 0 while tasks are unplanned."""
        if self._unplanned:
            return 0.0
        rest_s = self._check_at - monotonic()
        if upcoming := self.timetable.next_run:
            rest_s = min(rest_s, (upcoming[0] - self.now()).total_seconds())
        return max(0.0, rest_s)

    def _check(self) -> tuple[tuple[int, int], bool]:
        """Read the clock; return the tasks' fingerprint, and whether some are orphaned."""
        parameters = {"dynamic": self._options.dynamic_tasks_enabled}
        asked = monotonic()
        row = self._session.fetch(STATEMENTS["check"], parameters)[0]
        now, tasks, fingerprint, orphaned = row
        self.checked_at = monotonic()
        put_back_s = self._clock.measure(asked, now, self.checked_at)
        if put_back_s > database_clock.AHEAD_MAX.total_seconds():
            # Otherwise runs planned by the old time would wait until that time comes again.
            emit("recurring.clock_put_back", seconds=round(put_back_s, 3))
            self._forget()
        return (tasks, fingerprint), orphaned

    def _load(self) -> None:
        """Read all tasks, and queue the tasks that this scheduler runs for planning."""
        rows = load(self._session)
        if self._static_tasks.are_missing_in(rows):
            self._static_tasks.store(self._session, self._process_id)
            rows = load(self._session)
        self._static_tasks.report_conflicts(rows, self._process_id)
        dynamic = self._options.dynamic_tasks_enabled
        ours = [
            row for row in rows if (self._static_tasks.names(row) if row.static else dynamic)
        ]
        self.timetable.keep({task.key for task in ours})
        self._unplanned = timetable.busiest_last(ours)
        if not ours:
            emit("recurring.loaded", tasks=0)

    def _forget(self) -> None:
        self.timetable.clear()
        self._unplanned = []
        self._fingerprint = None
