"""Schedulers whose rounds the test takes itself, and tasks for them."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from jobsd.configuration.options import SchedulerOptions
from jobsd.instruments.events import subscribe
from jobsd.jobs import client
from jobsd.jobs.client import Client
from jobsd.jobs.definition import Job
from jobsd.processes.process import Context
from jobsd.processes.scoreboard import Scoreboard
from jobsd.recurring.task import TaskOptions
from jobsd.scheduler.scheduler import Scheduler
from waiting import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Told = list[tuple[str, dict[str, Any]]]

    from jobsd.database.connection import Session, Target
    from jobsd.instruments.events import Event

TASK = TaskOptions(
    key="tick",
    class_name="SchedulerTestJob",
    command=None,
    schedule="every second",
    arguments=(),
    queue_name=None,
    priority=None,
    description="",
    time_zone="UTC",
    enabled=True,
    run_at_start=False,
    on_missed="skip",
    overlap="allow",
    source="config/recurring.yml:1",
)

HOURLY = f"every hour at minute {(int(time.time()) // 60 + 30) % 60}"
"""A schedule of which no instant comes while we look: the next is half an hour off."""

RUNS = "SELECT count(*) FROM jobsd.recurring_executions WHERE job_id IS NOT NULL"

OPTIONS = SchedulerOptions()


class SchedulerTestJob(Job):
    queue = "ticks"
    priority = 7
    max_attempts = 3

    def perform(self, *args: object, **kwargs: object) -> None:
        """Do nothing."""


def task(key: str = "tick", **settings: Any) -> TaskOptions:
    """Return a task that ticks every second, unless `settings` say otherwise."""
    return replace(TASK, key=key, **settings)


class Driven:
    """A scheduler, its context, and rounds of it until something is so."""

    def __init__(self, scheduler: Scheduler, context: Context) -> None:
        self.scheduler = scheduler
        self.context = context
        self.connected = False

    def connect(self) -> None:
        if not self.connected:
            self.scheduler.connect()
            self.connected = True

    def poll(self) -> float:
        self.connect()
        return self.scheduler.poll()

    def until(self, condition: Callable[[], object], within_s: float = 10.0) -> None:
        """Take rounds until the condition holds; fail after `within_s`."""
        watch = Stopwatch()
        while not condition():
            assert not watch.over(within_s), "the condition has not come about"
            rest_s = self.poll()
            sockets = [fd] if (fd := self.scheduler.socket()) is not None else []
            self.context.nap.take(min(rest_s, 0.05), sockets)

    def look(self) -> None:
        """Take a round that looks whether tasks have changed, as one does each 5 s."""
        self.poll()
        self.scheduler._look_at = 0.0
        self.poll()

    def hurry(self) -> None:
        """Take rounds of which the first finds the ticks of the last 1.9 s due."""
        self.set_back()
        self.look()

    def set_back(self) -> None:
        """Let the next round find the ticks of the last 1.9 s due: one or two of each task."""
        # Without a round before it: that may be one in which a tick runs, on a busy machine.
        self.connect()
        self.scheduler._session.connection.execute(
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
        *tasks: TaskOptions,
        scoreboard: Scoreboard | None = ...,
        options: SchedulerOptions = ...,
        at: Target | None = ...,
    ) -> Driven: ...


@pytest.fixture
def make_scheduler(target: Target) -> Iterator[MakeScheduler]:
    client.configure(client=Client(target))
    made: list[Driven] = []

    def make(
        *tasks: TaskOptions,
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
        made.append(Driven(Scheduler(context, at or target, options, tasks, "test"), context))
        return made[-1]

    yield make
    for driven in made:
        driven.scheduler.disconnect()
        driven.context.nap.close()
    client.configure()


@pytest.fixture
def told() -> Iterator[Told]:
    """All that was told, as it comes."""
    heard: Told = []

    def hear(event: Event, facts: dict[str, Any]) -> None:
        heard.append((event.name, facts))

    end = subscribe(hear)
    yield heard
    end()


class Ask(Protocol):
    def __call__(self, sql: str, *parameters: object) -> list[Any]: ...


@pytest.fixture
def ask(session: Session) -> Ask:
    """Run SQL and return the rows; those of one column as plain values."""

    def run(sql: str, *parameters: object) -> list[Any]:
        cursor = session.connection.execute(sql.encode(), parameters)
        rows = cursor.fetchall() if cursor.description else []
        return [row[0] if len(row) == 1 else row for row in rows]

    return run
