"""What this process has claimed and not recorded, and how that is written down.

The ledger mirrors the rows of `claims` that are ours. It is exact as long as the
connection stands: only the control thread speaks to them, and a statement that fails has
done nothing. After a broken connection two things are unknown (whether the last outcomes
were recorded, whether a last claim was made), and `settle` finds them out.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from jobsd.jobs.claims import Ended, InClaim, own

from .writing import Writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jobsd.database.connection import Session
    from jobsd.performing.perform import ClaimedJob, Run

    from .writing import Claims


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

    def add_series(self, claim_id: int, jobs: Iterable[ClaimedJob], key: str) -> None:
        """Take in a claim that holds a slot of a key, or more jobs of one."""
        self._claims.setdefault(claim_id, set()).update(job.id for job in jobs)
        self._keys[claim_id] = key

    @property
    def keys(self) -> set[str]:
        """The keys of which we hold slots."""
        return set(self._keys.values())

    def size_of(self, claim_id: int) -> int:
        """Return how many jobs of a claim are not recorded; 0 when it is not ours."""
        return len(self._claims.get(claim_id, ()))

    def add(self, runs: Iterable[Run]) -> None:
        """Take in runs that have ended; those whose claim was taken away are dropped."""
        self._runs += self._held(runs)

    def give_back(self, jobs: Iterable[ClaimedJob]) -> None:
        """Take in jobs that will not be started here."""
        self._unstarted += [job for job in jobs if self.holds(job)]

    def keep_back(self, jobs: Iterable[ClaimedJob]) -> None:
        """Take note that these, which were given back a moment ago, are run here after all."""
        ids = {job.id for job in jobs}
        self._unstarted = [job for job in self._unstarted if job.id not in ids]

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
        """Whether a slot is to be given back: the last job of a claim with a key has ended."""
        if not self._keys:
            return False
        waiting = Counter(run.job.claim_id for run in self._runs)
        return any(waiting[claim_id] >= len(self._claims[claim_id]) for claim_id in self._keys)

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
        back = [
            _given_back(job, parks=job.claim_id not in self._keys and self._parks(job))
            for job in self._unstarted
        ]
        return Writing(
            *(self._claims, self._keys, self._runs, self._unstarted, back, self.process),
            keep=self.keep,
        )

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
        self._keys = {id_: key for id_, key in self._keys.items() if id_ in self._claims}
        self._sort()
        return unknown, gone

    def abandon(self) -> Claims:
        """Drop everything: our row was deleted, and our claims with it. Return these."""
        claims = self._claims
        self._claims, self._keys = {}, {}
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
                self._keys.pop(claim_id, None)


def _key(job: ClaimedJob) -> InClaim:
    return InClaim(job.id, job.claim_id)


def _given_back(job: ClaimedJob, *, parks: bool) -> Ended:
    if parks:
        return Ended(job.claim_id, job.id, "parked", position=job.position)
    return Ended(job.claim_id, job.id, "released")
