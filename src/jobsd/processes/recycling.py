"""Recycling: a process that has reached a limit asks to be replaced by a successor.

This is a remedy for leaks, above all in the user's code. The limits are numbers of jobs, memory
and age. The process works until its successor is up and then stops in order, so a limit is the
point at which recycling begins, not a maximum.
"""

import errno
import os
import resource
from pathlib import Path

from jobsd.clock import monotonic
from jobsd.events.events import emit
from jobsd.scoreboard.entry import ScoreboardEntry

MEMORY_EVERY_S = 1.0
"""Interval of measuring the memory: each time reads /proc."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


class RecyclePolicy:
    """The limits after which one process is recycled; None is no limit.

    `max_memory` is bytes of resident memory. It counts only once a job has run: a process that
    is too big from the start would not be smaller after a replacement. A process that has no
    descriptor left to measure its memory is recycled, too.
    """

    def __init__(
        self,
        entry: ScoreboardEntry,
        max_jobs: int | None = None,
        max_memory: int | None = None,
        max_age_s: float | None = None,
    ) -> None:
        self._entry = entry
        self._max_jobs = max_jobs
        self._max_memory = max_memory
        self._max_age_s = max_age_s
        self._memory_at = 0.0

    def check(self) -> None:
        """Ask once for a successor when a limit is reached. Called after each poll."""
        entry = self._entry
        if entry.wants_recycling:
            return
        if self._max_jobs is not None and entry.jobs_ended >= self._max_jobs:
            self._ask("max_jobs", entry.jobs_ended)
        elif self._max_age_s is not None and entry.age_s >= self._max_age_s:
            self._ask("max_age", round(entry.age_s, 3))
        elif self._max_memory is not None and entry.jobs_ended:
            self._check_memory(self._max_memory)

    def _check_memory(self, max_memory: int) -> None:
        if monotonic() < self._memory_at:
            return
        self._memory_at = monotonic() + MEMORY_EVERY_S
        try:
            resident = _resident()
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
            # Leaked descriptors are a leak like leaked memory: no job could open anything here.
            self._ask("descriptors", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
            return
        if resident > max_memory:
            self._ask("max_memory", resident)

    def _ask(self, limit: str, reached: float) -> None:
        emit("process.recycling", limit=limit, reached=reached)
        self._entry.wants_recycling = 1


def _resident() -> int:
    """Return the bytes of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE
