"""The queue in memory, which replaces the database in a test."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from jobsd.operations.jobs import Examined

from . import found
from .acts import Acts
from .job_store import JobStore


class MemoryQueue(JobStore):
    """The jobs that a test has enqueued; see `enqueued`.

    With `inline` each is performed as soon as it is enqueued, unless it is scheduled. `now`
    returns the time; without it no time passes, and retries do not wait.
    """

    def __init__(
        self, *, inline: bool = False, now: Callable[[], datetime] | None = None
    ) -> None:
        super().__init__(inline=inline, now=now)
        self.acts = Acts(self)
        """The functions that act on its jobs in place of those of the same name."""

    def examine(self, job_id: int) -> Examined | None:
        """Return a job with its attempts and reasons; None when no job has this id."""
        job = self.find(job_id)
        return None if job is None else found.examined(self, job)
