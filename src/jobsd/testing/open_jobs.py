"""The open jobs of a test, in each order in which one is requested.

An order is a heap, a *lane*. A job with a new state stays in its lanes, and is skipped when it
comes first: an entry counts only while it has the newest ticket of its job. So a request costs
the logarithm of the number of jobs instead of a look at each of them, and ten thousand jobs
take ten times as long as a thousand.

The rules for unique keys are those of `5_unique.sql` of the migration.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Any, NamedTuple, TypeAlias

from jobsd.jobs.unique import Uniqueness

from .recorded_job import RecordedJob

Lane: TypeAlias = list[tuple[Any, int, int, "RecordedJob"]]
"""A heap of: the sort key, a number that decides ties, the ticket, and the job."""


class Wanted(NamedTuple):
    """The filters of a request for jobs; None is any."""

    class_name: str | None = None
    queue_name: str | None = None
    key: str | None = None
    """The key of their limit."""

    def fits(self, job: RecordedJob) -> bool:
        """Return whether a job passes the filters."""
        described = (job.class_name, job.queue_name, key_of(job))
        return all(mine in {None, its} for mine, its in zip(self, described, strict=True))


ANY = Wanted()


@dataclass(slots=True)
class _Slots:
    """The jobs of a key: the holders of its slots, and the number of ready ones."""

    holders: dict[int, RecordedJob] = field(default_factory=dict[int, "RecordedJob"])
    ready: int = 0


class _Filed(NamedTuple):
    job: RecordedJob
    ticket: int
    state: str
    key: str | None


class OpenJobs:
    """The jobs that are scheduled, ready or claimed."""

    def __init__(self) -> None:
        self._tickets = itertools.count(1)
        self._filed: dict[int, _Filed] = {}
        self._slots: defaultdict[str, _Slots] = defaultdict(_Slots)
        self._due: Lane = []
        self._expiring: Lane = []
        self._ready: defaultdict[Wanted, Lane] = defaultdict(list)
        self._parked: defaultdict[str, list[RecordedJob]] = defaultdict(list)
        """Entries that came first while their queue was paused, by queue."""

    def __contains__(self, job_id: int) -> bool:
        return job_id in self._filed

    def clear(self) -> None:
        """Forget all jobs."""
        for each in (self._filed, self._slots, self._ready, self._parked):
            each.clear()
        self._due.clear()
        self._expiring.clear()

    def put(self, job: RecordedJob) -> None:
        """File a new job, or one with a new state, time, queue or draft."""
        self.remove(job)
        filed = _Filed(job, next(self._tickets), job.state, key_of(job))
        self._filed[job.id] = filed
        if filed.key is not None:
            self._count(filed.key, filed)
        if job.state == "claimed":
            return
        if job.expires_at is not None:
            heappush(self._expiring, (job.expires_at, job.id, filed.ticket, job))
        if job.state == "scheduled":
            heappush(self._due, (job.scheduled_at, job.id, filed.ticket, job))
        else:
            self._line_up(filed)

    def remove(self, job: RecordedJob) -> None:
        """Forget a job, if it is here."""
        filed = self._filed.pop(job.id, None)
        if filed is None or filed.key is None:
            return
        slots = self._slots[filed.key]
        slots.ready -= filed.state == "ready"
        slots.holders.pop(job.id, None)
        if not slots.ready and not slots.holders:
            del self._slots[filed.key]

    def ready(self) -> list[RecordedJob]:
        """Return the jobs that are ready."""
        return [filed.job for filed in self._filed.values() if filed.state == "ready"]

    def holders(self, key: str) -> list[RecordedJob]:
        """Return the jobs that hold the slots of a key."""
        slots = self._slots.get(key)
        return [] if slots is None else [*slots.holders.values()]

    def not_scheduled(self, key: str) -> int:
        """Return the number of jobs of a key that are ready or hold a slot."""
        slots = self._slots.get(key)
        return 0 if slots is None else slots.ready + len(slots.holders)

    def next_due(self) -> datetime | None:
        """Return the next time at which a scheduled job is due, or a job expires."""
        heads = (self._head(lane) for lane in (self._due, self._expiring))
        return min((head[0] for head in heads if head is not None), default=None)

    def due(self, now: datetime) -> RecordedJob | None:
        """Return the scheduled job that has been due for the longest time."""
        head = self._head(self._due)
        return head[3] if head is not None and head[0] <= now else None

    def expired(self, now: datetime) -> RecordedJob | None:
        """Return a waiting job that has expired."""
        head = self._head(self._expiring)
        return head[3] if head is not None and head[0] <= now else None

    def first(
        self, wanted: Wanted, paused: Collection[str], may_start: Callable[[RecordedJob], bool]
    ) -> RecordedJob | None:
        """Return the first ready job of a queue that is not paused and that may start."""
        lane = self._ready[wanted]
        passed: Lane = []
        while (head := self._unpaused(lane, paused)) is not None:
            if may_start(head[3]):
                break
            passed.append(heappop(lane))
        for entry in passed:
            heappush(lane, entry)
        return None if head is None else head[3]

    def resume(self, queue_name: str) -> None:
        """Put the jobs of a resumed queue back into their lanes."""
        for job in self._parked.pop(queue_name, ()):
            filed = self._filed.get(job.id)
            if filed is not None and filed.state == "ready":
                self.put(job)

    def _count(self, key: str, filed: _Filed) -> None:
        if filed.state == "claimed":
            self._slots[key].holders[filed.job.id] = filed.job
        else:
            self._slots[key].ready += filed.state == "ready"

    def _line_up(self, filed: _Filed) -> None:
        """Put a job into each lane in which it may be requested."""
        job, ticket, _, key = filed
        entry = ((job.priority, job.position), job.id, ticket, job)
        for class_name in (None, job.class_name):
            for queue_name in (None, job.queue_name):
                heappush(self._ready[Wanted(class_name, queue_name)], entry)
                if key is not None:
                    # The jobs of a key start in an order of their own.
                    own = (job.priority, job.id, ticket, job)
                    heappush(self._ready[Wanted(class_name, queue_name, key)], own)

    def _unpaused(self, lane: Lane, paused: Collection[str]) -> Any:  # noqa: ANN401 - an entry
        """Return a lane's first entry whose queue is not paused; park those before it."""
        while (head := self._head(lane)) is not None and head[3].queue_name in paused:
            self._parked[head[3].queue_name].append(heappop(lane)[3])
        return head

    def _head(self, lane: Lane) -> tuple[Any, int, int, RecordedJob] | None:
        """Return the first valid entry; drop invalid ones before it."""
        while lane:
            filed = self._filed.get(lane[0][3].id)
            if filed is not None and filed.ticket == lane[0][2]:
                return lane[0]
            heappop(lane)
        return None


