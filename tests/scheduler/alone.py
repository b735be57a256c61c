"""One scheduler as a process of its own, for tests that kill and freeze it.

    python alone.py DATABASE-URL KEY:ON_MISSED…

Each key is a task that runs every second. With DIES_AT=N in the environment it kills itself
before its N-th round trip, with DIES_AFTER=N after it.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from typing import TYPE_CHECKING, Any
from unittest import mock

from jobsd.configuration.options import SchedulerOptions
from jobsd.database.connection import Session, Target
from jobsd.jobs.definition import Job
from jobsd.processes import process
from jobsd.processes.context import Context
from jobsd.processes.registry import new_name
from jobsd.recurring.definition import TaskDefinition
from jobsd.scheduler.scheduler import Scheduler
from jobsd.scoreboard.scoreboard import Scoreboard

if TYPE_CHECKING:
    from collections.abc import Callable


class AloneTestJob(Job):
    def perform(self) -> None:
        """Do nothing."""


def _task(text: str) -> TaskDefinition:
    key, _, on_missed = text.partition(":")
    return TaskDefinition(
        key=key,
        phrase="every second",
        class_name="AloneTestJob",
        on_missed=on_missed or "skip",
        source="config/recurring.yml:1",
    )


_numbers = count(1)


def _doomed(send: Callable[..., Any]) -> Callable[..., Any]:
    """Return `send`, ending the process before or after the round trip it is to end at."""

    def send_or_die(self: Session, *arguments: Any) -> Any:
        number = str(next(_numbers))
        _die_if(os.environ.get("DIES_AT") == number)
        rows = send(self, *arguments)
        _die_if(os.environ.get("DIES_AFTER") == number)
        return rows

    return send_or_die


def _die_if(condition: bool) -> None:  # noqa: FBT001
    if condition:
        os.kill(os.getpid(), signal.SIGKILL)


def main(url: str, *tasks: str) -> int:
    """Run a scheduler until it has to stop."""
    scoreboard = Scoreboard()
    scoreboard.supervisor_pid = os.getppid()
    entry = scoreboard.free_entry()
    assert entry is not None
    name = new_name("scheduler")
    entry.take("scheduler", name)
    context = Context(scoreboard, entry, name)
    process.listen_to_signals(context)
    options = SchedulerOptions(keep_history_for_s=86400.0)
    for way in ("fetch", "fetch_together"):
        mock.patch.object(Session, way, _doomed(getattr(Session, way))).start()
    loop = Scheduler(context, Target(url), options, tuple(map(_task, tasks)), "test")
    return process.run(loop, context)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
