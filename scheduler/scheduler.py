"""A scheduler: enqueues recurring tasks, each planned instant once.

All schedulers of a database plan from the same table by the same clock, the database's, and
store a run under its planned instant: the first one to store it enqueues it, the others find it
stored. So none of them is the leader, and none has to wait for another.

States: connecting (register, store our file's tasks), then polling: load tasks that have
changed, enqueue the runs that are due, clear old history. A poll that fails as a whole is an
outage: its runs are planned again from the table.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from jobsd.clock import monotonic
from jobsd.configuration.options import SchedulerOptions
from jobsd.database.connection import Session, Target
from jobsd.heartbeat import log as heartbeats
from jobsd.processes.context import Context
from jobsd.processes.database_loop import DatabaseLoop
from jobsd.processes.process import REST_MAX_S
from jobsd.recurring import definition, runs

from .run_enqueuer import RunEnqueuer
from .static_tasks import StaticTasks
from .task_loader import TaskLoader
from .timetable import DueRun

BATCH_MAX = 1000
"""Runs that are stored in one statement."""

PLAN_MAX = 500
"""Tasks that are planned in one poll, in 20 ms: due runs must not wait for all of them."""

CLEAR_MAX = 5000
CLEAR_FIRST_S = 60.0
CLEAR_EVERY_S = 3600.0
"""Clearing history: the rows of one statement, the delay after a connect, and the interval."""

_EPOCH = datetime.fromtimestamp(0, UTC)


class Scheduler(DatabaseLoop):
    """The loop of a scheduler process."""

    kind = "scheduler"

    def __init__(
        self,
        context: Context,
        target: Target,
        options: SchedulerOptions,
        tasks: tuple[definition.TaskDefinition, ...],
        environment: str = "",
    ) -> None:
        listen = options.dynamic_tasks_enabled
        super().__init__(
            context, Session(target, f"jobsd {context.name}", listen=listen, topic="task")
        )
        self._options = options
        self._environment = environment
        static_tasks = StaticTasks(tasks, context.scoreboard.started_us)
        self.tasks = TaskLoader(self.session, static_tasks, options)
        self._timetable = self.tasks.timetable
        self._run_enqueuer = RunEnqueuer(self.session)
        self._clear_at = 0.0
        self._was_paused = False

    def metadata(self) -> dict[str, Any]:
        """Return the configuration of this scheduler, which its row shows."""
        return {
            "environment": self._environment,
            "dynamic_tasks_enabled": self._options.dynamic_tasks_enabled,
            "polling_interval": self._options.polling_interval_s,
        }

    def connect(self) -> None:
        """Register, and store our file's tasks."""
        super().connect()
        self.tasks.restart(self.process_id)
        self._clear_at = monotonic() + CLEAR_FIRST_S

    def poll(self) -> float:
        """Enqueue due runs; return the seconds until the next run or check for changes."""
        if self._stopping:
            return 0.0
        if self.paused:
            self._was_paused = True
            # The socket would end each rest while one is unread.
            self.session.notifications()
            return REST_MAX_S
        if self._was_paused:
            # The resume may have changed from when on the instants of all tasks count.
            self._was_paused = False
            self.tasks.restart(self.process_id)
        self.tasks.load_changes()
        self.tasks.plan(PLAN_MAX)
        self._enqueue(self._timetable.due(self.tasks.now(), BATCH_MAX))
        if self.tasks.rest_s() <= 0:
            return 0.0
        self._run_at_start()
        self._clear_history()
        return self.tasks.rest_s()

    def farewell(self) -> None:
        """Emit the remaining outcomes, and delete the row."""
        self._run_enqueuer.emit_unheard()
        super().farewell()

    def doing(self) -> str:
        """Return the text of the process title."""
        if self._stopping:
            return "stopping"
        upcoming = self._timetable.next_run
        if not upcoming:
            return f"{len(self._timetable)} tasks"
        instant, key = upcoming
        date = "" if instant.date() == self.tasks.now().date() else f"{instant:%Y-%m-%d} "
        return f"{len(self._timetable)} tasks, next {key} at {date}{instant:%H:%M:%S} UTC"

    def _enqueue(self, due: list[DueRun]) -> bool:
        """Enqueue the runs; return False if some have a changed task and are planned again."""
        changed = self._run_enqueuer.enqueue(due)
        if changed:
            self.tasks.reload()
        for run in changed:
            self._timetable.put_back(run.task, run.run_at)
        return not changed

    def _run_at_start(self) -> None:
        """Run the tasks with `run_at_start` once in the supervisor's life.

        The instant is chosen once and kept in the shared memory before anything is stored:
        the successor of a killed scheduler stores the same run, or finds it stored.
        """
        scoreboard = self._context.scoreboard
        if scoreboard.ran_at_start == 1:
            return
        if scoreboard.ran_at_start == 0:
            scoreboard.ran_at_start = -(
                (self.tasks.now() - _EPOCH) // timedelta(microseconds=1)
            )
        run_at = _EPOCH + timedelta(microseconds=-scoreboard.ran_at_start)
        due = [DueRun(task, run_at) for task in self._timetable.tasks if task.run_at_start]
        if self._enqueue(due):
            scoreboard.ran_at_start = 1

    def _clear_history(self) -> None:
        """Remove outdated history and heartbeats, a bounded number at once."""
        if monotonic() < self._clear_at:
            return
        keep_s = self._options.keep_history_for_s
        removed = max(
            runs.clear(self.session, keep_s, CLEAR_MAX),
            heartbeats.clear(self.session, keep_s, CLEAR_MAX),
        )
        pause_s = 1.0 if removed >= CLEAR_MAX else CLEAR_EVERY_S
        self._clear_at = monotonic() + pause_s
