"""The jobs in memory: a model of the tables and processes, in one thread.

The model is small: one job runs at a time, in the thread that performs it, and nothing crashes.
Its rules of order, time, limits and unique jobs are those of the tables; random histories run
against both (tests/testing). The user's code is called, and its outcome judged, by the same
functions as in a worker. Features without a model raise.

Without a clock no time passes: retried jobs are ready again at once, and a scheduled job waits
until it is performed explicitly. With a clock (`virtual_clock`), all waits are kept.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from operator import attrgetter

from jobsd.acts.queues import Pause
from jobsd.clock import microseconds_of, utc_now
from jobsd.enqueueing.bulk import EnqueuedJobs, code_of
from jobsd.enqueueing.enqueue import report_duplicate
from jobsd.errors import Error
from jobsd.jobs.draft import Draft, EnqueuedJob
from jobsd.performing.perform import Outcome
from jobsd.states.results import End

from . import running
from .open_jobs import ANY, OpenJobs, UniqueKeys, Wanted, key_of
from .recorded_job import RecordedJob

STEPS_MAX = 100_000
"""More jobs in one call are an endless loop: jobs that enqueue or snooze themselves."""


class JobStore:
    """Keeps the jobs of a test, performs them, and records their states."""

    def __init__(
        self, *, inline: bool = False, now: Callable[[], datetime] | None = None
    ) -> None:
        self.enqueued: list[RecordedJob] = []
        """All jobs, in the order in which they were enqueued, whatever their state."""
        self._inline = inline
        self._has_time = now is not None
        self._now = now or utc_now
        self.pauses: dict[str, Pause] = {}
        """The paused queues, whose jobs are not performed."""
        self.unique = UniqueKeys(self._now)
        self._open = OpenJobs()
        self._ids = self._positions = 0
        # For a server that is tested in a thread of its own. It is not held while a job runs: a
        # job may enqueue in other threads, and a coroutine runs in one.
        self._lock = threading.RLock()

    # The enqueue backend.

    def enqueue(self, drafted: Draft) -> EnqueuedJob:
        """Store a job; inline, perform it.

        Raises:
            DuplicateError: when another job has its unique key and its definition asks for it.
            Exception: inline, the error of a job that has failed.
        """
        with self._lock:
            enqueued = self._store(drafted)
        if self._inline:
            self._perform_at_once(enqueued.id)
        return enqueued

    def enqueue_many(self, jobs: Iterable[Draft]) -> EnqueuedJobs:
        """Store all jobs or none; inline, perform them."""
        with self._lock:
            before, enqueued = len(self.enqueued), EnqueuedJobs()
            try:
                for drafted in jobs:
                    one = self._store(drafted)
                    at = one.created_at
                    others_us = {0: None if at is None else microseconds_of(at)}
                    enqueued.add([one.id or 0], bytearray([code_of(one.state)]), others_us)
            except BaseException:
                self.undo([job.id for job in self.enqueued[before:]])
                raise
            added = self.enqueued[before:]
        if self._inline:
            for job in added:
                self._perform_at_once(job.id)
        return enqueued

    def end_of(self, job_id: int) -> End:
        """Return the end of a job: in one thread, this can't wait.

        Raises:
            TimeoutError: when it has not ended.
        """
        job = self._by_id(job_id)
        if not job.has_ended:
            raise TimeoutError(
                f"job {job_id} is {job.state}, and nothing performs it in the meantime"
            )
        error = running.described(job.error) if job.state == "failed" else None
        kept = job.written is not None
        created_us = microseconds_of(job.enqueued_at)
        return End(job_id, job.state, kept, job.written, error, created_us=created_us)

    # The queries and acts of a test.

    def now(self) -> datetime:
        """Return the time of the queue."""
        return self._now()

    def clear(self) -> None:
        """Forget all jobs."""
        self.enqueued.clear()
        self.pauses.clear()
        self._open.clear()
        self.unique.clear()

    def perform(self, wanted: Wanted = ANY, *, at: datetime | None = None) -> list[RecordedJob]:
        """Perform the ready jobs, and jobs that become ready by that; return them, in order.

        `at` first makes jobs ready that are due by then.
        """
        return self._perform(lambda: self._next(wanted), at)

    def _perform(
        self, find_next: Callable[[], RecordedJob | None], at: datetime | None = None
    ) -> list[RecordedJob]:
        performed: list[RecordedJob] = []
        due_by: datetime | None = at or self._now()
        while (job := self._claim(find_next, due_by)) is not None:
            if len(performed) == STEPS_MAX:
                raise Error(f"{STEPS_MAX:,} jobs have run and there are more: is it a loop?")
            outcome = running.run(job)
            with self._lock:
                self._conclude(job, outcome)
            performed.append(job)
            due_by = at
        return performed

    def dispatch(self, now: datetime) -> None:
        """Make due jobs ready, in the order in which they are due; discard expired ones."""
        while (job := self._open.expired(now)) is not None:
            self.end(job, "discarded", "expired")
        while (job := self._open.due(now)) is not None:
            self._make_ready(job)

    def next_due(self) -> datetime | None:
        """Return the next time at which a scheduled job is due, or a job expires."""
        return self._open.next_due()

    def ready(self) -> list[RecordedJob]:
        """Return the ready jobs, including those that a pause or a limit holds back."""
        return self._open.ready()

    def find(self, job_id: int) -> RecordedJob | None:
        """Return the job of this id."""
        place = self._place_of(job_id)
        job = self.enqueued[place] if place < len(self.enqueued) else None
        return job if job is not None and job.id == job_id else None

    def undo(self, job_ids: Iterable[int]) -> None:
        """Forget jobs as a rollback does."""
        with self._lock:
            for job in filter(None, map(self.find, job_ids)):
                self._open.remove(job)
                self.unique.give_back(job)
                self.drop(job)

    def drop(self, job: RecordedJob) -> None:
        """Remove an ended job from `enqueued`."""
        if self.find(job.id) is job:
            del self.enqueued[self._place_of(job.id)]

    def holders(self, job: RecordedJob) -> list[RecordedJob]:
        """Return the jobs that hold the slots of a job's limit."""
        key = key_of(job)
        return [] if key is None else self._open.holders(key)

    def end(self, job: RecordedJob, outcome: str, reason: str | None = None) -> None:
        """End a job."""
        job.state, job.ended_at, job.reason = outcome, self._now(), reason
        self._open.remove(job)

    def retry(self, job: RecordedJob) -> None:
        """Make a failed job ready again, with all its attempts."""
        job.attempts, job.scheduled_at, job.ended_at = 0, self._now(), None
        self._let_expire(job)
        self._make_ready(job)

    def resumed(self, name: str) -> None:
        """Let the jobs of a queue be performed again; inline, perform them."""
        self._open.resume(name)
        if self._inline:
            raise_failures(self.perform(Wanted(queue_name=name)))

    def has_open(self, job_id: int) -> bool:
        """Return whether a job has neither ended nor failed."""
        return job_id in self._open

    def forget_ended(self, before: datetime, class_name: str | None) -> int:
        """Forget the finished and discarded jobs that ended before this time."""
        kept = [
            job
            for job in self.enqueued
            if job.state not in {"finished", "discarded"}
            or job.ended_at is None
            or job.ended_at >= before
            or class_name not in {None, job.class_name}
        ]
        gone = len(self.enqueued) - len(kept)
        self.enqueued[:] = kept
        return gone

    def __len__(self) -> int:
        return len(self.enqueued)

    def __iter__(self) -> Iterator[RecordedJob]:
        return iter(self.enqueued)

    # Internals.

    def _store(self, drafted: Draft) -> EnqueuedJob:
        if drafted.unique is not None:
            present = self.unique.holder(drafted.unique)
            if present is not None and not self._may_replace(drafted, present):
                report_duplicate(drafted, drafted.unique, present.id)
                return _handle(present, "duplicate", drafted.class_name)
            if present is not None:
                return self._replace(drafted, present)
        due = self._due(drafted)
        if due is None and self._is_to_be_dropped(drafted):
            return EnqueuedJob(None, "discarded", drafted.class_name)
        self._ids += 1
        job = RecordedJob(self._ids, drafted, self._now(), due)
        self._let_expire(job)
        self.enqueued.append(job)
        self.unique.take(job)
        self._place(job)
        return _handle(job, job.state)

    @staticmethod
    def _may_replace(drafted: Draft, present: RecordedJob) -> bool:
        replaces = drafted.unique is not None and drafted.unique.unique_conflict == "replace"
        return replaces and not present.begun and present.state in {"ready", "scheduled"}

    def _replace(self, drafted: Draft, present: RecordedJob) -> EnqueuedJob:
        due = self._due(drafted)
        most_s = drafted.unique and drafted.unique.unique_max_wait_s
        if due is not None and most_s is not None:
            due = min(due, present.enqueued_at + timedelta(seconds=most_s))
        present.draft, present.scheduled_at = drafted, due
        self._let_expire(present)
        self._place(present)
        return _handle(present, present.state)

    def _let_expire(self, job: RecordedJob) -> None:
        within_s, now = job.draft.expires_in_s, self._now()
        if within_s is not None:
            first = max(job.scheduled_at or now, now)
            job.expires_at = first + timedelta(seconds=within_s)

    def _due(self, drafted: Draft) -> datetime | None:
        if drafted.wait_s is not None:
            return self._now() + timedelta(seconds=drafted.wait_s)
        return drafted.wait_until

    def _place(self, job: RecordedJob) -> None:
        if job.scheduled_at is not None and job.scheduled_at > self._now():
            job.state = "scheduled"
            self._open.put(job)
        elif job.state != "ready" or not job.position:
            self._make_ready(job)
        else:
            self._open.put(job)

    def _make_ready(self, job: RecordedJob) -> None:
        self._positions += 1
        job.state, job.position = "ready", self._positions
        self._open.put(job)

    def _is_to_be_dropped(self, drafted: Draft) -> bool:
        limited = drafted.limited
        if limited is None or limited.on_conflict != "discard":
            return False
        return self._open.not_scheduled(limited.key) >= limited.to

    def _place_of(self, job_id: int) -> int:
        # They are in the order of their ids.
        return bisect_left(self.enqueued, job_id, key=attrgetter("id"))

    def _by_id(self, job_id: int) -> RecordedJob:
        if (job := self.find(job_id)) is None:
            raise Error(f"there is no job {job_id} in this test")
        return job

    def _claim(
        self, find_next: Callable[[], RecordedJob | None], due_by: datetime | None
    ) -> RecordedJob | None:
        """Claim the next job; `due_by` first makes jobs ready that are due by then."""
        with self._lock:
            if due_by is not None:
                self.dispatch(due_by)
            if (job := find_next()) is not None:
                job.state, job.begun, job.started_at = "claimed", True, self._now()
                self._open.put(job)
            return job

    def _next(self, wanted: Wanted) -> RecordedJob | None:
        """Return the first ready job whose limit lets it run."""
        job = self._open.first(wanted, self.pauses, self._has_slot)
        if job is None or job.draft.limited is None:
            return job
        alike = wanted._replace(key=job.draft.limited.key)
        return self._open.first(alike, self.pauses, lambda _job: True)

    def _ready_now(self, job_id: int) -> RecordedJob | None:
        """Return a job if it may be performed."""
        job = self.find(job_id)
        if job is None or job.state != "ready" or job.queue_name in self.pauses:
            return None
        return job if self._has_slot(job) else None

    def _has_slot(self, job: RecordedJob) -> bool:
        """Return whether a slot is free; discard a job that may not wait for one."""
        limited = job.draft.limited
        if limited is None:
            return True
        if len(self.holders(job)) < limited.to:
            return True
        if limited.on_conflict == "discard" and not job.begun:
            self.end(job, "discarded", "conflict")
        return False

    def _perform_at_once(self, job_id: int | None) -> None:
        """Perform a job, and then the jobs that waited for its slot."""
        if job_id is None:
            return
        performed = self._perform(lambda: self._ready_now(job_id))
        for key in {*map(key_of, performed)} - {None}:
            performed += self.perform(Wanted(key=key))
        raise_failures(performed)

    def _conclude(self, job: RecordedJob, outcome: Outcome) -> None:
        verdict = outcome.verdict
        job.attempts += verdict.outcome != "snoozed"
        if outcome.exception is not None and verdict.outcome != "snoozed":
            job.add_error(outcome.exception, self._now())
        if job.cancelled and verdict.outcome != "finished":
            self.end(job, "discarded", "cancelled")
            return
        if verdict.outcome in {"retried", "snoozed"}:
            self._put_off(job, verdict.wait_s, waits=verdict.outcome == "snoozed")
            return
        job.written = outcome.result
        self.end(job, verdict.outcome)

    def _put_off(self, job: RecordedJob, wait_s: float, *, waits: bool) -> None:
        if wait_s > 0 and (waits or self._has_time):
            job.state = "scheduled"
            job.scheduled_at = self._now() + timedelta(seconds=wait_s)
            self._open.put(job)
        else:
            self._make_ready(job)


def _handle(job: RecordedJob, state: str, name: str | None = None) -> EnqueuedJob:
    return EnqueuedJob(job.id, state, name or job.class_name, job.enqueued_at)


def raise_failures(performed: Iterable[RecordedJob]) -> None:
    """Raise the error of the first job that has failed for good.

    Raises:
        BaseException: with a note of the job, and of the number of other failed jobs.
    """
    failed = list(dict.fromkeys(job for job in performed if job.state == "failed"))
    if not failed or (error := failed[0].error) is None:
        return
    others = f"; {len(failed) - 1} more failed" if len(failed) > 1 else ""
    error.add_note(f"raised by the job {failed[0]}, in attempt {failed[0].attempts}{others}")
    raise error