def key_of(job: RecordedJob) -> str | None:
    """Return the key of a job's limit."""
    return None if job.draft.limited is None else job.draft.limited.key


@dataclass(slots=True)
class _Held:
    job: RecordedJob
    until: str | None
    ends_at: datetime | None


class UniqueKeys:
    """The unique keys that jobs have taken, and their times of expiry."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._held: dict[str, _Held] = {}

    def holder(self, wanted: Uniqueness) -> RecordedJob | None:
        """Return the job that has taken a key; None if it is free."""
        held = self._held.get(wanted.unique_key)
        return held.job if held is not None and self._counts(held) else None

    def take(self, job: RecordedJob) -> None:
        """Take the key of a unique job."""
        if (unique := job.draft.unique) is None:
            return
        within_s = unique.unique_within_s
        ends_at = None if within_s is None else self._now() + timedelta(seconds=within_s)
        self._held[unique.unique_key] = _Held(job, unique.unique_until, ends_at)

    def retake(self, job: RecordedJob) -> RecordedJob | None:
        """Take the key of a retried job again; return the job that has it instead, if any."""
        holder = self.in_the_way_of(job)
        if holder is None and job.draft.unique and job.draft.unique.unique_until == "finished":
            self.take(job)
        return holder

    def in_the_way_of(self, job: RecordedJob) -> RecordedJob | None:
        """Return the job that has the key of a failed job and prevents its retry."""
        unique = job.draft.unique
        if unique is None or unique.unique_until != "finished":
            return None
        holder = self.holder(unique)
        return None if holder is job else holder

    def give_back(self, job: RecordedJob) -> None:
        """Free the key of a job that was not stored after all."""
        key = job.draft.unique and job.draft.unique.unique_key
        if key is not None and (held := self._held.get(key)) and held.job is job:
            del self._held[key]

    def clear(self) -> None:
        """Free all keys."""
        self._held.clear()

    def _counts(self, held: _Held) -> bool:
        if held.until == "started":
            return not held.job.begun and held.job.state in {"ready", "scheduled"}
        if held.until == "finished":
            return not held.job.has_ended
        return held.ends_at is not None and held.ends_at > self._now()
