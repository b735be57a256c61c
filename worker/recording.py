"""The parameters of the statements that record outcomes, and how many of these they carry."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from jobsd.clock import monotonic
from jobsd.database.portions import BYTES_MAX, LATE_MAX, Portion
from jobsd.database.statements import Statement
from jobsd.errors import ResultError
from jobsd.jobs import limits
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.policy import Verdict
from jobsd.performing.perform import SUCCESS, Outcome, Run, described
from jobsd.states import results
from jobsd.states.claims import (
    LOCK_WAIT,
    STATEMENTS,
    Ended,
    InClaim,
    array,
    conclusion,
    record_statement,
)
from jobsd.text import byte_size

Claims = dict[int, set[int]]
"""Claims with the ids of their jobs."""

_ENDS = {
    "finished": "finished",
    "failed": "failed",
    "discarded": "discarded",
    "expired": "discarded",
}
"""The outcomes after which a job is not tried again, and its state then."""


class Recording:
    """Outcomes, and the parameters of the statements that write them, fenced by their claims.

    Successes are recorded by the statement that claims.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what is written
        self,
        claims: Claims,
        keys: Mapping[int, str],
        runs: list[Run],
        unstarted: list[ClaimedJob],
        back: list[Ended],
        process: str,
        *,
        keep: bool,
    ) -> None:
        """Write the outcomes of `runs`, and by `back` those of the unstarted jobs."""
        self.successes: list[Run] = []
        self.others: list[Run] = []
        for run in runs:
            (self.successes if run.outcome is SUCCESS else self.others).append(run)
        self.unstarted = list(unstarted)
        self.success_ids = _by_claim(run.job for run in self.successes)
        self.other_ids = _by_claim([*(run.job for run in self.others), *unstarted])
        self._process = process
        self._keep = keep
        self.lock_wait = LOCK_WAIT
        self.now = monotonic()
        """When it was made: ages are written."""
        self._ended = [ended(run, self.now) for run in self.others]
        self._back = back
        # As they are after the statement for the others, which comes first.
        self._held = {
            claim_id: len(claims[claim_id]) - len(self.other_ids.get(claim_id, ()))
            for claim_id in self.success_ids
        }
        self.freed_keys = self._freed_keys(claims, keys)

    def __bool__(self) -> bool:
        """Whether it writes anything."""
        return bool(self.success_ids or self.other_ids)

    def _freed_keys(self, claims: Claims, keys: Mapping[int, str]) -> list[str]:
        """Return the keys to hand over, each as often as successes free a slot of it.

        The statement for the others hands over the slots of claims that it empties itself.
        """
        done, other = self.success_ids, self.other_ids
        return [
            keys[claim_id]
            for claim_id, ids in done.items()
            if claim_id in keys
            and len(ids) + len(other.get(claim_id, ())) == len(claims[claim_id])
        ]

    @property
    def record(self) -> tuple[Statement, dict[str, Any]] | None:
        """The beginning of the statement for successes, if there are any."""
        if not self.successes:
            return None
        now, done, runs = self.now, self.success_ids, self.successes
        remaining = [self._held[claim] - len(ids) for claim, ids in done.items()]
        return record_statement(keep=self._keep), {
            "claim_ids": array([run.job.claim_id for run in runs]),
            "job_ids": array([run.job.id for run in runs]),
            "started_us": array([int((now - run.started) * 1e6) for run in runs]),
            "ended_us": array([int((now - run.ended) * 1e6) for run in runs]),
            "batch_ids": array(done),
            "held": array(self._held.values()),
            "remaining": array(remaining),
            "lock_wait": self.lock_wait,
        }

    def conclude(self, more: Iterable[Ended] = ()) -> tuple[Statement, dict[str, Any]] | None:
        """Return the statement for all other outcomes, if there are any."""
        ended = [*self._ended, *self._back, *more]
        if not ended:
            return None
        parameters = conclusion(ended, self._process, keep=self._keep, lock_wait=self.lock_wait)
        return STATEMENTS["conclude"], parameters

    def keep_results(self) -> tuple[Statement, dict[str, Any]] | None:
        """Return the statement that keeps results, if any are kept: it comes first."""
        kept = [run for run in self.others if run.outcome.ttl_s is not None]
        kept = [run for run in kept if run.outcome.verdict.outcome in _ENDS]
        if not kept:
            return None
        return results.STATEMENTS["keep"], {
            "claim_ids": [run.job.claim_id for run in kept],
            "job_ids": [run.job.id for run in kept],
            "states": [_ENDS[run.outcome.verdict.outcome] for run in kept],
            "results": [run.outcome.result for run in kept],
            "ttl_s": [run.outcome.ttl_s for run in kept],
            "process": self._process,
            "lock_wait": self.lock_wait,
        }

    def hand_over(self) -> tuple[Statement, dict[str, Any]] | None:
        """Return the statement that hands over the freed slots: it comes after the others."""
        if not self.freed_keys:
            return None
        return limits.STATEMENTS["hand_over"], {"keys": list(self.freed_keys)}

    def jobs(self, more: Iterable[Ended] = ()) -> set[InClaim]:
        """Return all jobs that are written."""
        by_claim = (*self.success_ids.items(), *self.other_ids.items())
        ours = {InClaim(job, claim) for claim, jobs in by_claim for job in jobs}
        return ours | {InClaim(each.job_id, each.claim_id) for each in more}


