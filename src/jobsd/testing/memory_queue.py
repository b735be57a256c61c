"""The queue in memory, which replaces the database in a test."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from jobsd.enqueueing import backend
from jobsd.enqueueing.bulk import EnqueuedJobs
from jobsd.jobs.draft import Draft, EnqueuedJob
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

    def enqueue(self, drafted: Draft) -> EnqueuedJob:
        """Store a job until the framework's transaction is rolled back; inline, perform it."""
        enqueued = super().enqueue(drafted)
        self._drop_at_rollback([enqueued])
        return enqueued

    def enqueue_many(self, jobs: Iterable[Draft]) -> EnqueuedJobs:
        """Store all jobs or none, as `enqueue` does."""
        enqueued = super().enqueue_many(jobs)
        self._drop_at_rollback(enqueued)
        return enqueued

    def _drop_at_rollback(self, enqueued: Iterable[EnqueuedJob]) -> None:
        framework = backend.framework
        stored = [job.id for job in enqueued if job.id and job.state != "duplicate"]
        if framework is not None and stored:
            framework.at_rollback(lambda: self.undo(stored))

    def examine(self, job_id: int) -> Examined | None:
        """Return a job with its attempts and reasons; None when no job has this id."""
        job = self.find(job_id)
        return None if job is None else found.examined(self, job)
