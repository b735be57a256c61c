"""Watches the progress of jobs: read by the thread and over the connection of all waits.

A watch lies beside a wait for the end of its job. The thread reads the progress of all watched
jobs together, and that of a job that has just ended once more. A watch keeps the last progress
only: a slow reader misses reports, never the end.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Collection
from typing import Any

from jobsd.clock import monotonic
from jobsd.database.connection import Session
from jobsd.jobs import progress
from jobsd.states.results import End

EVERY_S = 0.5
"""The interval of reads; workers write progress once a second at most."""


class Watch:
    """The progress of a job that was read last, for a coroutine of the loop that runs here.

    `means` returns whether what was read is about this job, and no other with its id.
    """

    def __init__(self, means: Callable[[End], bool]) -> None:
        self.means = means
        self.seen: dict[str, Any] | None = None
        self.changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def wake(self) -> None:
        """Wake the coroutine, from any thread."""
        # A loop that is closed has no coroutine left.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.changed.set)


class Watches:
    """All watches of a process for jobs of one database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: dict[int, list[Watch]] = {}
        self._due = 0.0

    def add(self, job_id: int, watch: Watch) -> None:
        """Read the progress of this job, too, and at once."""
        with self._lock:
            self._watches.setdefault(job_id, []).append(watch)
            self._due = 0.0

    def remove(self, job_id: int, watch: Watch) -> None:
        """Read it no longer."""
        with self._lock:
            self._watches[job_id].remove(watch)
            if not self._watches[job_id]:
                del self._watches[job_id]

    def rest_s(self, rest_s: float) -> float:
        """Return the seconds until the next read, `rest_s` at most."""
        return min(rest_s, max(0.0, self._due - monotonic())) if self._watches else rest_s

    def read(self, session: Session, ended: Collection[int]) -> None:
        """Read the progress of the jobs that have just ended, and of all when it is time."""
        with self._lock:
            watched = list(self._watches)
        if not watched:
            return
        if self._due <= monotonic():
            self._due = monotonic() + EVERY_S
        else:
            watched = [job_id for job_id in watched if job_id in ended]
        for job_id, created_us, seen in progress.read(session, watched):
            read = End(job_id, None, created_us=created_us)
            with self._lock:
                watches = list(self._watches.get(job_id, ()))
            for watch in watches:
                if watch.seen != seen and watch.means(read):
                    watch.seen = seen
                    # The end, which is reported next, wakes the coroutine of an ended job.
                    if job_id not in ended:
                        watch.wake()
