"""The times at which jobs must have ended, or their process is ended from outside.

A job that has a time limit, or was cancelled by force, has a row of words beside its cell: the
moment at which its process is to go, and what then is to become of the job, by its own policy:
nobody else knows it once the process is gone. A row counts for one job within its claim, while
that runs; so it does no harm when it comes late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jobsd.clock import monotonic_ns
from jobsd.jobs.claims import InClaim

from .endings import OUTCOMES
from .running_jobs import COROUTINES_MAX, JOBS_END, THREADS_MAX, RunningJobs
from .words import Text, Word

if TYPE_CHECKING:
    from collections.abc import Iterator

_, _JOB, _CLAIM, _GRACE_US, _LIMIT_US, _OUTCOME, _WAIT_US, _THREAD = range(8)
_ROW = 8
LIMITED = 29
"""Up to which row limits were written: behind it, nothing was ever touched."""
FORCED = 30
"""1 once the last row was written, by the monitor: the process itself can't say it."""
_ROWS_AT = JOBS_END
_FORCED_ROW = THREADS_MAX + COROUTINES_MAX
_STACK_JOB = _ROWS_AT + _ROW * (_FORCED_ROW + 1)
_STACK_AT, _STACK_WORDS = _STACK_JOB + 1, 511
LIMITS_END = _STACK_AT + _STACK_WORDS


class Overdue(NamedTuple):
    """A job that runs for longer than it may.

    `limit_s` is 0 when it was cancelled by force; below that, it has blocked the event loop for
    so long. `thread` is the system's number of its thread, 0 where that is not known.
    """

    job: InClaim
    hard_ns: int
    limit_s: float
    grace_s: float
    outcome: str
    wait_s: float
    thread: int = 0


class HardLimit:
    """One row, as what runs the jobs of its cell writes it."""

    __slots__ = ("_at", "_row", "_said", "_words")

    def __init__(self, words: memoryview[int], row: int) -> None:
        self._words = words
        self._row = row
        self._at = _ROWS_AT + row * _ROW
        self._said: tuple[float, float, tuple[str, float], int] | None = None

    def set(
        self,
        job: InClaim,
        limit_s: float,
        grace_s: float,
        verdict: tuple[str, float],
        thread: int = 0,
    ) -> None:
        """Say what is to become of a job that does not end, once `move` has said when."""
        words, at = self._words, self._at
        words[at] = 0
        words[at + _JOB], words[at + _CLAIM] = job
        # Mostly it is as for the job before, and to write it takes as long as the rest of this.
        said = limit_s, grace_s, verdict, thread
        if said != self._said:
            self._say(limit_s, grace_s, verdict, thread)
            self._said = said

    def _say(
        self, limit_s: float, grace_s: float, verdict: tuple[str, float], thread: int
    ) -> None:
        words, at = self._words, self._at
        outcome, wait_s = verdict
        words[at + _GRACE_US] = int(grace_s * 1e6)
        words[at + _LIMIT_US] = int(limit_s * 1e6)
        words[at + _OUTCOME] = OUTCOMES.index(outcome)
        words[at + _WAIT_US] = int(wait_s * 1e6)
        words[at + _THREAD] = thread
        if self._row == _FORCED_ROW:
            words[FORCED] = 1
        elif self._row >= words[LIMITED]:
            words[LIMITED] = self._row + 1

    def move(self, at_s: float) -> None:
        """Say when its process is to go (monotonic); 0: not yet."""
        self._words[self._at] = int(at_s * 1e9)


class HardLimits(RunningJobs):
    """The part of an entry that holds the limits of its running jobs."""

    __slots__ = ()

    stack = Text(_STACK_AT, _STACK_WORDS)
    """Where the job `stack_job` stood that is over its limit, the end of it."""
    stack_job = Word(_STACK_JOB)
    forced = Word(FORCED)
    """1 once `force` was called of this process."""

    def hard_limit(self, thread: int) -> HardLimit:
        """Return the row of a thread."""
        return HardLimit(self.words, thread)

    def hard_limit_of_slot(self, slot: int) -> HardLimit:
        """Return the row of a slot for coroutines."""
        return HardLimit(self.words, THREADS_MAX + slot)

    def moved(self, job_id: int, claim_id: int, new_claim: int) -> None:
        """Record that a job which runs is in another claim: so its limit is."""
        super().moved(job_id, claim_id, new_claim)
        words = self.words
        for at in range(_ROWS_AT, _ROWS_AT + words[LIMITED] * _ROW, _ROW):
            if (words[at + _JOB], words[at + _CLAIM]) == (job_id, claim_id):
                words[at + _CLAIM] = new_claim

    def force(self, job: InClaim, grace_s: float) -> None:
        """Say that a job is to go that was cancelled by force. Called by the monitor."""
        row = HardLimit(self.words, _FORCED_ROW)
        row.set(job, 0.0, grace_s, ("discarded", 0.0))
        row.move(monotonic_ns() / 1e9 + grace_s)

    @property
    def forced_job(self) -> InClaim | None:
        """The job of which `force` was called last, whether it still runs or not."""
        at = _ROWS_AT + _FORCED_ROW * _ROW
        return InClaim(self.words[at + _JOB], self.words[at + _CLAIM]) if self.forced else None

    def clear_limits(self) -> None:
        """Forget the limits of a process that is gone."""
        words = self.words
        if words[FORCED]:
            words[_ROWS_AT + _FORCED_ROW * _ROW] = words[FORCED] = 0
        for row in range(words[LIMITED]):
            words[_ROWS_AT + row * _ROW] = 0
        words[LIMITED] = words[_STACK_JOB] = 0

    @property
    def next_hard_ns(self) -> int:
        """The first moment at which a job may be overdue (monotonic); 0: none will be."""
        return min((hard for _, hard in self._hard()), default=0)

    def overdue(self, now_ns: int | None = None) -> list[Overdue]:
        """Return the jobs that run, or ran when the process died, and are over their limits."""
        now_ns = monotonic_ns() if now_ns is None else now_ns
        late = [self._read(at) for at, hard in self._hard() if hard <= now_ns]
        if not late:
            return []
        # One that has ended badly stands in its cell until that is noted down.
        ended = {InClaim(abs(job_id), claim_id) for job_id, claim_id in self._ended()}
        running = set(self.running()) - ended
        return [each for each in late if each.job in running]

    def _hard(self) -> Iterator[tuple[int, int]]:
        words = self.words
        rows = range(words[LIMITED])
        for row in (*rows, _FORCED_ROW) if words[FORCED] else rows:
            at = _ROWS_AT + row * _ROW
            if hard := words[at]:
                yield at, hard

    def _read(self, at: int) -> Overdue:
        hard, job_id, claim_id, grace, limit, outcome, wait, thread = self.words[at : at + _ROW]
        job, verdict = InClaim(job_id, claim_id), OUTCOMES[outcome]
        return Overdue(job, hard, limit / 1e6, grace / 1e6, verdict, wait / 1e6, thread)
