"""What this process has claimed and not recorded, and how its outcomes are written.

The ledger mirrors the rows of `claims` that are ours. It is exact as long as the connection
stands: only the control thread changes them, and a statement that fails has done nothing.
After a broken connection two things are uncertain (whether the last outcomes were recorded,
and whether a last claim was made), and `reconcile` finds them out.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from jobsd.clock import monotonic
from jobsd.jobs import limits, results
from jobsd.jobs.claims import LOCK_WAIT, STATEMENTS, Ended, InClaim, array, conclusion, own
from jobsd.performing.perform import SUCCESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from jobsd.database.connection import Session
    from jobsd.database.statements import Statement
    from jobsd.performing.perform import ClaimedJob, Run

    Claims = dict[int, set[int]]
    """Claims with the ids of their jobs."""


class Ledger:
    """Claims with the ids of their jobs, and the outcomes that wait to be recorded."""

    def __init__(
        self, process: str, *, keep: bool, parks: Callable[[ClaimedJob], bool]
    ) -> None:
        """Keep the book for a process; `parks` says which jobs go back into a lane."""
        self.process = process
        self.keep = keep
        self._parks = parks
        self._claims: Claims = {}
        self._keys: dict[int, str] = {}
        self._left: set[int] = set()
        self._runs: list[Run] = []
        self._unstarted: list[ClaimedJob] = []
        self._locked_runs: list[Run] = []
        self._locked_unstarted: list[ClaimedJob] = []
        self.locked: set[InClaim] = set()
        """The jobs that can't be written now, since a row is locked; they stay claimed."""
        self._cut_off = False

    def add_claim(self, claim_id: int, jobs: Iterable[ClaimedJob]) -> None:
        """Take in a claim; one without a job that we know is found by `reconcile`."""
        if ids := {job.id for job in jobs}:
            self._claims[claim_id] = ids

    def add_series(self, claim_id: int, jobs: Iterable[ClaimedJob], key: str) -> None:
        """Take in a claim that holds a slot of a key, or more jobs of one."""
        self._claims.setdefault(claim_id, set()).update(job.id for job in jobs)
        self._keys[claim_id] = key

    @property
    def keys(self) -> set[str]:
        """The keys of which we hold slots."""
        return set(self._keys.values())

    def size_of(self, claim_id: int) -> int:
        """Return how many jobs of a claim are unrecorded; 0 when it is not ours."""
        return len(self._claims.get(claim_id, ()))

    def may_grow(self, claim_id: int) -> bool:
        """Return whether a claim of ours may get more jobs: none that it had comes back to it.

        Invariant: a job is at most once in a claim. What we and the scoreboard entry remember
        of a job stands beside its claim, and would be taken for how it ended this time.
        """
        return claim_id in self._claims and claim_id not in self._left

    def add(self, runs: Iterable[Run]) -> None:
        """Take in runs that have ended; those whose claim was taken away are dropped."""
        held = self._held(runs)
        self._runs += held
        if self._keys:
            self._left.update(run.job.claim_id for run in held if _may_come_back(run))
            self._left &= self._keys.keys()

    def give_back(self, jobs: Iterable[ClaimedJob]) -> None:
        """Take in jobs that will not be started here, and so are to be released."""
        self._unstarted += [job for job in jobs if self.holds(job)]

    def start_after_all(self, jobs: Iterable[ClaimedJob]) -> None:
        """Take note that these, which were given back a moment ago, are started here."""
        ids = {job.id for job in jobs}
        self._unstarted = [job for job in self._unstarted if job.id not in ids]

    def mark_locked(self, jobs: Iterable[InClaim]) -> None:
        """Leave these jobs unrecorded until they are marked as free."""
        self.locked.update(jobs)
        self._sort()

    def mark_free(self, jobs: Iterable[InClaim]) -> None:
        """Let these jobs be written again."""
        self.locked.difference_update(jobs)
        self._sort()

    @property
    def locked_runs(self) -> list[Run]:
        """The outcomes that wait for a locked row."""
        return self._locked_runs

    def _sort(self) -> None:
        runs = self._held([*self._locked_runs, *self._runs])
        unstarted = [*filter(self.holds, (*self._locked_unstarted, *self._unstarted))]
        self._locked_runs = [run for run in runs if _in_claim(run.job) in self.locked]
        self._runs = [run for run in runs if _in_claim(run.job) not in self.locked]
        self._locked_unstarted = [job for job in unstarted if _in_claim(job) in self.locked]
        self._unstarted = [job for job in unstarted if _in_claim(job) not in self.locked]

    @property
    def has_unrecorded(self) -> bool:
        """Whether outcomes wait to be recorded."""
        return bool(self._runs or self._unstarted)

    @property
    def frees_slot(self) -> bool:
        """Whether a slot is to be freed: the last job of a claim with a key has ended."""
        if not self._keys:
            return False
        waiting = Counter(run.job.claim_id for run in self._runs)
        return any(waiting[claim_id] >= len(self._claims[claim_id]) for claim_id in self._keys)

    @property
    def has_claims(self) -> bool:
        """Whether any claimed job is unrecorded."""
        return bool(self._claims)

    @property
    def is_uncertain(self) -> bool:
        """Whether our rows may be others than we know.

        Any claim of ours may be taken away. And what a connection that broke had asked for may
        be done at any time: its commit may wait for a standby for hours.
        """
        return self.has_claims or self._cut_off

    def mark_uncertain(self) -> None:
        """Take note that a connection was lost, maybe in the middle of a statement."""
        self._cut_off = True

    @property
    def oldest(self) -> float | None:
        """When the job of the oldest unrecorded outcome ended (monotonic)."""
        return self._runs[0].ended if self._runs else None

    def holds(self, job: ClaimedJob) -> bool:
        """Return whether a job is claimed by us and unrecorded."""
        return job.id in self._claims.get(job.claim_id, ())

    def recording(self) -> Recording:
        """Return what records all unrecorded outcomes, without doing it."""
        back = [
            _given_back(job, parks=job.claim_id not in self._keys and self._parks(job))
            for job in self._unstarted
        ]
        return Recording(
            *(self._claims, self._keys, self._runs, self._unstarted, back, self.process),
            keep=self.keep,
        )

    def forget(self, recording: Recording, recorded: set[int], concluded: set[int]) -> bool:
        """Forget the outcomes that were written, since their claims were whole.

        `recorded` and `concluded` are the claims that let their successes, and their
        other outcomes, be written. The rest waits for `reconcile`; returns whether there is
        none.
        """
        self._drop(recording.success_ids, recorded)
        self._drop(recording.other_ids, concluded)
        whole = (
            recorded >= recording.success_ids.keys() and concluded >= recording.other_ids.keys()
        )
        self._runs = [] if whole else self._held(self._runs)
        self._unstarted = [] if whole else [job for job in self._unstarted if self.holds(job)]
        return not self.has_unrecorded

    def reconcile(self, session: Session, process_id: int) -> tuple[list[Ended], Claims]:
        """Read our claims back; return what to release, and our claims that are gone.

        A claim that we don't know was made by a statement whose answer we never saw: it
        is released, and so is what a claim of ours holds beyond what we know of (a job
        that was deleted, an outcome that the database has lost). Jobs that we miss were
        recorded, or taken away: they are dropped.
        """
        stored = own(session, process_id)
        unknown = [
            Ended(claim_id, job_id, "released")
            for claim_id, job_ids in stored.items()
            for job_id in job_ids
            if job_id not in self._claims.get(claim_id, ())
            and InClaim(job_id, claim_id) not in self.locked
        ]
        gone = {id_: held for id_, held in self._claims.items() if id_ not in stored}
        self._claims = {
            claim_id: held
            for claim_id in self._claims.keys() & stored.keys()
            if (held := self._claims[claim_id] & set(stored[claim_id]))
        }
        self._keys = {id_: key for id_, key in self._keys.items() if id_ in self._claims}
        self._sort()
        return unknown, gone

    def abandon(self) -> Claims:
        """Drop everything: our row was deleted, and our claims with it. Return these."""
        claims = self._claims
        self._claims, self._keys = {}, {}
        self._left.clear()
        self.locked.clear()
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
                self._keys.pop(claim_id, None)


