"""A scheduler: enqueues recurring tasks, each planned instant once.

All schedulers of a queue plan from the same table by the same clock, the database's, and
store a run under its planned instant: whoever comes first enqueues it, for the others it
is there already. So none of them is the leader, and none has to be waited for.

States: connecting (register, write our file's tasks, read all of them), then rounds: look
whether tasks have changed, take the ticks that are due, store them in one statement. A
round that fails as a whole is an outage: what it took is planned again from the table.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg

from jobsd.clock import monotonic
from jobsd.database.connection import Session
from jobsd.database.statements import Statements
from jobsd.errors import Error
from jobsd.heartbeat import log as heartbeats
from jobsd.instruments.events import emit
from jobsd.processes import registry
from jobsd.processes.process import REST_MAX_S, WAITED_OUT
from jobsd.recurring import occurrences
from jobsd.recurring.occurrences import Fate, Run
from jobsd.recurring.tasks import load
from jobsd.schedules import ScheduleError

from .clock import AHEAD_MAX, DatabaseClock
from .naming import Naming
from .report import tell, tell_failure
from .timetable import Tick, Timetable, busiest_last

if TYPE_CHECKING:
    from jobsd.configuration.options import SchedulerOptions
    from jobsd.database.connection import Target
    from jobsd.processes.process import Context
    from jobsd.recurring.task import TaskOptions
    from jobsd.recurring.tasks import RecurringTask

STATEMENTS = Statements("jobsd.scheduler", "scheduler.sql")

BATCH_MAX = 1000
"""Ticks that are stored in one statement."""

PLAN_MAX = 500
"""Tasks that are planned in one round, in 20 ms: what is due must not wait for all of them."""

CLEAR_MAX = 5000
CLEAR_EVERY_S = 3600.0
"""How much of the history is removed at once, and how often when there is no more."""

LOOK_MIN_S = 0.1
"""However often somebody says that tasks have changed, we look no more often."""

_EPOCH = datetime.fromtimestamp(0, UTC)


class Scheduler:
    """The loop of a scheduler process."""

    kind = "scheduler"

    def __init__(
        self,
        context: Context,
        target: Target,
        options: SchedulerOptions,
        tasks: tuple[TaskOptions, ...],
        environment: str = "",
    ) -> None:
        self._context = context
        self._options = options
        self._environment = environment
        listen = options.dynamic_tasks_enabled
        self._session = Session(target, f"jobsd {context.name}", listen=listen)
        self._naming = Naming(tasks, context.scoreboard.started_us)
        self._clock = DatabaseClock()
        self._timetable = Timetable()
        self._seen: tuple[int, int] | None = None
        self._unplanned: list[RecurringTask] = []
        self._refused: set[tuple[str, datetime]] = set()
        self._look_at = self._looked_at = self._clear_at = 0.0
        self._row_id = 0
        self._stopping = False

    def connect(self) -> None:
        """Register, and write what our file says."""
        self._row_id = registry.enter(
            self._session,
            self._context,
            self.kind,
            {
                "environment": self._environment,
                "dynamic_tasks_enabled": self._options.dynamic_tasks_enabled,
                "polling_interval": self._options.polling_interval_s,
            },
        )
        self._naming.store(self._session, self._row_id)
        self._timetable = Timetable()
        self._unplanned = []
        self._seen = None
        self._look_at = 0.0
        self._clear_at = monotonic() + 60.0

    def disconnect(self) -> None:
        """Drop the connection."""
        self._session.close()

    def poll(self) -> float:
        """Enqueue what is due; return the seconds until something is, or until we look."""
        if self._stopping:
            return 0.0
        if "recurring" in self._session.notifications():
            self._look_at = min(self._look_at, self._looked_at + LOOK_MIN_S)
        if monotonic() >= self._look_at:
            self._look()
        self._plan(PLAN_MAX)
        ticks = self._timetable.due(self._clock.now(), BATCH_MAX)
        self._run(ticks)
        if self._rest_s() <= 0:
            return 0.0
        self._run_at_start()
        self._clear()
        return self._rest_s()

    def socket(self) -> int | None:
        """Return the socket on which edits of tasks are told."""
        return self._session.fileno()

    def doing(self) -> str:
        """Return what the title says."""
        if self._stopping:
            return "stopping"
        upcoming = self._timetable.next_tick
        if not upcoming:
            return f"{len(self._timetable)} tasks"
        instant, key = upcoming
        date = "" if instant.date() == self._clock.now().date() else f"{instant:%Y-%m-%d} "
        return f"{len(self._timetable)} tasks, next {key} at {date}{instant:%H:%M:%S} UTC"

    def stop(self) -> None:
        """End: nothing is in hand between two polls."""
        self._stopping = True

    @property
    def stopped(self) -> bool:
        """Whether we were told to stop."""
        return self._stopping

    def farewell(self) -> None:
        """Remove the row."""
        registry.leave(self._session, self._context, self._row_id)

    # What has changed.

    def _look(self) -> None:
        """Read the clock, and the tasks if any of them has changed."""
        parameters = {"dynamic": self._options.dynamic_tasks_enabled}
        asked = monotonic()
        now, tasks, mark, orphans = self._session.fetch(STATEMENTS["look"], parameters)[0]
        self._looked_at = monotonic()
        self._notice(self._clock.measure(asked, now, self._looked_at))
        if self._naming.may_adopt(orphans=orphans):
            self._naming.store(self._session, self._row_id)
            self._load()
        elif self._seen != (tasks, mark):
            self._load()
        # As seen before the tasks were read: what changed in between is looked at again.
        self._seen = (tasks, mark)
        wakes = self._session.listening
        self._look_at = self._looked_at + (
            REST_MAX_S if wakes else self._options.polling_interval_s
        )

    def _notice(self, put_back_s: float) -> None:
        """Plan all tasks anew when the clock was put back: they would wait for it till then."""
        if put_back_s <= AHEAD_MAX.total_seconds():
            return
        emit("recurring.clock_put_back", seconds=round(put_back_s, 3))
        self._timetable = Timetable()
        self._seen = None

    def _load(self) -> None:
        """Read all tasks; those that are ours to run are to be planned."""
        rows = load(self._session)
        if self._naming.wants_to_store(rows):
            self._naming.store(self._session, self._row_id)
            rows = load(self._session)
        self._naming.compare(rows, self._row_id)
        dynamic = self._options.dynamic_tasks_enabled
        mine = [row for row in rows if (self._naming.names(row) if row.static else dynamic)]
        self._timetable.keep({task.key for task in mine})
        self._unplanned = busiest_last(mine)
        if not mine:
            emit("recurring.loaded", tasks=0)

    def _plan(self, limit: int | None = None) -> None:
        """Plan tasks that were read, at most so many."""
        if not self._unplanned:
            return
        for _ in range(limit or len(self._unplanned)):
            if not self._unplanned:
                break
            task = self._unplanned.pop()
            try:
                self._timetable.plan(task, self._clock.now())
            except ScheduleError as error:
                if (task.key, task.updated_at) not in self._refused:
                    self._refused.add((task.key, task.updated_at))
                    emit("recurring.failed", task=task.key, error=error)
        if not self._unplanned:
            emit("recurring.loaded", tasks=len(self._timetable))

    def _rest_s(self) -> float:
        if self._unplanned:
            return 0.0
        rest_s = self._look_at - monotonic()
        if upcoming := self._timetable.next_tick:
            rest_s = min(rest_s, (upcoming[0] - self._clock.now()).total_seconds())
        return max(0.0, rest_s)

    # What is due.

    def _run(self, ticks: list[Tick]) -> bool:
        """Store the ticks and tell what became of them; return False when some come again."""
        runs = [run for tick in ticks if (run := _run_of(tick))]
        if not runs:
            return True
        fates = self._store(runs)
        tell(fates)
        changed = [fate.run for fate in fates if fate.what == "changed"]
        if changed:
            self._load()
            self._plan()
        for run in changed:
            self._timetable.put_back(run.task, run.run_at)
        return not changed

    def _store(self, runs: list[Run]) -> list[Fate]:
        """Store all runs together; one by one when one of them spoils it for all."""
        try:
            return occurrences.store(self._session, runs)
        except WAITED_OUT:
            raise
        except psycopg.Error as error:
            if len(runs) == 1:
                tell_failure(runs[0].task.key, runs[0].run_at, error)
                return []
            return [fate for run in runs for fate in self._store([run])]

    def _run_at_start(self) -> None:
        """Run the tasks that want so once in the supervisor's life.

        The instant is chosen once and kept in the shared memory before anything is stored:
        a successor that finds us killed in between stores the same run, or finds it stored.
        """
        scoreboard = self._context.scoreboard
        if scoreboard.ran_at_start == 1:
            return
        if scoreboard.ran_at_start == 0:
            scoreboard.ran_at_start = -(
                (self._clock.now() - _EPOCH) // timedelta(microseconds=1)
            )
        run_at = _EPOCH + timedelta(microseconds=-scoreboard.ran_at_start)
        ticks = [Tick(task, run_at) for task in self._timetable.tasks if task.run_at_start]
        if self._run(ticks):
            scoreboard.ran_at_start = 1

    def _clear(self) -> None:
        """Remove history and heartbeats past their time, a bounded number at once."""
        if monotonic() < self._clear_at:
            return
        keep_s = self._options.keep_history_for_s
        removed = max(
            occurrences.clear(self._session, keep_s, CLEAR_MAX),
            heartbeats.clear(self._session, keep_s, CLEAR_MAX),
        )
        pause_s = 1.0 if removed >= CLEAR_MAX else CLEAR_EVERY_S
        self._clear_at = monotonic() + pause_s


def _run_of(tick: Tick) -> Run | None:
    """Return the run that a tick is, or None, told, when its job can't be made."""
    if tick.missed:
        return Run(tick.task, tick.run_at, None)
    try:
        return Run(tick.task, tick.run_at, occurrences.draft_of(tick.task))
    except Error as error:
        tell_failure(tick.task.key, tick.run_at, error)
        return None
