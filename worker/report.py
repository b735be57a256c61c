"""Tells what became of jobs, once it is written: counters always, events for those who hear."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jobsd.instruments.events import emit, is_subscribed
from jobsd.jobs.policy import Discard
from jobsd.performing.perform import SUCCESS, describe

if TYPE_CHECKING:
    from jobsd.configuration.options import WorkerOptions
    from jobsd.performing.perform import ClaimedJob, Run
    from jobsd.processes.counters import QueueCounters
    from jobsd.processes.entry import ScoreboardEntry

    from .writing import Writing

_EVENTS = {
    "failed": "job.failed",
    "retried": "job.retried",
    "discarded": "job.discarded",
    "snoozed": "job.snoozed",
}


def metadata(options: WorkerOptions) -> dict[str, object]:
    """Return what the row of a worker tells of it."""
    return {
        "queues": ",".join(options.queues),
        "threads": options.threads,
        "polling_interval": options.polling_interval_s,
    }


class Report:
    """Speaks for one worker."""

    def __init__(self, entry: ScoreboardEntry, slow_after_s: float | None = None) -> None:
        self._entry = entry
        self._slow_after_s = slow_after_s
        self.draining = False

    def claimed(self, claim_id: int, jobs: list[ClaimedJob]) -> None:
        """Tell of a claim, to who wants to hear everything."""
        if is_subscribed("debug"):
            ids = [job.id for job in jobs]
            emit("jobs.claimed", size=len(ids), claim_id=claim_id, job_ids=ids)

    def recorded(self, writing: Writing, recorded: set[int], concluded: set[int]) -> None:
        """Tell what was written for the claims that let it be written."""
        plain = [run for run in writing.plain if run.job.claim_id in recorded]
        rare = [run for run in writing.rare if run.job.claim_id in concluded]
        self.ended([*plain, *rare])
        self.released([job for job in writing.unstarted if job.claim_id in concluded])

    def ended(self, runs: list[Run]) -> None:
        """Tell of runs whose outcomes are recorded."""
        for run in runs:
            if run.outcome is not SUCCESS:
                self._ended(run)
        self._finished([run for run in runs if run.outcome is SUCCESS])
        if self._slow_after_s is not None:
            for run in runs:
                self._slow(run, self._slow_after_s)

    def _slow(self, run: Run, limit_s: float) -> None:
        """Tell of a job that started late or ran for long, by the operator's choice."""
        waited_s, took_s = run.started - run.job.due_at, run.ended - run.started
        if max(waited_s, took_s) > limit_s:
            times = {"waited": round(max(0.0, waited_s), 6), "duration": round(took_s, 6)}
            emit("job.slow", **_facts(run.job), **times)

    def released(self, jobs: list[ClaimedJob]) -> None:
        """Tell of jobs that were given back: each while we drain, else that it was done.

        A worker that runs on has claimed too far ahead: nothing has happened to its jobs, and
        there may be more of them than of those that run.
        """
        for job in jobs:
            self._entry.queue(job.queue_name).count("released")
            if self.draining:
                emit("job.released", **_facts(job))
        if jobs and not self.draining:
            emit("jobs.released", size=len(jobs), job_ids=[job.id for job in jobs])

    def _finished(self, runs: list[Run]) -> None:
        for queue, done in _by_queue(runs).items():
            counters = self._entry.queue(queue)
            counters.count("finished", len(done))
            _observe(counters, done)
        if is_subscribed("debug"):
            for run in runs:
                emit(
                    "job.finished",
                    **_facts(run.job),
                    duration=round(run.ended - run.started, 6),
                )

    def _ended(self, run: Run) -> None:
        outcome = run.outcome.verdict.outcome
        counters = self._entry.queue(run.job.queue_name)
        if outcome != "snoozed":
            counters.count(outcome)
        _observe(counters, [run])
        facts = _facts(run.job)
        facts["duration"] = round(run.ended - run.started, 6)
        if run.outcome.error is not None:
            facts["error"] = json.loads(run.outcome.error)
        if outcome == "discarded" and run.outcome.exception is not None:
            facts["reason"] = _reason(run.outcome.exception)
        if run.outcome.verdict.wait_s:
            facts["retry_in"] = round(run.outcome.verdict.wait_s, 3)
        emit(_EVENTS[outcome], **facts)


def _reason(error: BaseException) -> str:
    """Return why a job was dropped: in its own words, or by which error."""
    told = json.loads(describe(error))
    message = str(told["message"])
    return message if isinstance(error, Discard) else f"{told['type']}: {message}"


def _by_queue(runs: list[Run]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.job.queue_name, []).append(run)
    return found


def _observe(counters: QueueCounters, runs: list[Run]) -> None:
    counters.observe(
        # When the server's clock was set back, a job has waited for less than nothing.
        waits_s=[max(0.0, started - job.due_at) for job, _, started, _ in runs],
        runs_s=[ended - started for _, _, started, ended in runs],
    )


def _facts(job: ClaimedJob) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "class_name": job.class_name,
        "queue_name": job.queue_name,
        "attempt": job.attempts + 1,
    }
