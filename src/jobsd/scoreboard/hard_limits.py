"""The times at which jobs must have ended, or their process is ended from outside.

A job that has a time limit, or was cancelled by force, has a row of words beside its cell: the
time at which its process must end, and the outcome that the job then gets, by its own policy,
which is known only to its process. A row counts for one job within its claim, while the job
runs; so a row that comes late does no harm.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import NamedTuple

from jobsd.clock import monotonic_ns
from jobsd.states.claims import InClaim

from . import running_jobs
from .words import Text, Word

_JOB, _CLAIM, _ROW = 1, 2, 8
"""Words of a row: the time, job and claim, then the outcome."""
_IN_CELL = InClaim(0, 0)
"""Stands for the job that is in the cell."""
LIMITED = 29
"""The number of rows with limits so far: later rows were never touched."""
FORCED = 30
"""1 once the monitor has written the last row, which the process itself can't write."""
_ROWS_AT = running_jobs.JOBS_END
_FORCED_ROW = running_jobs.CELLS_MAX
_STACK_JOB = _ROWS_AT + _ROW * (_FORCED_ROW + 1)
_STACK_AT, _STACK_WORDS = _STACK_JOB + 1, 511
STACK_MAX = 4_000
"""The end of a stack that is kept, in characters."""
LIMITS_END = _STACK_AT + _STACK_WORDS


class Overdue(NamedTuple):
    """A job that runs for longer than it may.

    `limit_s` is 0 if it was cancelled by force; a negative one is the time for which it has
    blocked the event loop. `thread` is the system's id of its thread, 0 if that is unknown.
    """

    job: InClaim
    hard_ns: int
    limit_s: float
    grace_s: float
    outcome: str
    wait_s: float
    thread: int = 0


class HardLimit:
    """One row, written by the thread or loop that runs the jobs of its cell.

    It applies to the job in its cell, whichever that is, from the time set by `move`: so for
    most jobs only that time is written. If it names a job, it applies to that job alone:
    another thread has written it, and the job may have ended meanwhile.
    """

    __slots__ = ("_at", "_row", "_words", "case", "grace_s")

    def __init__(self, words: memoryview[int], row: int) -> None:
        self._words = words
        self._row = row
        self._at = _ROWS_AT + row * _ROW
        self.case: object = None
        """The case of the jobs that it applies to; None: it names a job, or is empty."""
        self.grace_s = 0.0
        """The time between the limit of these jobs and the end of their process."""

    def say(  # noqa: PLR0913, PLR0917 - the words of a row
        self,
        limit_s: float,
        grace_s: float,
        verdict: tuple[str, float],
        thread: int = 0,
        job: InClaim = _IN_CELL,
        at_s: float = 0.0,
    ) -> None:
        """Set the outcome of a job that does not end, and the time from which it applies."""
        words, at = self._words, self._at
        outcome, wait_s = verdict
        index = running_jobs.OUTCOMES.index(outcome)
        numbers = (grace_s * 1e6, limit_s * 1e6, index, wait_s * 1e6, thread)
        # Invariant: one call. Otherwise a job's thread and the control thread could each have
        # written half of it.
        words[at : at + _ROW] = array("q", [int(at_s * 1e9), *job, *map(int, numbers)])
        if job != _IN_CELL:
            self.case = None
        if self._row == _FORCED_ROW:
            words[FORCED] = 1
        elif self._row >= words[LIMITED]:
            words[LIMITED] = self._row + 1

    def move(self, at_s: float) -> None:
        """Set the time at which its process must end (monotonic); 0: not yet."""
        self._words[self._at] = int(at_s * 1e9)


class HardLimits(running_jobs.RunningJobs):
    """The part of an entry that holds the limits of its running jobs."""

    __slots__ = ()

    stack = Text(_STACK_AT, _STACK_WORDS)
    """The end of the stack of job `stack_job`, which is over its limit."""
    stack_job = Word(_STACK_JOB)
    forced = Word(FORCED)
    """1 once `force` was called for this process."""

    def hard_limit(self, cell: int) -> HardLimit:
        """Return the row of a cell."""
        return HardLimit(self.words, cell)

    def moved(self, job_id: int, claim_id: int, new_claim: int) -> None:
        """Record that a running job has a new claim; its limit moves along."""
        super().moved(job_id, claim_id, new_claim)
        words = self.words
        for at in range(_ROWS_AT, _ROWS_AT + words[LIMITED] * _ROW, _ROW):
            if (words[at + _JOB], words[at + _CLAIM]) == (job_id, claim_id):
                words[at + _CLAIM] = new_claim

    def force(self, job: InClaim, grace_s: float) -> None:
        """Set the end of a job that was cancelled by force. Called by the monitor."""
        row = HardLimit(self.words, _FORCED_ROW)
        row.say(0.0, grace_s, ("discarded", 0.0), 0, job, monotonic_ns() / 1e9 + grace_s)

    @property
    def forced_job(self) -> InClaim | None:
        """The job of the last call of `force`, whether it still runs or not."""
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
        """The first time at which a job may be overdue (monotonic); 0: none will be."""
        return min((hard for _, hard in self._hard()), default=0)

    def overdue(self, now_ns: int | None = None) -> list[Overdue]:
        """Return the jobs that run, or ran when the process died, and are over their limits."""
        now_ns = monotonic_ns() if now_ns is None else now_ns
        read = [self._read(row, hard) for row, hard in self._hard() if hard <= now_ns]
        late = [each for each in read if each is not None]
        if not late:
            return []
        # An unsuccessful job stays in its cell until its ending is recorded.
        ended = {InClaim(abs(job_id), claim_id) for job_id, claim_id in self._ended()}
        running = set(self.running()) - ended
        return [each for each in late if each.job in running]

    def _hard(self) -> Iterator[tuple[int, int]]:
        words = self.words
        rows = range(words[LIMITED])
        for row in (*rows, _FORCED_ROW) if words[FORCED] else rows:
            if hard := words[_ROWS_AT + row * _ROW]:
                yield row, hard

    def _read(self, row: int, hard: int) -> Overdue | None:
        """Return a row's job and limit, or None if the job has ended since `hard` was read."""
        at = _ROWS_AT + row * _ROW
        _, *job, grace, limit, outcome, wait, thread = self.words[at : at + _ROW]
        said = InClaim(*job)
        if said == _IN_CELL:
            said = self._in_cell(row)
        # Invariant: read again at last. The next job in the cell has no time, or a later one
        # than a time that has passed: so as long as it is unchanged, the whole row is about one
        # job.
        if self.words[at] != hard:
            return None
        limits = limit / 1e6, grace / 1e6, running_jobs.OUTCOMES[outcome], wait / 1e6, thread
        return Overdue(said, hard, *limits)
