"""The acts of a test on the jobs and queues in memory, in place of those of the same name.

`jobsd.enqueueing.on_demand.replaceable` calls these methods while the queue in memory stands in
for the database. Functions without a method here raise.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from jobsd.acts import cancels, discards, inspect, listing, queues, retention, retries
from jobsd.errors import NotFoundError, RefusedError
from jobsd.events.events import emit
from jobsd.heartbeat.log import HeartbeatLog
from jobsd.jobs import registry
from jobsd.jobs.draft import JobOrId

from . import found, job_store, running
from .recorded_job import RecordedJob


class Acts:
    """Acts on the jobs of a store; `commands` are those of recurring tasks, by their keys."""

    def __init__(self, queue: job_store.JobStore) -> None:
        self._queue = queue
        self.commands: dict[str, str] = {}
        self.heartbeats: list[HeartbeatLog] = []

    # Jobs.

    def cancel(
        self,
        job: JobOrId,
        force: bool = False,  # noqa: FBT001, FBT002 - as in `cancels`
        *,
        keep: bool = True,
    ) -> str:
        """Cancel a job: see `jobsd.cancel`."""
        del force
        found_job, state = self._one(job, cancels.STATES, cancels.refusal)
        self._cancel([found_job], keep=keep)
        return state

    def cancel_all(
        self,
        *,
        state: str | None = None,
        limit: int | None = None,
        force: bool = False,
        keep: bool = True,
        **filters: Any,  # noqa: ANN401 - as in `listing.wanted`
    ) -> dict[int, str]:
        """Cancel all jobs that match the filters: see `jobsd.cancel_all`."""
        del force
        meant = listing.wanted(state, **filters)
        if state is not None:
            cancels.check_state(state)
        chosen = self._chosen(meant, cancels.STATES, limit)
        states = {job.id: job.state for job in chosen}
        self._cancel(chosen, keep=keep)
        return states

    def discard(self, job: JobOrId, *, keep: bool = True) -> str:
        """Discard a job: see `jobsd.discard`."""
        found_job, state = self._one(job, discards.STATES, discards.refusal)
        self._discard([found_job], keep=keep)
        return state

    def discard_all(
        self,
        *,
        state: str | None = None,
        limit: int | None = None,
        keep: bool = True,
        **filters: Any,  # noqa: ANN401 - as in `listing.wanted`
    ) -> int:
        """Discard all jobs that match the filters: see `jobsd.discard_all`."""
        meant = listing.wanted(state, **filters)
        if state is not None:
            discards.check_state(state)
        return self._discard(self._chosen(meant, discards.STATES, limit), keep=keep)

    def retry(self, job: JobOrId, *, with_lost: bool = False) -> str:
        """Retry a failed job: see `jobsd.retry`."""
        del with_lost
        failed, _ = self._one(job, ("failed",), retries.refusal)
        holder = self._queue.unique.in_the_way_of(failed)
        if not self._retry([failed]) and holder is not None:
            raise RefusedError(retries.taken(failed.id, holder.id))
        return "ready"

    def retry_all(self, *, limit: int | None = None, **filters: Any) -> int:  # noqa: ANN401 - as above
        """Retry all failed jobs that match the filters: see `jobsd.retry_all`."""
        meant = listing.wanted("failed", **filters)
        return self._retry(self._chosen(meant, ("failed",), limit))

    def clear_finished_in_batches(
        self,
        batch_size: int = 500,
        *,
        finished_before: datetime | None = None,
        older_than: retention.Duration | None = None,
        class_name: str | None = None,
        sleep_between_batches: retention.Duration | None = None,
    ) -> int:
        """Forget ended jobs that are old enough: see `jobsd.clear_finished_in_batches`."""
        del sleep_between_batches
        retention.check(batch_size, class_name)
        before, older_than_s = retention.limits(finished_before, older_than)
        if before is None:
            before = self._queue.now() - timedelta(seconds=older_than_s)
        cleared = self._queue.forget_ended(before, class_name)
        if cleared:
            emit("jobs.cleared", jobs=cleared, class_name=class_name)
        return cleared

    # Queues.

    def store_pause(self, name: str, reason: str | None, by: str) -> queues.Pausing:
        """Pause a queue."""
        before = self._queue.pauses.get(name)
        present = before or queues.Pause(name, reason, by, self._queue.now())
        reason = present.reason if reason is None else reason
        self._queue.pauses[name] = replace(present, reason=reason)
        return queues.Pausing(before is None, reason, before.reason if before else None)

    def end_pause(self, name: str) -> bool:
        """Resume a queue; return False when it was not paused."""
        if self._queue.pauses.pop(name, None) is None:
            return False
        self._queue.resumed(name)
        return True

    def paused(self) -> list[queues.Pause]:
        """Return all pauses, by the names of their queues."""
        return sorted(self._queue.pauses.values(), key=lambda each: each.queue_name)

    def size(self, name: str) -> int:
        """Return the number of ready jobs of the queue."""
        return len(self._ready(name))

    def is_known(self, name: str) -> bool:
        """Return whether a job was ever in the queue."""
        registry.check_queue(name)
        return any(job.queue_name == name for job in self._queue.enqueued)

    def latency(self, name: str) -> float:
        """Return for how many seconds the oldest ready job of the queue has waited, or 0."""
        due = (max(job.enqueued_at, job.scheduled_at or job.enqueued_at)
               for job in self._ready(name))  # fmt: skip
        waited = self._queue.now() - min(due, default=self._queue.now())
        return max(waited.total_seconds(), 0.0)

    def clear(self, name: str, *, keep: bool = True) -> int:
        """Discard the ready jobs of the queue; return their number."""
        ready = self._ready(name)
        for job in ready:
            self._drop(job, None, keep=keep)
        emit("queue.cleared", queue_name=name, size=len(ready))
        return len(ready)

    # Recurring tasks.

    def stored_command(self, key: str) -> str | None:
        """Return the command of a recurring task."""
        return self.commands.get(key)

    def record_heartbeat(
        self, environment: str, hostname: str, job_id: int, class_name: str
    ) -> HeartbeatLog:
        """Record a heartbeat."""
        del job_id, class_name
        number, now = len(self.heartbeats) + 1, self._queue.now()
        self.heartbeats.append(HeartbeatLog(number, now, environment, hostname))
        return self.heartbeats[-1]

    # Internals.

    def _one(
        self,
        given: JobOrId,
        states: Sequence[str],
        refusal: Callable[[Any, inspect.Found], str],
    ) -> tuple[RecordedJob, str]:
        """Return a job in one of these states, and its state."""
        job_id = inspect.check_id(given)
        if (job := self._queue.find(job_id)) is None:
            raise NotFoundError(f"there is no job {job_id}")
        if job.state not in states:
            # It queries the tables only for locks, and jobs in memory have none.
            raise RefusedError(refusal(None, found.found(job)))
        return job, job.state

    def _chosen(
        self, meant: listing.Filter, states: Sequence[str], limit: int | None
    ) -> list[RecordedJob]:
        """Return the jobs in these states that match, or the newest ones."""
        if limit is not None:
            registry.check_count("limit", limit)
        jobs = self._queue.enqueued
        chosen = [job for job in jobs if job.state in states and self._fits(job, meant)]
        return chosen if limit is None else chosen[-limit:]

    def _fits(self, job: RecordedJob, meant: listing.Filter) -> bool:
        period = meant.enqueued.at(self._queue.now())
        pattern = meant.class_name and meant.class_name.replace("[", "[[]")
        return (
            meant.state in {None, job.state}
            and meant.queue_name in {None, job.queue_name}
            and (pattern is None or fnmatchcase(job.class_name, pattern))
            and period.hold(job.enqueued_at)
        )

    def _cancel(self, jobs: Sequence[RecordedJob], *, keep: bool) -> None:
        if jobs:
            emit("jobs.cancelled", size=len(jobs), job_ids=[job.id for job in jobs])
        # Claimed jobs are last, since a job that cancels itself does not return from `stop`.
        for job in sorted(jobs, key=lambda job: job.state == "claimed"):
            if job.state == "claimed":
                job.cancelled = True
                running.stop(job)
            else:
                self._drop(job, "cancelled", keep=keep)

    def _discard(self, jobs: Sequence[RecordedJob], *, keep: bool) -> int:
        for job in jobs:
            self._drop(job, None, keep=keep)
        if jobs:
            emit("jobs.discarded", size=len(jobs), job_ids=[job.id for job in jobs])
        return len(jobs)

    def _retry(self, jobs: Sequence[RecordedJob]) -> int:
        retried = [job for job in jobs if self._queue.unique.retake(job) is None]
        for job in retried:
            self._queue.retry(job)
        if retried:
            emit("jobs.retried", size=len(retried), job_ids=[job.id for job in retried])
        return len(retried)

    def _drop(self, job: RecordedJob, reason: str | None, *, keep: bool) -> None:
        self._queue.end(job, "discarded", reason)
        if not keep:
            self._queue.drop(job)

    def _ready(self, name: str) -> list[RecordedJob]:
        registry.check_queue(name)
        return [job for job in self._queue.ready() if job.queue_name == name]
