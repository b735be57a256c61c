"""Outcomes, and the parameters of the statements that record them, fenced by their claims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsd.clock import monotonic
from jobsd.jobs import limits
from jobsd.jobs.claims import LOCK_WAIT, STATEMENTS, Ended, InClaim, array, conclusion
from jobsd.performing.perform import SUCCESS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jobsd.database.statements import Statement
    from jobsd.performing.perform import ClaimedJob, Run

    Claims = dict[int, set[int]]
    """Claims with the ids of their jobs."""


class Writing:
    """Outcomes, and the parameters of the statements that record them.

    Plain are successes: they are recorded by the statement that claims. Those that have a slot
    of before, of a claim without a key, are not.
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
        """Write what became of `runs`, and by `back` what becomes of the unstarted jobs."""
        self.plain: list[Run] = []
        self.rare: list[Run] = []
        for run in runs:
            plain = run.outcome is SUCCESS and (
                run.job.concurrency_key is None or run.job.claim_id in keys
            )
            (self.plain if plain else self.rare).append(run)
        self.unstarted = list(unstarted)
        self.plain_ids = _by_claim(run.job for run in self.plain)
        self.rare_ids = _by_claim([*(run.job for run in self.rare), *unstarted])
        self._process = process
        self._keep = keep
        self.lock_wait = LOCK_WAIT
        self.now = monotonic()
        """When it was made: what is written are ages."""
        self._ended = [ended(run, self.now) for run in self.rare]
        self._back = back
        # As they are behind the statement for what is not plain, which comes before.
        self._held = {
            claim_id: len(claims[claim_id]) - len(self.rare_ids.get(claim_id, ()))
            for claim_id in self.plain_ids
        }
        self.freed = self._freed(claims, keys)

    def _freed(self, claims: Claims, keys: Mapping[int, str]) -> list[str]:
        """Return the keys to hand over, as often as what is written gives slots of them back.

        Not where jobs go back as the claim's last: these are ready themselves. Where successes
        are recorded behind them, they are blocked.
        """
        back = {job.claim_id for job in self.unstarted} - self.plain_ids.keys()
        return [
            key
            for claim_id, key in keys.items()
            if claim_id not in back and self._written(claim_id) == len(claims[claim_id])
        ]

    def _written(self, claim_id: int) -> int:
        return sum(len(ids.get(claim_id, ())) for ids in (self.plain_ids, self.rare_ids))

    @property
    def record(self) -> dict[str, Any] | None:
        """The parameters of the statement for what is plain, if there is any."""
        if not self.plain:
            return None
        now, done = self.now, self.plain_ids
        return {
            "claim_ids": array([run.job.claim_id for run in self.plain]),
            "job_ids": array([run.job.id for run in self.plain]),
            "started_us": array([int((now - run.started) * 1e6) for run in self.plain]),
            "ended_us": array([int((now - run.ended) * 1e6) for run in self.plain]),
            "batch_ids": array(done),
            "held": array(self._held.values()),
            "remaining": array(self._held[claim] - len(ids) for claim, ids in done.items()),
            "keep": self._keep,
            "lock_wait": self.lock_wait,
        }

    def conclude(self, more: Iterable[Ended] = ()) -> tuple[Statement, dict[str, Any]] | None:
        """Return the statement for all that is not plain, if there is any."""
        ended = [*self._ended, *self._back, *more]
        if not ended:
            return None
        parameters = conclusion(ended, self._process, keep=self._keep, lock_wait=self.lock_wait)
        return STATEMENTS["conclude"], parameters

    def hand_over(self) -> tuple[Statement, dict[str, Any]] | None:
        """Return the statement for who waits for slots that are given back: behind others."""
        if not self.freed:
            return None
        return limits.STATEMENTS["hand_over"], {"keys": self.freed}

    def jobs(self, more: Iterable[Ended] = ()) -> set[InClaim]:
        """All jobs that are written."""
        by_claim = (*self.plain_ids.items(), *self.rare_ids.items())
        ours = {InClaim(job, claim) for claim, jobs in by_claim for job in jobs}
        return ours | {InClaim(each.job_id, each.claim_id) for each in more}


def _by_claim(jobs: Iterable[ClaimedJob]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for job in jobs:
        found.setdefault(job.claim_id, []).append(job.id)
    return found


def ended(run: Run, now: float) -> Ended:
    """Return what is to be written of a run."""
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
