"""Which job has which unique key, judged by the rules of `5_unique.sql` of the migration."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobsd.jobs.unique import Uniqueness

from .recorded_job import RecordedJob


@dataclass(slots=True)
class _Held:
    job: RecordedJob
    until: str | None
    ends_at: datetime | None


class UniqueKeys:
    """The keys that jobs have taken, and until when they count."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._held: dict[str, _Held] = {}

    def holder(self, wanted: Uniqueness) -> RecordedJob | None:
        """Return the job that keeps others from a key, None when it is free."""
        held = self._held.get(wanted.unique_key)
        return held.job if held is not None and self._counts(held) else None

    def take(self, job: RecordedJob) -> None:
        """Let a job have its key, if it is to be unique."""
        if (unique := job.draft.unique) is None:
            return
        within_s = unique.unique_within_s
        ends_at = None if within_s is None else self._now() + timedelta(seconds=within_s)
        self._held[unique.unique_key] = _Held(job, unique.unique_until, ends_at)

    def retake(self, job: RecordedJob) -> RecordedJob | None:
        """Let a failed job that is retried have its key again; return who has it instead."""
        holder = self.in_the_way_of(job)
        if holder is None and job.draft.unique and job.draft.unique.unique_until == "finished":
            self.take(job)
        return holder

    def in_the_way_of(self, job: RecordedJob) -> RecordedJob | None:
        """Return the job that has the key of a failed one and keeps it from being retried."""
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
