"""Counts the outcomes of jobs once recorded, and emits events for the subscribers.

An outcome is *uncertain* when it was sent to be recorded and no answer came. It stays in the
ledger, which sends it again as long as its claim holds the job. A job that its claim no longer
holds was recorded by the statement whose answer was lost, or recovered by a process that took
this one for dead. In the first case it is reported here, once and by no other process. In the
second case the process that recovered it has reported it.
"""

import json
from collections.abc import Callable, Collection, Iterable
from operator import attrgetter
from typing import Any

from jobsd.clock import moment_of
from jobsd.database.connection import Session
from jobsd.errors import TimeLimitExceeded
from jobsd.events.events import emit, is_subscribed
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.policy import Discard
from jobsd.performing.perform import Run, stored_error
from jobsd.scoreboard.counters import FAILURES, QueueCounters
from jobsd.scoreboard.entry import ScoreboardEntry
from jobsd.states.claims import Ended, InClaim
from jobsd.states.reconciliation import Sent, recorded

from .constants import FEW
from .ledger import Claims, Ledger
from .recording import Recording, ended

CANCELLED = "cancelled"
_EVENTS = {
    "failed": "job.failed",
    "retried": "job.retried",
    "discarded": "job.discarded",
    "snoozed": "job.snoozed",
}