class RunPortions:
    """Decides which outcomes are recorded together: results and errors may be large."""

    def __init__(self) -> None:
        self._portion = Portion()
        self._late: dict[InClaim, int] = {}
        """How many deadlines have passed for a value that was alone in its statement."""

    def split(self, runs: list[Run]) -> tuple[list[Run], list[Run]]:
        """Return the runs of the next statement, and those of later ones."""
        if all(run.outcome is SUCCESS for run in runs):
            return runs, []
        count = self._portion.fitting(map(self._size, runs))
        return runs[:count], runs[count:]

    def was_answered(self, recording: Recording, took_s: float, deadline_s: float) -> None:
        """Take note of how long it took to record these."""
        if size := sum(map(size_of, recording.others)):
            self._portion.was_answered(size, took_s, deadline_s)
        if self._late:
            for run in recording.others:
                self._late.pop(_in_claim(run), None)

    def was_late(self, recording: Recording) -> tuple[Run, Run] | None:
        """Record less by the next statement.

        Return the outcome whose value was alone in this one, and what becomes of it: it goes
        behind all others, and is given up in the end.
        """
        valued = [run for run in recording.others if size_of(run)]
        if valued:
            self._portion.was_late(sum(map(size_of, valued)))
        if len(valued) != 1:
            return None
        (run,) = valued
        late = self._late.pop(_in_claim(run), 0) + 1
        if late >= LATE_MAX:
            return run, _without_value(run)
        self._late[_in_claim(run)] = late
        return run, run

    def _size(self, run: Run) -> int:
        # A late outcome goes alone again.
        return BYTES_MAX if _in_claim(run) in self._late else size_of(run)


def size_of(run: Run) -> int:
    """Return how many bytes the result and the error of an outcome take."""
    return byte_size(run.outcome.result or "") + byte_size(run.outcome.error or "")


def _without_value(run: Run) -> Run:
    """Return the replacement of a run: a failure for a result, the type alone for an error."""
    why = f"each of {LATE_MAX} statements that stored it alone took too long"
    outcome = run.outcome
    if outcome.result is not None:
        error = ResultError(run.job.class_name, why)
        outcome = Outcome(Verdict("failed"), exception=error, ttl_s=outcome.ttl_s)
        return run._replace(outcome=described(outcome))
    facts = json.loads(outcome.error or "{}")
    text = json.dumps({"type": facts.get("type"), "message": f"({why})", "stack": ""})
    return run._replace(outcome=replace(outcome, error=text))


def _in_claim(run: Run) -> InClaim:
    return InClaim(run.job.id, run.job.claim_id)


def _by_claim(jobs: Iterable[ClaimedJob]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for job in jobs:
        found.setdefault(job.claim_id, []).append(job.id)
    return found


def ended(run: Run, now: float) -> Ended:
    """Return the record of a run."""
    verdict = run.outcome.verdict
    return Ended(
        run.job.claim_id,
        run.job.id,
        verdict.outcome,
        now - run.started,
        now - run.ended,
        verdict.wait_s,
        run.outcome.error,
    )
