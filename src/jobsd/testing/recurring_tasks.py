"""The recurring tasks of a project, planned by the scheduler's own timetable."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jobsd.configuration import flags, folder, load
from jobsd.jobs import registry
from jobsd.recurring import command_job, runs
from jobsd.recurring.code_tasks import with_code_tasks
from jobsd.recurring.definition import TaskDefinition
from jobsd.recurring.tasks import RecurringTask
from jobsd.scheduler.timetable import Timetable
from jobsd.schedules import ScheduleError

from .memory_queue import MemoryQueue

_BATCH = 1000


class RecurringTasks:
    """The tasks that a virtual clock runs; read from the project at first use."""

    def __init__(self, jobs: MemoryQueue, project: Path | str | None) -> None:
        self._jobs = jobs
        self._project = project
        self._definitions: Sequence[TaskDefinition] | None = None
        self._zone = ZoneInfo("UTC")
        self._timetable: Timetable | None = None
        self._last: dict[str, int] = {}
        """The job of each task's last run."""

    def use(self, *tasks: TaskDefinition) -> None:
        """Run these tasks instead of the project's; without arguments, none."""
        self._definitions = tasks
        self._timetable = None

    def read(
        self, project: Path | str | None = None, *, environment: str | None = None
    ) -> None:
        """Read the tasks of a project's files for an environment, and those of its code.

        The modules of `import:` are imported.

        Raises:
            ConfigurationError: with every fault of the files.
        """
        environ = dict(os.environ)
        if environment is not None:
            environ["JOBSD_ENV"] = environment
        root = (
            Path(project) if project is not None else folder.project_root(Path.cwd(), environ)
        )
        options = load.load(root, environ, flags.Flags())
        # The shipped task runs a job of ours.
        import_module("jobsd.heartbeat.job")
        registry.load_modules(options.imports, options.root)
        commands = [task.command for task in options.tasks if task.command]
        command_job.register(options.imports, commands)
        self._zone = ZoneInfo(options.time_zone)
        self.use(*with_code_tasks(options.tasks, options.time_zone, options.root))

    @property
    def definitions(self) -> Sequence[TaskDefinition]:
        """All enabled tasks."""
        if self._definitions is None:
            self.read(self._project)
        return [task for task in self._definitions or () if task.enabled]

    @property
    def zone(self) -> ZoneInfo:
        """The zone of schedules that name none."""
        _ = self.definitions
        return self._zone

    def instants(
        self, task: TaskDefinition, after: datetime, before: datetime
    ) -> Iterator[datetime]:
        """Yield the planned instants of a task between two moments."""
        try:
            while (after := task.plan.next_after(after)) < before:
                yield after
        except ScheduleError:
            return  # it never runs again

    def start(self, now: datetime) -> None:
        """Begin to plan, and enqueue the tasks that run at a start; later calls do nothing."""
        if self._timetable is not None:
            return
        definitions = self.definitions
        self._timetable = Timetable()
        for definition in definitions:
            task = _stored(definition, now)
            if task.command is not None:
                self._jobs.acts.commands[task.key] = task.command
            self._timetable.plan(task, now)
            if task.run_at_start:
                self._enqueue(task)

    def next_run(self) -> datetime | None:
        """Return the next planned instant."""
        upcoming = None if self._timetable is None else self._timetable.next_run
        return upcoming[0] if upcoming else None

    def enqueue_due(self, now: datetime) -> None:
        """Enqueue the due runs that were not missed."""
        while self._timetable is not None and (due := self._timetable.due(now, _BATCH)):
            for run in due:
                if not run.missed:
                    self._enqueue(run.task)

    def _enqueue(self, task: RecurringTask) -> None:
        if task.overlap == "skip" and self._jobs.has_open(self._last.get(task.key, 0)):
            return
        enqueued = self._jobs.enqueue(runs.draft_of(task))
        if enqueued.id is not None and enqueued.state != "duplicate":
            self._last[task.key] = enqueued.id


def _stored(task: TaskDefinition, now: datetime) -> RecurringTask:
    """Return the task as its row would have it."""
    own: dict[str, Any] = {each.name: getattr(task, each.name) for each in fields(task)}
    return RecurringTask(**own, static=True, planned_from=now, created_at=now, updated_at=now)