class Report:
    """Counts and emits for one worker."""

    def __init__(self, entry: ScoreboardEntry, slow_after_s: float | None = None) -> None:
        self._entry = entry
        self._slow_after_s = slow_after_s
        self._misfits: set[str] = set()
        self.draining = False

    def claimed(self, claim_id: int, jobs: list[ClaimedJob]) -> None:
        """Emit to subscribers of debug events that jobs were claimed."""
        if is_subscribed("debug"):
            ids = [job.id for job in jobs]
            emit("jobs.claimed", size=len(ids), claim_id=claim_id, job_ids=ids)

    def recorded(
        self,
        recording: Recording,
        recorded: set[int],
        concluded: set[int],
        cancelled: Collection[InClaim] = (),
    ) -> None:
        """Report the outcomes of claims that let them be written."""
        if not recording:
            return
        successes = [run for run in recording.successes if run.job.claim_id in recorded]
        others = [run for run in recording.others if run.job.claim_id in concluded]
        self.ended([*successes, *others], cancelled)
        back = [job for job in recording.unstarted if job.claim_id in concluded]
        self.released(back, cancelled)

    def ended(self, runs: list[Run], cancelled: Collection[InClaim] = ()) -> None:
        """Report runs with recorded outcomes; cancelled ones were discarded."""
        for run in runs:
            if run.outcome.exception is not None:
                job = InClaim(run.job.id, run.job.claim_id)
                self._ended(run, cancelled=bool(cancelled) and job in cancelled)
        self._finished([run for run in runs if run.outcome.exception is None])
        if self._slow_after_s is not None:
            for run in runs:
                if run.outcome.verdict.outcome != "set_aside":
                    self._slow(run, self._slow_after_s)

    def _slow(self, run: Run, limit_s: float) -> None:
        """Report a job that started late or ran for long, as the operator has chosen."""
        waited_s, took_s = run.started - run.job.due_at, run.ended - run.started
        if max(waited_s, took_s) > limit_s:
            times = {"waited": round(max(0.0, waited_s), 6), "duration": round(took_s, 6)}
            emit("job.slow", **_facts(run.job), **times)

    def released(self, jobs: list[ClaimedJob], cancelled: Collection[InClaim] = ()) -> None:
        """Report released jobs: each in a drain, otherwise all by one event.

        Jobs that were cancelled meanwhile were discarded instead.

        A worker that does not drain has claimed too far ahead: nothing has happened to these
        jobs, and there may be more of them than of those that run.
        """
        if cancelled:
            stopped = [job for job in jobs if InClaim(job.id, job.claim_id) in cancelled]
            for job in stopped:
                self._cancelled(job)
            jobs = [job for job in jobs if job not in stopped]
        for job in jobs:
            self._entry.queue(job.queue_name).count("released")
            self._entry.job_class(job.class_name).count("released")
            if self.draining:
                emit("job.released", **_facts(job))
        if jobs and not self.draining:
            emit("jobs.released", size=len(jobs), job_ids=[job.id for job in jobs])

    def lost(self, claims: list[int]) -> None:
        """Report claims that were taken away before their outcomes were recorded."""
        self._entry.claims_lost += len(claims)
        emit("claims.lost", claims=claims)

    def _finished(self, runs: list[Run]) -> None:
        self._count("finished", runs)
        if is_subscribed("debug"):
            for run in runs:
                emit(
                    "job.finished",
                    **_facts(run.job),
                    duration=round(run.ended - run.started, 6),
                    created_at=_created_at(run.job),
                )

    def _count(self, outcome: str, runs: list[Run]) -> None:
        """Count runs for their queues and for their classes.

        Runs of one queue and one class are sorted once, so the class costs little more. Of many
        queues each is counted alone, and then each class: not each queue's part of a class.
        """
        queues = {run.job.queue_name for run in runs}
        classes = {run.job.class_name for run in runs}
        if len(queues) == len(classes) == 1:
            of_class = self._entry.job_class(classes.pop())
            _count_runs(self._entry.queue(queues.pop()), outcome, runs, also=of_class)
            return
        for queue, done in _grouped(runs, attrgetter("job.queue_name")):
            _count_runs(self._entry.queue(queue), outcome, done)
        for name, done in _grouped(runs, attrgetter("job.class_name")):
            _count_runs(self._entry.job_class(name), outcome, done)

    def _set_aside(self, run: Run) -> None:
        """Emit a job with arguments that do not fit; the first of a class is warned of."""
        job, misfit = run.job, str(run.outcome.exception)
        if job.class_name not in self._misfits:
            self._misfits.add(job.class_name)
            names = {"class_name": job.class_name, "queue_name": job.queue_name}
            emit("job.unfit", **names, reason=misfit)
        emit("job.set_aside", **_facts(job), retry_in=run.outcome.verdict.wait_s)

    def _expired(self, run: Run) -> None:
        """Count and emit a job that was too old to begin."""
        job = run.job
        self._entry.queue(job.queue_name).count("expired")
        for counters in (
            self._entry.queue(job.queue_name),
            self._entry.job_class(job.class_name),
        ):
            counters.count("discarded")
        emit("job.discarded", **_facts(job), reason="expired")

    def _cancelled(self, job: ClaimedJob) -> None:
        """Count and emit a job that was cancelled before it began."""
        self._entry.queue(job.queue_name).count("discarded")
        self._entry.job_class(job.class_name).count("discarded")
        self._entry.queue(job.queue_name).count("cancelled")
        emit("job.discarded", **_facts(job), reason=CANCELLED)

    def _ended(self, run: Run, *, cancelled: bool) -> None:
        outcome = run.outcome.verdict.outcome
        if not run.outcome.begun:
            unbegun = self._expired if outcome == "expired" else self._set_aside
            self._cancelled(run.job) if cancelled else unbegun(run)
            return
        outcome = "discarded" if cancelled else outcome
        self._count(outcome, [run])
        if cancelled:
            self._entry.queue(run.job.queue_name).count("cancelled")
        if isinstance(run.outcome.exception, TimeLimitExceeded):
            self._entry.queue(run.job.queue_name).count("timed_out_soft")
        facts = _facts(run.job)
        facts["duration"] = round(run.ended - run.started, 6)
        if run.outcome.error is not None:
            facts["error"] = error = json.loads(run.outcome.error)
            if outcome in FAILURES:
                self._entry.count_failure(str(error["type"]), outcome)
        if outcome == "discarded" and run.outcome.exception is not None:
            facts["reason"] = CANCELLED if cancelled else discard_reason(run.outcome.exception)
        if run.outcome.verdict.wait_s and not cancelled:
            facts["retry_in"] = round(run.outcome.verdict.wait_s, 3)
        emit(_EVENTS[outcome], **facts)


def discard_reason(error: BaseException) -> str:
    """Return why a job was discarded: in its own words, or by which error."""
    facts = json.loads(stored_error(error))
    message = str(facts["message"])
    return message if isinstance(error, Discard) else f"{facts['type']}: {message}"


