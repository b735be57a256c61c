"""Schedulers that the test polls itself, and tasks for them."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from jobsd.arguments.arguments import dump
from jobsd.configuration.options import SchedulerOptions
from jobsd.enqueueing import client
from jobsd.enqueueing.client import Client
from jobsd.jobs.definition import Job
from jobsd.jobs.job_schedule import split_arguments
from jobsd.processes.context import Context
from jobsd.recurring.definition import TaskDefinition
from jobsd.scheduler.scheduler import Scheduler
from jobsd.scoreboard.scoreboard import Scoreboard
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.event_recorder import Emitted, EventRecorder
    from jobsd.database.connection import Target
    from rows import Rows


RUNS = "SELECT count(*) FROM jobsd.recurring_executions WHERE job_id IS NOT NULL"

OPTIONS = SchedulerOptions()


class SchedulerTestJob(Job):
    queue = "ticks"
    priority = 7
    max_attempts = 3

    def perform(self, *args: object, **kwargs: object) -> None:
        """Do nothing."""


def task(key: str = "tick", args: object = (), **settings: Any) -> TaskDefinition:
    """Return a task that runs every second, unless `settings` say otherwise."""
    fields: dict[str, Any] = {
        "phrase": "every second",
        "class_name": "SchedulerTestJob",
        "source": "config/recurring.yml:1",
        "arguments_json": dump(*split_arguments(args)),
        **settings,
    }
    return TaskDefinition(key=key, **fields)


def amid_s() -> int:
    """Return an interval, counted from the epoch, of which about a half has passed now."""
    now_s = int(time.time())
    return next(s for s in range(7200, 8000) if 0.3 < now_s % s / s < 0.7)


@functools.cache
def hourly() -> str:
    """Return a schedule without an instant during a test: the next is half an hour off.

    It is the same for the length of a test.
    """
    return f"every hour at minute {(int(time.time()) // 60 + 30) % 60}"


@pytest.fixture(autouse=True)
def _half_an_hour_from_now() -> None:
    hourly.cache_clear()


class Driven:
    """A scheduler, its context, and polls of it until something is so."""

    def __init__(self, scheduler: Scheduler, context: Context, rows: Rows) -> None:
        self.scheduler = scheduler
        self.context = context
        self.connected = False
        self._rows = rows

    def connect(self) -> None:
        if not self.connected:
            self.scheduler.connect()
            self.connected = True

    def poll(self) -> float:
        self.connect()
        return self.scheduler.poll()

    def until(self, condition: Callable[[], object], within_s: float = 60.0) -> None:
        """Poll until the condition holds; fail after `within_s`."""
        wait_until(condition, within_s, between=self._take_round)

    def _take_round(self) -> None:
        rest_s = self.poll()
        sockets = [fd] if (fd := self.scheduler.socket()) is not None else []
        self.context.nap.take(min(rest_s, 0.05), sockets)

    def check(self) -> None:
        """Poll until the scheduler has checked whether tasks have changed."""
        self.poll()
        tasks, before = self.scheduler.tasks, self.scheduler.tasks.checked_at
        tasks.request_check()
        self.until(lambda: tasks.checked_at > before)

    def hurry(self) -> None:
        """Poll so that the runs of the last 1.9 s are due."""
        self.set_back()
        self.check()

    def set_back(self) -> None:
        """Let the runs of the last 1.9 s be due at the next check: one or two of each task."""
        # Without a poll before it, in which a run may be due on a busy machine.
        self.connect()
        self._rows(
            "UPDATE jobsd.recurring_tasks SET planned_from = now() - interval '1.9 s',"
            " last_run_at = NULL, updated_at = now()"
        )

    def end(self) -> None:
        self.scheduler.stop()
        self.scheduler.farewell()
        self.connected = False


class MakeScheduler(Protocol):
    def __call__(
        self,
        *tasks: TaskDefinition,
        scoreboard: Scoreboard | None = ...,
        options: SchedulerOptions = ...,
        at: Target | None = ...,
    ) -> Driven: ...


@pytest.fixture
def make_scheduler(target: Target, rows: Rows) -> Iterator[MakeScheduler]:
    client.configure(client=Client(target))
    made: list[Driven] = []

    def make(
        *tasks: TaskDefinition,
        scoreboard: Scoreboard | None = None,
        options: SchedulerOptions = OPTIONS,
        at: Target | None = None,
    ) -> Driven:
        scoreboard = scoreboard or Scoreboard()
        name = f"scheduler-{len(made)}"
        entry = scoreboard.free_entry()
        assert entry is not None
        entry.take("scheduler", name)
        context = Context(scoreboard, entry, name)
        scheduler = Scheduler(context, at or target, options, tasks, "test")
        made.append(Driven(scheduler, context, rows))
        return made[-1]

    yield make
    for driven in made:
        driven.scheduler.disconnect()
        driven.context.nap.close()
    client.configure()


@pytest.fixture
def emitted(recorder: EventRecorder) -> Emitted:
    """All events with their facts, as they are emitted."""
    return recorder.events()
