"""Tells what became of jobs, once it is written: counters always, events for those who hear."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jobsd.instruments.events import emit, tells

from .perform import SUCCESS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.processes.counters import QueueCounters
    from jobsd.processes.slot import Slot

    from .ledger import Writing
    from .perform import ClaimedJob
    from .pool import Run

_EVENTS = {
    "failed": "job.failed",
    "retried": "job.retried",
    "discarded": "job.discarded",
    "snoozed": "job.snoozed",
}


class Report:
    """Speaks for one worker."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._queues: dict[str, QueueCounters] = {}

    def recorded(self, writing: Writing, recorded: set[int], concluded: set[int]) -> None:
        """Tell what was written for the claims that let it be written."""
        finished = [run for run in writing.plain if run.job.claim_id in recorded]
        for run in writing.rare:
            if run.job.claim_id not in concluded:
                continue
            if run.outcome is SUCCESS:
                finished.append(run)
            else:
                self._ended(run)
        self._finished(finished)
        for job in writing.unstarted:
            if job.claim_id in concluded:
                self._counters(job.queue_name).count("released")
                emit("job.released", **_facts(job))

    def _finished(self, runs: Iterable[Run]) -> None:
        told = tells("debug")
        for run in runs:
            counters = self._counters(run.job.queue_name)
            counters.count("finished")
            self._observe(counters, run)
            if told:
                emit("job.finished", **_facts(run.job), duration=run.ended - run.started)

    def _ended(self, run: Run) -> None:
        outcome = run.outcome.verdict.outcome
        counters = self._counters(run.job.queue_name)
        if outcome != "snoozed":
            counters.count(outcome)
        self._observe(counters, run)
        facts = _facts(run.job)
        facts["duration"] = round(run.ended - run.started, 6)
        if run.outcome.error is not None:
            facts["error"] = json.loads(run.outcome.error)
        if run.outcome.verdict.wait_s:
            facts["retry_in"] = round(run.outcome.verdict.wait_s, 3)
        emit(_EVENTS[outcome], **facts)

    def _observe(self, counters: QueueCounters, run: Run) -> None:
        waited_s = run.job.waited_s + max(0.0, run.started - run.job.claimed_at)
        counters.observe(waited_s=max(0.0, waited_s), ran_s=run.ended - run.started)

    def _counters(self, queue: str) -> QueueCounters:
        counters = self._queues.get(queue)
        if counters is None:
            counters = self._queues[queue] = self._slot.queue(queue)
        return counters


def _facts(job: ClaimedJob) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "class_name": job.class_name,
        "queue_name": job.queue_name,
        "attempt": job.attempts + 1,
    }
