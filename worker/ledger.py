"""What this process has claimed and not recorded, and how that is written down.

The ledger mirrors the rows of `claims` that are ours. It is exact as long as the
connection stands: only the control thread speaks to them, and a statement that fails has
done nothing. After a broken connection two things are unknown (whether the last outcomes
were recorded, whether a last claim was made), and `settle` finds them out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsd.clock import monotonic
from jobsd.jobs import limits
from jobsd.jobs.claims import LOCK_WAIT, STATEMENTS, Ended, InClaim, array, conclusion, own

from .perform import SUCCESS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.database.connection import Session
    from jobsd.database.statements import Statement

    from .perform import ClaimedJob
    from .pool import Run

    Claims = dict[int, set[int]]
    """Claims with the ids of their jobs."""


class Ledger:
    """Claims with the ids of their jobs, and the outcomes that wait to be recorded."""

    def __init__(self, process: str, *, keep: bool) -> None:
        self.process = process
        self.keep = keep
        self._claims: Claims = {}
        self._runs: list[Run] = []
        self._unstarted: list[ClaimedJob] = []
        self._held_runs: list[Run] = []
        self._held_unstarted: list[ClaimedJob] = []
        self.held_back: set[InClaim] = set()
        """The jobs that are not to be written for now; each is claimed as before."""
        self._cut_off = False

    def add_claim(self, claim_id: int, jobs: Iterable[ClaimedJob]) -> None:
        """Take in a claim that was made; one without a job that we know is for `settle`."""
        if ids := {job.id for job in jobs}:
            self._claims[claim_id] = ids

    def add(self, runs: Iterable[Run]) -> None:
        """Take in runs that have ended; those whose claim was taken away are dropped."""
        self._runs += self._held(runs)

    def give_back(self, jobs: Iterable[ClaimedJob]) -> None:
        """Take in jobs that will not be started here."""
        self._unstarted += [job for job in jobs if self.holds(job)]

    def hold_back(self, jobs: Iterable[InClaim]) -> None:
        """Let these jobs not be written until they are let go: somebody holds them locked."""
        self.held_back.update(jobs)
        self._sort()

    def let_go(self, jobs: Iterable[InClaim]) -> None:
        """Let these jobs be written again."""
        self.held_back.difference_update(jobs)
        self._sort()

    @property
    def held_runs(self) -> list[Run]:
        """The outcomes that are held back."""
        return self._held_runs

    def _sort(self) -> None:
        runs = self._held([*self._held_runs, *self._runs])
        unstarted = [*filter(self.holds, (*self._held_unstarted, *self._unstarted))]
        self._held_runs = [run for run in runs if _key(run.job) in self.held_back]
        self._runs = [run for run in runs if _key(run.job) not in self.held_back]
        self._held_unstarted = [job for job in unstarted if _key(job) in self.held_back]
        self._unstarted = [job for job in unstarted if _key(job) not in self.held_back]

    @property
    def pending(self) -> bool:
        """Whether anything waits to be recorded."""
        return bool(self._runs or self._unstarted)

    @property
    def frees(self) -> bool:
        """Whether a job that waits to be recorded held a limit."""
        return any(run.job.concurrency_key is not None for run in self._runs)

    @property
    def open(self) -> bool:
        """Whether any claimed job is not recorded."""
        return bool(self._claims)

    @property
    def doubtful(self) -> bool:
        """Whether our rows may be others than we know.

        Any claim of ours may be taken away. And what a connection that broke had asked for may
        be done at any time: its commit may wait for a standby for hours.
        """
        return self.open or self._cut_off

    def doubt(self) -> None:
        """Take note that a connection was lost, maybe in the middle of a statement."""
        self._cut_off = True

    @property
    def size(self) -> int:
        """How many outcomes wait to be recorded."""
        return len(self._runs) + len(self._unstarted)

    @property
    def oldest(self) -> float | None:
        """When the oldest outcome that is not recorded came about (monotonic)."""
        return self._runs[0].ended if self._runs else None

    def holds(self, job: ClaimedJob) -> bool:
        """Return whether a job is claimed by us and not recorded."""
        return job.id in self._claims.get(job.claim_id, ())

    def statements(self) -> Writing:
        """Return what records everything that waits, without doing it."""
        return Writing(self._claims, self._runs, self._unstarted, self.process, self.keep)

    def wrote(self, writing: Writing, recorded: set[int], concluded: set[int]) -> bool:
        """Take note of what was written: outcomes of claims that were whole.

        `recorded` and `concluded` are the claims that let their successes, and their
        other outcomes, be written. The rest waits for `settle`; returns whether there is none.
        """
        self._drop(writing.plain_ids, recorded)
        self._drop(writing.rare_ids, concluded)
        whole = recorded >= writing.plain_ids.keys() and concluded >= writing.rare_ids.keys()
        self._runs = [] if whole else self._held(self._runs)
        self._unstarted = [] if whole else [job for job in self._unstarted if self.holds(job)]
        return not self.pending

    def settle(self, session: Session, process_id: int) -> tuple[list[Ended], Claims]:
        """Read our claims back; return what to release, and our claims that are gone.

        A claim that we don't know was made by a statement whose answer we never saw: it
        is given back, and so is what a claim of ours holds beyond what we know of (a job
        that is no more, an outcome that the database has lost). Jobs that we miss were
        recorded, or taken away: they are dropped.
        """
        stored = own(session, process_id)
        unknown = [
            Ended(claim_id, job_id, "released")
            for claim_id, job_ids in stored.items()
            for job_id in job_ids
            if job_id not in self._claims.get(claim_id, ())
            and InClaim(job_id, claim_id) not in self.held_back
        ]
        gone = {id_: held for id_, held in self._claims.items() if id_ not in stored}
        self._claims = {
            claim_id: held
            for claim_id in self._claims.keys() & stored.keys()
            if (held := self._claims[claim_id] & set(stored[claim_id]))
        }
        self._sort()
        return unknown, gone

    def abandon(self) -> Claims:
        """Drop everything: our row was deleted, and our claims with it. Return these."""
        claims = self._claims
        self._claims = {}
        self.held_back.clear()
        self._sort()
        return claims

    def _held(self, runs: Iterable[Run]) -> list[Run]:
        claims = self._claims
        return [run for run in runs if run.job.id in claims.get(run.job.claim_id, ())]

    def _drop(self, written: dict[int, list[int]], claims: set[int]) -> None:
        for claim_id in written.keys() & claims & self._claims.keys():
            held = self._claims[claim_id]
            held.difference_update(written[claim_id])
            if not held:
                del self._claims[claim_id]


class Writing:
    """Outcomes, and the parameters of the statements that record them.

    Plain are successes that held no limit: they are recorded by the statement that claims.
    """

    def __init__(
        self,
        claims: Claims,
        runs: list[Run],
        unstarted: list[ClaimedJob],
        process: str,
        keep: bool,  # noqa: FBT001 - whether finished jobs are kept
    ) -> None:
        self.plain: list[Run] = []
        self.rare: list[Run] = []
        for run in runs:
            plain = run.outcome is SUCCESS and run.job.concurrency_key is None
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
        # As they are behind the statement for what is not plain, which comes before.
        self._held = {
            claim_id: len(claims[claim_id]) - len(self.rare_ids.get(claim_id, ()))
            for claim_id in self.plain_ids
        }

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
        released = [Ended(job.claim_id, job.id, "released") for job in self.unstarted]
        ended = [*self._ended, *released, *more]
        if not ended:
            return None
        parameters = conclusion(ended, self._process, keep=self._keep, lock_wait=self.lock_wait)
        return STATEMENTS["conclude"], parameters

    def promote(self, keys: list[str]) -> tuple[Statement, dict[str, Any]]:
        """Return the statement for who waits for these limits: to be sent behind the others."""
        return limits.STATEMENTS["promote"], {"keys": keys, "keep": self._keep}

    def jobs(self, more: Iterable[Ended] = ()) -> set[InClaim]:
        """All jobs that are written."""
        by_claim = (*self.plain_ids.items(), *self.rare_ids.items())
        ours = {InClaim(job, claim) for claim, jobs in by_claim for job in jobs}
        return ours | {InClaim(each.job_id, each.claim_id) for each in more}

    @property
    def freed(self) -> set[str]:
        """The keys of the limits of which a slot is given back by what is written."""
        pairs = zip(self.rare, self._ended, strict=True)
        keys = {run.job.concurrency_key for run, ended in pairs if ended.frees}
        return {key for key in keys if key is not None}


def _key(job: ClaimedJob) -> InClaim:
    return InClaim(job.id, job.claim_id)


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
