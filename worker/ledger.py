"""The jobs that this process has claimed and not recorded, and the way to record them.

The ledger mirrors the rows of `claims` that are ours. It is exact as long as the connection
stands: only the control thread changes them, and a statement that fails has done nothing.
After a broken connection two things are uncertain (whether the last outcomes were recorded,
and whether a last claim was made), and `reconcile` finds them out.
"""

from collections import Counter
from collections.abc import Iterable
from operator import attrgetter

from jobsd.clock import monotonic
from jobsd.database.connection import Session
from jobsd.database.portions import BYTES_MAX
from jobsd.jobs import registry
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.performing.perform import Run
from jobsd.states.claims import Ended, InClaim, own

from .recording import Recording, RunPortions, size_of

Claims = dict[int, set[int]]
"""Claims with the ids of their jobs."""


_expires_at = attrgetter("expires_at")


class Ledger:
    """Claims with the ids of their jobs, and the outcomes that wait to be recorded."""

    def __init__(self, process: str, *, keep: bool) -> None:
        self.process = process
        self.keep = keep
        self.nothing = Recording({}, {}, [], [], [], process, keep=keep)
        self.claims: Claims = {}
        self._keys: dict[int, str] = {}
        self._left: set[int] = set()
        self._runs: list[Run] = []
        self._behind: list[Run] = []
        """Runs that a later statement records than the last one made."""
        self._portions = RunPortions()
        self._unstarted: list[ClaimedJob] = []
        self._locked_runs: list[Run] = []
        self._locked_unstarted: list[ClaimedJob] = []
        self.locked: set[InClaim] = set()
        """The jobs that can't be written now, since a row is locked; they stay claimed."""
        self.completing: set[int] = set()
        """The claims of jobs that end in a transaction of the user's."""
        self._moved: dict[InClaim, int] = {}
        self._cut_off = False
        self._unsure_s: dict[int, float] = {}
        self.returns = 0
        """How often plain jobs were given back: they lie before the cursors."""

    def add_claim(self, claim_id: int, jobs: list[ClaimedJob], asked_at: float) -> None:
        """Take in a claim; one without a job that we know is found by `reconcile`."""
        if ids := {job.id for job in jobs}:
            self.claims[claim_id] = ids
            self._note_expirations(claim_id, jobs, asked_at)

    def add_series(
        self, claim_id: int, jobs: list[ClaimedJob], key: str, asked_at: float
    ) -> None:
        """Take in a claim that holds a slot of a key, or more jobs of one."""
        ids = {job.id for job in jobs}
        held = self.claims.get(claim_id)
        self.claims[claim_id] = ids if held is None else held | ids
        self._keys[claim_id] = key
        self._note_expirations(claim_id, jobs, asked_at)

    def _note_expirations(self, claim_id: int, jobs: list[ClaimedJob], asked_at: float) -> None:
        """Take note of how far the server's clock may be behind our estimate of it.

        When a job expires is counted from `asked_at`, before the server read its clock: so none
        is begun late. It may have been read as late as now.
        """
        if any(map(_expires_at, jobs)):
            self._unsure_s = {id_: s for id_, s in self._unsure_s.items() if id_ in self.claims}
            unsure_s = monotonic() - asked_at
            self._unsure_s[claim_id] = max(unsure_s, self._unsure_s.get(claim_id, 0.0))

    @property
    def keys(self) -> set[str]:
        """The keys of which we hold slots."""
        return set(self._keys.values())

    def ids_of(self, claim_id: int) -> set[int]:
        """Return the unrecorded jobs of a claim."""
        return self.claims.get(claim_id, set())

    def has_key(self, claim_id: int) -> bool:
        """Return whether a claim holds a slot."""
        return claim_id in self._keys

    def isolate(self, job_id: int, claim_id: int, new_claim: int) -> None:
        """Take in that a job, which runs, has left a claim for one of its own."""
        self.claims[claim_id].discard(job_id)
        self.claims[new_claim] = {job_id}
        self._moved[InClaim(job_id, claim_id)] = new_claim

    def claim_of(self, job: InClaim) -> int:
        """Return the claim of a running job: that to which it was moved, if it was."""
        return self._moved.get(job, job.claim_id)

    def settle(self, claim_id: int) -> None:
        """Forget a claim that is recorded."""
        self.claims.pop(claim_id, None)
        self.completing.discard(claim_id)
        if self._moved:
            self._moved = {job: new for job, new in self._moved.items() if new != claim_id}
        self._keys.pop(claim_id, None)

    @property
    def size(self) -> int:
        """How many jobs are claimed and unrecorded."""
        return sum(map(len, self.claims.values()))

    def size_of(self, claim_id: int) -> int:
        """Return how many jobs of a claim are unrecorded; 0 when it is not ours."""
        return len(self.claims.get(claim_id, ()))

    def may_grow(self, claim_id: int) -> bool:
        """Return whether a claim of ours may get more jobs: none that it had comes back to it.

        Invariant: a job is at most once in a claim. Our record and the scoreboard entry's of a
        job stand beside its claim, and would be taken for its outcome this time.
        """
        return claim_id in self.claims and claim_id not in self._left | self.completing

    def add(self, runs: Iterable[Run]) -> None:
        """Take in ended runs; runs with a lost claim are dropped."""
        if self._moved:
            runs = [self._in_its_claim(run) for run in runs]
        held = self._held(runs)
        if self._unsure_s and (early := [run for run in held if self._may_be_early(run)]):
            self.give_back([run.job for run in early])
            held = [run for run in held if run not in early]
        self._runs += held
        if self._keys:
            self._left.update(run.job.claim_id for run in held if _may_come_back(run))
            self._left &= self._keys.keys()

    def _in_its_claim(self, run: Run) -> Run:
        """Return a run with the claim that its job was moved to, if it was."""
        claim_id = self.claim_of(_in_claim(run.job))
        return run._replace(job=run.job._replace(claim_id=claim_id))

    def _may_be_early(self, run: Run) -> bool:
        """Return whether a job that was not begun, as too old, may not be so by the server."""
        if run.outcome.verdict.outcome != "expired":
            return False
        unsure_s = self._unsure_s.get(run.job.claim_id, 0.0)
        return run.started < (run.job.expires_at or 0.0) + unsure_s

    def give_back(self, jobs: Iterable[ClaimedJob]) -> None:
        """Take in jobs that will not be started here, and so are to be released."""
        if back := [job for job in jobs if self.holds(job)]:
            self._unstarted += back
            self.returns += any(job.claim_id not in self._keys for job in back)

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
    def job_ids(self) -> set[int]:
        """All jobs that are claimed and unrecorded."""
        return set[int]().union(*self.claims.values())

    @property
    def runs(self) -> list[Run]:
        """All outcomes that are not recorded."""
        return [*self._locked_runs, *self._runs]

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
    def unrecorded(self) -> int:
        """How many outcomes wait to be recorded."""
        return len(self._runs) + len(self._unstarted)

    @property
    def gives_back(self) -> bool:
        """Whether jobs are to be released: of their key they come before all that wait."""
        return bool(self._unstarted or self._locked_unstarted)

    @property
    def frees_slot(self) -> bool:
        """Whether a slot is to be freed: the last job of a claim with a key has ended."""
        if not self._keys:
            return False
        waiting = Counter(run.job.claim_id for run in self._runs)
        return any(waiting[claim_id] >= len(self.claims[claim_id]) for claim_id in self._keys)

    @property
    def has_claims(self) -> bool:
        """Whether any claimed job is unrecorded."""
        return bool(self.claims)

    @property
    def is_uncertain(self) -> bool:
        """Whether our rows may be others than we know.

        Any claim of ours may be taken away. And the statement of a connection that broke may
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
        return job.id in self.claims.get(job.claim_id, ())

    def is_open(self, job: InClaim) -> bool:
        """Return whether a job is claimed by us and may still run."""
        return job.job_id in self.claims.get(job.claim_id, ()) and job not in self.locked

    def recording(self) -> Recording:
        """Return what records the first unrecorded outcomes, without doing it.

        These are all of them, unless their results and errors are too large for one statement.
        """
        if not self.has_unrecorded:
            return self.nothing
        runs, self._behind = self._portions.split(self._runs)
        back = [_given_back(job, limited=job.claim_id in self._keys) for job in self._unstarted]
        return Recording(
            *(self.claims, self._keys, runs, self._unstarted, back, self.process),
            keep=self.keep,
        )

    @property
    def backlog(self) -> int:
        """How many outcomes wait for a later statement."""
        return len(self._behind)

    @property
    def is_full(self) -> bool:
        """Whether the results and errors of these are so large that no more may come."""
        return sum(map(size_of, self._behind)) > 16 * BYTES_MAX

    def was_answered(self, recording: Recording, took_s: float, deadline_s: float) -> None:
        """Take note of how long the statements of a recording took."""
        self._portions.was_answered(recording, took_s, deadline_s)

    def was_late(self, recording: Recording) -> None:
        """Take note that a recording has passed its deadline: the next one is smaller."""
        if (found := self._portions.was_late(recording)) is not None:
            late, instead = found
            self._runs = [*(run for run in self._runs if run is not late), instead]

    def forget(self, recording: Recording, recorded: set[int], concluded: set[int]) -> bool:
        """Forget the outcomes that were written, since their claims were whole.

        `recorded` and `concluded` are the claims that let their successes, and their other
        outcomes, be written. Unwritten outcomes wait for `reconcile`; returns whether all were
        written.
        """
        if not recording:
            return True
        self._drop(recording.success_ids, recorded)
        self._drop(recording.other_ids, concluded)
        whole = (
            recorded >= recording.success_ids.keys() and concluded >= recording.other_ids.keys()
        )
        self._runs = [*self._behind] if whole else self._held(self._runs)
        self._unstarted = [] if whole else [job for job in self._unstarted if self.holds(job)]
        return whole

    def reconcile(self, session: Session, process_id: int) -> tuple[list[Ended], Claims]:
        """Read our claims back; return what to release, and our claims that are gone.

        A claim that we don't know was made by a statement whose answer we never saw: it
        is released, and so is what a claim of ours holds beyond what we know of (a job
        that was deleted, an outcome that the database has lost). But one that has a job of
        ours out of another claim was asked for by this job. Jobs that we miss were
        recorded, or taken away: they are dropped. One that has completed itself is ours
        until its function has returned.
        """
        rows = own(session, process_id)
        stored = {claim_id: set(row.job_ids) for claim_id, row in rows.items()}
        for claim_id, (job_ids, origin, completed) in rows.items():
            if completed is not None:
                stored[claim_id] |= {completed} if claim_id in self.completing else set()
            elif origin and claim_id not in self.claims and self.ids_of(origin) >= {*job_ids}:
                self.isolate(job_ids[0], origin, claim_id)
        unknown = [
            Ended(claim_id, job_id, "released")
            for claim_id, job_ids in stored.items()
            for job_id in job_ids
            if job_id not in self.claims.get(claim_id, ())
            and InClaim(job_id, claim_id) not in self.locked
        ]
        gone = {id_: held for id_, held in self.claims.items() if id_ not in stored}
        self.claims = {
            claim_id: held
            for claim_id in self.claims.keys() & stored.keys()
            if (held := self.claims[claim_id] & stored[claim_id])
        }
        self._keys = {id_: key for id_, key in self._keys.items() if id_ in self.claims}
        self._moved = {job: id_ for job, id_ in self._moved.items() if id_ in self.claims}
        self._sort()
        return unknown, gone

    def abandon(self) -> Claims:
        """Drop everything: our row was deleted, and our claims with it. Return these."""
        claims = self.claims
        self.claims, self._keys = {}, {}
        self._left.clear()
        self._moved.clear()
        self.locked.clear()
        self._sort()
        return claims

    def _held(self, runs: Iterable[Run]) -> list[Run]:
        claims = self.claims
        return [run for run in runs if run.job.id in claims.get(run.job.claim_id, ())]

    def _drop(self, written: dict[int, list[int]], claims: set[int]) -> None:
        for claim_id in written.keys() & claims & self.claims.keys():
            held = self.claims[claim_id]
            held.difference_update(written[claim_id])
            if not held:
                self.settle(claim_id)


def _in_claim(job: ClaimedJob) -> InClaim:
    return InClaim(job.id, job.claim_id)


def _may_come_back(run: Run) -> bool:
    return run.outcome.verdict.outcome not in {"finished", "discarded"}


def _given_back(job: ClaimedJob, *, limited: bool) -> Ended:
    if not limited and job.class_name not in registry.known():
        return Ended(job.claim_id, job.id, "parked", position=job.position)
    return Ended(job.claim_id, job.id, "released")
