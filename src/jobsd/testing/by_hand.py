"""Answers the statements of cancel, discard, retry and pauses from the queue in memory.

Jobs that are cancelled, discarded and retried, and queues that are paused and emptied. The
functions that send the statements decide about refusals.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from jobsd import errors, job_states
from jobsd.acts import cancels, discards, holders, inspect, listing, queues, retries
from jobsd.acts.queues import Pause
from jobsd.database.statements import Statement
from jobsd.states import lost

from . import found, job_store, running
from .recorded_job import RecordedJob

Given = Mapping[str, Any]
Rows = list[tuple[Any, ...]]

_NOT_SEARCHED = ("error", "error_type", "key", "host", "arguments", "words")


class ByHand:
    """Answers to the statements of `cancel`, `discard`, `retry`, `find` and `queues`."""

    def __init__(self, queue: job_store.JobStore) -> None:
        self._queue = queue

    def answers(self) -> dict[Statement, Callable[[Given], Rows]]:
        """Return the function for each statement."""
        ids = {
            listing.page_query(state, "ids"): self._ids for state in (None, *job_states.STATES)
        }
        return ids | {
            cancels.STATEMENTS["cancel"]: self._cancel,
            cancels.STATEMENTS["open"]: self._open,
            discards.STATEMENTS["discard"]: self._discard,
            retries.STATEMENTS["retry"]: self._retry,
            retries.STATEMENTS["taken"]: self._taken,
            holders.STATEMENTS["held"]: self._nothing,
            inspect.STATEMENTS["find"]: self._find,
            inspect.STATEMENTS["attempts"]: self._attempts,
            lost.STATEMENTS["some"]: self._nothing,
            lost.STATEMENTS["lock"]: self._nothing,
            queues.STATEMENTS["pause"]: self._pause,
            queues.STATEMENTS["resume"]: self._resume,
            queues.STATEMENTS["pauses"]: self._pauses,
            queues.STATEMENTS["size"]: self._size,
            queues.STATEMENTS["known"]: self._known,
            queues.STATEMENTS["latency"]: self._latency,
            queues.STATEMENTS["last_position"]: self._last_position,
            queues.STATEMENTS["clear"]: self._clear,
            inspect.STATEMENTS["kept"]: self._result,
        }

    # Jobs.

    def _some(self, given: Given) -> list[RecordedJob]:
        found = (self._queue.find(job_id) for job_id in sorted(set(given["ids"])))
        return [job for job in found if job is not None]

    def _find(self, given: Given) -> Rows:
        job = self._queue.find(given["id"])
        return [] if job is None else [found.row_of(found.found(job))]

    def _attempts(self, given: Given) -> Rows:
        job = self._queue.find(given["id"])
        reported = [] if job is None else found.attempts(job)
        return [(each.attempt, each.process, each.started_at, each.ended_at, each.error)
                for each in reported]  # fmt: skip

    def _result(self, given: Given) -> Rows:
        job = self._queue.find(given["id"])
        return [] if job is None or job.written is None else [(job.written, found.PROCESS)]

    def _cancel(self, given: Given) -> Rows:
        rows: Rows = []
        to_stop: list[RecordedJob] = []
        for job in self._some(given):
            if job.state in {"scheduled", "ready"}:
                rows.append((job.id, job.state))
                self._drop(job, "cancelled", keep=given["keep"])
            elif job.state == "claimed":
                rows.append((job.id, job.state))
                job.cancelled = True
                to_stop.append(job)
        # Last, since a job that cancels itself does not return from this.
        for job in to_stop:
            running.stop(job)
        return rows

    def _open(self, given: Given) -> Rows:
        return [(job.id,) for job in self._some(given) if not job.has_ended]

    def _discard(self, given: Given) -> Rows:
        rows: Rows = []
        for job in self._some(given):
            if job.state in {"scheduled", "ready"} or (
                job.state == "failed" and given["failed"]
            ):
                rows.append((job.id, job.state, 0))
                self._drop(job, given["reason"], keep=given["keep"])
        return rows

    def _drop(self, job: RecordedJob, reason: str | None, *, keep: bool) -> None:
        self._queue.end(job, "discarded", reason)
        if not keep:
            self._queue.drop(job)

    def _failed(self, given: Given) -> list[RecordedJob]:
        return [job for job in self._some(given) if job.state == "failed"]

    def _taken(self, given: Given) -> Rows:
        job = self._queue.find(given["id"])
        holder = None if job is None else self._queue.unique.in_the_way_of(job)
        return [] if holder is None else [(holder.id,)]

    def _retry(self, given: Given) -> Rows:
        rows: Rows = []
        for job in self._failed(given):
            refused = self._queue.unique.retake(job) is not None
            rows.append((job.id, refused))
            if not refused:
                self._queue.retry(job)
        return rows

    def _ids(self, given: Given) -> Rows:
        """Return the ids of the selected jobs: all of them in one page."""
        if unknown := [name for name in _NOT_SEARCHED if given[name] is not None]:
            raise errors.Error(
                f"the test kit's queue in memory can't search by {', '.join(unknown)}"
            )
        meant = [
            job.id
            for job in reversed(self._queue.enqueued)
            if job.id < given["before"] and self._is_meant(job, given)
        ]
        return [(meant[-1] if meant else 0, len(meant), None, False, meant)]

    def _is_meant(self, job: RecordedJob, given: Given) -> bool:
        age_s = (self._queue.now() - job.enqueued_at).total_seconds()
        pattern = given["class_name"]
        return (
            given["outcome"] in {None, job.state}
            and given["place"] in {None, job.state}
            and given["queue_name"] in {None, job.queue_name}
            and (pattern is None or _is_like(job.class_name, pattern))
            and (given["since_s"] is None or age_s <= given["since_s"])
            and (given["until_s"] is None or age_s > given["until_s"])
        )

    # Queues.

    def _ready(self, given: Given) -> list[RecordedJob]:
        name = given["name"]
        return [job for job in self._queue.ready() if job.queue_name == name]

    def _pause(self, given: Given) -> Rows:
        name, before = given["name"], self._queue.pauses.get(given["name"])
        old = None if before is None else before.reason
        reason = old if given["reason"] is None else given["reason"]
        since = self._queue.now() if before is None else before.created_at
        by = given["by"] if before is None else before.created_by
        self._queue.pauses[name] = Pause(name, reason, by, since)
        return [(before is None, reason, old)]

    def _resume(self, given: Given) -> Rows:
        if self._queue.pauses.pop(given["name"], None) is None:
            return []
        self._queue.resumed(given["name"])
        return [(given["name"], None)]

    def _pauses(self, _given: Given) -> Rows:
        every = sorted(self._queue.pauses.values(), key=lambda each: each.queue_name)
        return [
            (each.queue_name, each.reason, each.created_by, each.created_at) for each in every
        ]

    def _size(self, given: Given) -> Rows:
        return [(len(self._ready(given)),)]

    def _known(self, given: Given) -> Rows:
        return [(any(job.queue_name == given["name"] for job in self._queue.enqueued),)]

    def _latency(self, given: Given) -> Rows:
        since = (max(job.enqueued_at, job.scheduled_at or job.enqueued_at)
                 for job in self._ready(given))  # fmt: skip
        waited = self._queue.now() - min(since, default=self._queue.now())
        return [(max(waited, timedelta()).total_seconds(),)]

    def _last_position(self, given: Given) -> Rows:
        return [(max(_positions(self._ready(given)), default=None),)]

    def _clear(self, given: Given) -> Rows:
        gone = [job for job in self._ready(given) if job.position <= given["until"]]
        for job in gone:
            self._drop(job, None, keep=given["keep"])
        # All at once: no jobs remain for a next batch.
        return [(0, len(gone), 0)]

    @staticmethod
    def _nothing(_given: Given) -> Rows:
        return []


def _positions(jobs: Iterable[RecordedJob]) -> Iterable[int]:
    return (job.position for job in jobs)


def _is_like(name: str, pattern: str) -> bool:
    """Return whether a name matches a pattern of LIKE."""
    parts = re.findall(r"\\.|%|_|[^\\%_]+", pattern, re.DOTALL)
    known = {"%": ".*", "_": "."}
    words = (known.get(part) or re.escape(part.removeprefix("\\")) for part in parts)
    return re.fullmatch("".join(words), name, re.DOTALL) is not None
