"""The queue in memory, as it stands in for the database in a test."""

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

    With `inline` each is performed as soon as it is enqueued, unless it is for later. `now`
    says what time it is; without it time stands for nothing, and retries do not wait.
    """

    def __init__(
        self, *, inline: bool = False, now: Callable[[], datetime] | None = None
    ) -> None:
        super().__init__(inline=inline, now=now)
        self.answers = Answers(self)

    def client(self) -> Client:
        """Return what answers the statements of jobsd's own functions, as far as it can."""
        return cast("Client", self.answers)

    def examine(self, job_id: int) -> Examined | None:
        """Return all that is known of a job; None when there is none of this id."""
        job = self.find(job_id)
        return None if job is None else found.examined(self, job)
