"""The queue in memory, which replaces the database in a test."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import cast

from jobsd.enqueueing.client import Client
from jobsd.operations.jobs import Examined

from . import found
from .answers import Answers
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
        self.answers = Answers(self)

    def client(self) -> Client:
        """Return a client that answers the statements of jobsd's functions, or raises."""
        return cast("Client", self.answers)

    def examine(self, job_id: int) -> Examined | None:
        """Return a job with its attempts and reasons; None when no job has this id."""
        job = self.find(job_id)
        return None if job is None else found.examined(self, job)
