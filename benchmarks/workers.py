"""The product's workers, forked and run as the supervisor does, without the supervisor.

So a benchmark may begin at an exact moment, and sees the jobs finish in the shared memory
that the monitor reads: a job is counted there once its outcome is committed.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from jobsd.configuration.options import JobsOptions
from jobsd.logs import logs
from jobsd.processes.context import Context
from jobsd.processes.process import listen_to_signals, run
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.fork import freeze
from jobsd.worker.worker import Worker

from .children import Children

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.configuration.options import WorkerOptions
    from jobsd.database.connection import Target
    from jobsd.scoreboard.entry import ScoreboardEntry

    from .children import Lap


class Workers:
    """Worker processes that are ready to begin."""

    def __init__(
        self,
        target: Target,
        processes: int,
        options: WorkerOptions,
        make: Callable[..., Worker] = Worker,
    ) -> None:
        scoreboard = Scoreboard()
        scoreboard.supervisor_pid = os.getpid()
        self._entries = [_taken(scoreboard) for _ in range(processes)]
        freeze()  # else each collects, and so copies, all that this process has loaded
        self._children = Children(
            processes,
            lambda number: _worker(scoreboard, self._entries[number], target, options, make),
        )

    def go(self) -> float:
        """Let them connect and claim; return when (monotonic)."""
        return self._children.go()

    def finished(self) -> int:
        """Return how many jobs have succeeded and are recorded as such.

        There are few classes, and may be thousands of queues.
        """
        return sum(
            counters.outcome("finished")
            for entry in self._entries
            for counters in entry.classes()
        )

    def stop(self) -> list[Lap[int]]:
        """Let them drain and end; return their laps, whose values are their exit statuses."""
        for pid in self._children.pids:
            os.kill(pid, signal.SIGTERM)
        return self._children.laps()


def _taken(scoreboard: Scoreboard) -> ScoreboardEntry:
    entry = scoreboard.free_entry()
    assert entry is not None  # noqa: S101 - there are 256 of them
    entry.take("worker", f"worker-benchmark-{os.getpid()}-{entry.index}")
    return entry


def _worker(
    scoreboard: Scoreboard,
    entry: ScoreboardEntry,
    target: Target,
    options: WorkerOptions,
    make: Callable[..., Worker],
) -> Callable[[], int]:
    context = Context(scoreboard, entry, entry.name)
    entry.pid = os.getpid()
    listen_to_signals(context)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    logs.configure("json", "info", kind="worker", name=entry.name, stream=nowhere)
    worker = make(context, target, options, JobsOptions())
    return lambda: run(worker, context)