def _in_claim(job: ClaimedJob) -> InClaim:
    return InClaim(job.id, job.claim_id)


def _may_come_back(run: Run) -> bool:
    return run.outcome.verdict.outcome not in {"finished", "discarded"}


def _given_back(job: ClaimedJob, *, parks: bool) -> Ended:
    if parks:
        return Ended(job.claim_id, job.id, "parked", position=job.position)
    return Ended(job.claim_id, job.id, "released")


_ENDS = {
    "finished": "finished",
    "failed": "failed",
    "discarded": "discarded",
    "expired": "discarded",
}
"""The outcomes after which a job is not tried again, and its state then."""


class Recording:
    """Outcomes, and the parameters of the statements that write them, fenced by their claims.

    Successes are recorded by the statement that claims. A success that has a slot of the
    version before, of a claim without a key, is among the others.
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
        self.successes: list[Run] = []
        self.others: list[Run] = []
        for run in runs:
            success = run.outcome is SUCCESS and (
                run.job.concurrency_key is None or run.job.claim_id in keys
            )
            (self.successes if success else self.others).append(run)
        self.unstarted = list(unstarted)
        self.success_ids = _by_claim(run.job for run in self.successes)
        self.other_ids = _by_claim([*(run.job for run in self.others), *unstarted])
        self._process = process
        self._keep = keep
        self.lock_wait = LOCK_WAIT
        self.now = monotonic()
        """When it was made: what is written are ages."""
        self._ended = [ended(run, self.now) for run in self.others]
        self._back = back
        # As they are after the statement for the others, which comes first.
        self._held = {
            claim_id: len(claims[claim_id]) - len(self.other_ids.get(claim_id, ()))
            for claim_id in self.success_ids
        }
        self.freed_keys = self._freed_keys(claims, keys)

    def _freed_keys(self, claims: Claims, keys: Mapping[int, str]) -> list[str]:
        """Return the keys to hand over, each as often as a slot of it is freed.

        A claim whose last jobs are released hands nothing over: these are ready themselves.
        Where successes are recorded after them, they are blocked.
        """
        back = {job.claim_id for job in self.unstarted} - self.success_ids.keys()
        return [
            key
            for claim_id, key in keys.items()
            if claim_id not in back and self._written(claim_id) == len(claims[claim_id])
        ]

    def _written(self, claim_id: int) -> int:
        return sum(len(ids.get(claim_id, ())) for ids in (self.success_ids, self.other_ids))

    @property
    def record(self) -> dict[str, Any] | None:
        """The parameters of the statement for successes, if there are any."""
        if not self.successes:
            return None
        now, done = self.now, self.success_ids
        return {
            "claim_ids": array([run.job.claim_id for run in self.successes]),
            "job_ids": array([run.job.id for run in self.successes]),
            "started_us": array([int((now - run.started) * 1e6) for run in self.successes]),
            "ended_us": array([int((now - run.ended) * 1e6) for run in self.successes]),
            "batch_ids": array(done),
            "held": array(self._held.values()),
            "remaining": array(self._held[claim] - len(ids) for claim, ids in done.items()),
            "keep": self._keep,
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
            "lock_wait": self.lock_wait,
        }

    def hand_over(self) -> tuple[Statement, dict[str, Any]] | None:
        """Return the statement that hands over the freed slots: it comes after the others."""
        if not self.freed_keys:
            return None
        return limits.STATEMENTS["hand_over"], {"keys": self.freed_keys}

    def jobs(self, more: Iterable[Ended] = ()) -> set[InClaim]:
        """Return all jobs that are written."""
        by_claim = (*self.success_ids.items(), *self.other_ids.items())
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
