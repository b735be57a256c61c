"""When a process has done enough, and asks for a successor.

Against leaks, of the author's code above all: after so many jobs, so much memory, so much
time. It works on until its successor is up, and then ends in order, so the limits are the
points at which that begins.
"""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.instruments.events import emit

if TYPE_CHECKING:
    from .slot import Slot

MEMORY_EVERY_S = 1.0
"""How often the memory is looked at: a read of /proc."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Wear:
    """What wears one process down; each limit is None when there is none.

    `max_memory` is bytes of resident memory. It counts only once a job has run: who is
    too big from the start would be no smaller for being replaced. Who has no descriptor left
    to look at it with has done enough, too.
    """

    def __init__(
        self,
        slot: Slot,
        max_jobs: int | None = None,
        max_memory: int | None = None,
        max_age_s: float | None = None,
    ) -> None:
        self._slot = slot
        self._max_jobs = max_jobs
        self._max_memory = max_memory
        self._max_age_s = max_age_s
        self._memory_at = 0.0

    def look(self) -> None:
        """Ask for a successor, once, when a limit is reached. To be called each round."""
        slot = self._slot
        if slot.wants_successor:
            return
        if self._max_jobs is not None and slot.jobs_ended >= self._max_jobs:
            self._ask("max_jobs", slot.jobs_ended)
        elif self._max_age_s is not None and slot.age_s >= self._max_age_s:
            self._ask("max_age", round(slot.age_s, 3))
        elif self._max_memory is not None and slot.jobs_ended:
            self._look_at_memory(self._max_memory)

    def _look_at_memory(self, max_memory: int) -> None:
        if monotonic() < self._memory_at:
            return
        self._memory_at = monotonic() + MEMORY_EVERY_S
        try:
            resident = _resident()
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
            # As much a leak as one of memory, and nobody's jobs could open anything here.
            self._ask("descriptors", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
            return
        if resident > max_memory:
            self._ask("max_memory", resident)

    def _ask(self, limit: str, reached: float) -> None:
        emit("process.worn", limit=limit, reached=reached)
        self._slot.ask_for_successor()


def _resident() -> int:
    """Return the bytes of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE
