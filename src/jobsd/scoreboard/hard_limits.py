"""The times at which jobs must have ended, or their process is ended from outside.

A job that has a time limit, or was cancelled by force, has a row of words beside its cell: the
moment at which its process is to go, and what then is to become of the job, by its own policy:
nobody else knows it once the process is gone. A row counts for one job within its claim, while
that runs; so it does no harm when it comes late.
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
"""Of a row: the moment, job and claim, then what is to become of it."""
_IN_CELL = InClaim(0, 0)
"""Stands for the job that is in the cell."""
LIMITED = 29
"""Up to which row limits were written: behind it, nothing was ever touched."""
FORCED = 30
"""1 once the last row was written, by the monitor: the process itself can't say it."""
_ROWS_AT = running_jobs.JOBS_END
_FORCED_ROW = running_jobs.THREADS_MAX + running_jobs.COROUTINES_MAX
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
    """One row, as what runs the jobs of its cell writes it.

    It says what becomes of the job in its cell, whichever that is, from the moment that `move`
    has said: so of most jobs nothing is written but that. Where it names a job, it is about
    that one alone: another thread has written it, and the job may have ended meanwhile.
    """

    __slots__ = ("_at", "_row", "_words", "case", "grace_s")

    def __init__(self, words: memoryview[int], row: int) -> None:
        self._words = words
        self._row = row
        self._at = _ROWS_AT + row * _ROW
        self.case: object = None
        """Of which jobs it tells now; None: it names one, or nothing was said."""
        self.grace_s = 0.0
        """How long these have between the limit and the moment."""

    def say(  # noqa: PLR0913, PLR0917 - the words of a row
        self,
        limit_s: float,
        grace_s: float,
        verdict: tuple[str, float],
        thread: int = 0,
        job: InClaim = _IN_CELL,
        at_s: float = 0.0,
    ) -> None:
        """Say what is to become of a job that does not end, and from which moment on."""
        words, at = self._words, self._at
        outcome, wait_s = verdict
        index = running_jobs.OUTCOMES.index(outcome)
        numbers = (grace_s * 1e6, limit_s * 1e6, index, wait_s * 1e6, thread)
        # Invariant: by one call. Else a job's thread and the control thread could each have
        # written a half of it.
        words[at : at + _ROW] = array("q", [int(at_s * 1e9), *job, *map(int, numbers)])
        if job != _IN_CELL:
            self.case = None
        if self._row == _FORCED_ROW:
            words[FORCED] = 1
        elif self._row >= words[LIMITED]:
            words[LIMITED] = self._row + 1

    def move(self, at_s: float) -> None:
        """Say when its process is to go (monotonic); 0: not yet."""
        self._words[self._at] = int(at_s * 1e9)


class HardLimits(running_jobs.RunningJobs):
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
        return HardLimit(self.words, running_jobs.THREADS_MAX + slot)

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
        row.say(0.0, grace_s, ("discarded", 0.0), 0, job, monotonic_ns() / 1e9 + grace_s)

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
        read = [self._read(row, hard) for row, hard in self._hard() if hard <= now_ns]
        late = [each for each in read if each is not None]
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
            if hard := words[_ROWS_AT + row * _ROW]:
                yield row, hard

    def _read(self, row: int, hard: int) -> Overdue | None:
        """Return what a row says of its job, None if that has ended since it was `hard`."""
        at = _ROWS_AT + row * _ROW
        _, *job, grace, limit, outcome, wait, thread = self.words[at : at + _ROW]
        said = InClaim(*job)
        if said == _IN_CELL:
            said = self._in_cell(row)
        # Invariant: read again at last. The next job in the cell has no moment, or a later one
        # than a moment that is over: so as long as this stands, all of it is about one job.
        if self.words[at] != hard:
            return None
        limits = limit / 1e6, grace / 1e6, running_jobs.OUTCOMES[outcome], wait / 1e6, thread
        return Overdue(said, hard, *limits)