def _grouped(runs: list[Run], name: Callable[[Run], str]) -> Iterable[tuple[str, list[Run]]]:
    """Return runs by a name that each has."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(name(run), []).append(run)
    return found.items()


def _count_runs(
    counters: QueueCounters, outcome: str, runs: list[Run], also: QueueCounters | None = None
) -> None:
    """Count runs, and how long they have waited and run, in `counters` and in `also`."""
    rows = (counters, also) if also else (counters,)
    if len(runs) < FEW:
        for job, _, started, stopped in runs:
            for row in rows:
                row.count_run(outcome, max(0.0, started - job.due_at), stopped - started)
        return
    if outcome != "snoozed":
        for row in rows:
            row.count(outcome, len(runs))
    counters.observe(
        # If the server's clock was set back, the wait of a job would be negative.
        waits_s=[max(0.0, started - job.due_at) for job, _, started, _ in runs],
        runs_s=[ended - started for _, _, started, ended in runs],
        also=also,
    )


def _created_at(job: ClaimedJob) -> str | None:
    return None if job.created_us is None else moment_of(job.created_us).isoformat()


def _facts(job: ClaimedJob) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "class_name": job.class_name,
        "queue_name": job.queue_name,
        "attempt": job.attempts + 1,
    }


class UncertainOutcomes:
    """What one worker has sent to be recorded without an answer."""

    def __init__(self, report: Report, ledger: Ledger) -> None:
        self._report = report
        self._ledger = ledger
        self._last: tuple[Recording, int] | None = None
        # By claim and job. If an outcome was sent twice, either statement may have done it.
        self._uncertain: dict[tuple[int, int], tuple[list[Sent], Run | ClaimedJob]] = {}

    def sent(self, recording: Recording, process_id: int) -> None:
        """Take note of the recording that the process of this id sends now."""
        self._last = recording, process_id

    def answered(self, recording: Recording, recorded: set[int], concluded: set[int]) -> None:
        """Take note of an answer: the caller reports what these claims let be written."""
        self._last = None
        if not self._uncertain:
            return
        both = (recording.success_ids, recorded), (recording.other_ids, concluded)
        for written, claims in both:
            for claim_id in written.keys() & claims:
                for job_id in written[claim_id]:
                    self._uncertain.pop((claim_id, job_id), None)

    def mark_uncertain(self) -> None:
        """Take note that the connection is gone, and an answer that was waited for with it."""
        if self._last is None:
            return
        (recording, process_id), self._last = self._last, None
        for run in [*recording.successes, *recording.others]:
            self._add(run, ended(run, recording.now), process_id)
        for job in recording.unstarted:
            self._add(job, Ended(job.claim_id, job.id, "released"), process_id)

    def reconcile(self, session: Session, gone: Claims) -> None:
        """Report what turns out to be recorded by us, and which claims were taken away.

        This is called once the claims have been read back; `gone` are those that are no more.
        """
        recorded, cancelled = self._recorded(session)
        runs = [what for what in recorded if isinstance(what, Run)]
        released = [what for what in recorded if not isinstance(what, Run)]
        self._report.ended(runs, cancelled)
        self._report.released(released, cancelled)
        ours = {_job_of(what).id for what in recorded}
        if lost := sorted(claim_id for claim_id, job_ids in gone.items() if job_ids - ours):
            self._report.lost(lost)

    def _recorded(self, session: Session) -> tuple[list[Run | ClaimedJob], set[InClaim]]:
        holds = self._ledger.holds
        left = [key for key, (_, what) in self._uncertain.items() if not holds(_job_of(what))]
        if not left:
            return [], set()
        sent = [each for key in left for each in self._uncertain[key][0]]
        ours = recorded(session, sent, self._ledger.process, keep=self._ledger.keep)
        found = [what for key in left if (what := self._uncertain.pop(key)[1]) and key in ours]
        return found, {InClaim(key[1], key[0]) for key, stopped in ours.items() if stopped}

    def _add(self, what: Run | ClaimedJob, ended: Ended, process_id: int) -> None:
        job = _job_of(what)
        sent, _ = self._uncertain.get((job.claim_id, job.id), ([], what))
        sent.append(Sent(ended, job.attempts + 1, process_id))
        self._uncertain[job.claim_id, job.id] = sent, what


def _job_of(what: Run | ClaimedJob) -> ClaimedJob:
    return what.job if isinstance(what, Run) else what
