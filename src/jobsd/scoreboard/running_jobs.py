"""The jobs of a worker, in its scoreboard entry: for the recovery of its claims.

There are as many cells as jobs may run at once, each with the id of the job that runs. `ended`
is a ring of the jobs that have ended but may not be recorded yet: the id if the job succeeded,
its negative if not; then `endings` hold its outcome. Beside each job stands its claim: a
database that has gone back in time (a standby that was behind is promoted, a backup restored)
assigns ids of jobs again, but never ids of claims. And beside each running job stands its start
(monotonic): the monitor writes it to the database with the heartbeats, so that no start needs a
statement.

An ending outlives the process. It counts in its claim only, which stands beside the job's id:
not once the job is recorded, nor when the same process has claimed the job again.
"""

from __future__ import annotations

from collections.abc import Iterator

from jobsd.clock import monotonic_ns
from jobsd.jobs.policy import Ending
from jobsd.states.claims import InClaim

from .words import read_text, write_text

OUTCOMES = ("failed", "retried", "discarded", "snoozed")
ENDING_WORDS = 9
_TYPE_WORDS = ENDING_WORDS - 2


def write_ending(words: memoryview[int], index: int, ending: Ending) -> None:
    """Store an ending without the ids of job and claim; of a long error type, its end."""
    at = index * ENDING_WORDS
    words[at] = OUTCOMES.index(ending.outcome)
    words[at + 1] = int(ending.wait_s * 1e6)
    write_text(words, at + 2, ending.error_type.encode()[-_TYPE_WORDS * 8 :], _TYPE_WORDS)


def read_ending(words: memoryview[int], index: int, job_id: int, claim_id: int) -> Ending:
    """Return the ending that `write_ending` has stored."""
    at = index * ENDING_WORDS
    outcome, wait_us = words[at : at + 2]
    error_type = read_text(words, at + 2, _TYPE_WORDS)
    return Ending(job_id, claim_id, OUTCOMES[outcome], wait_us / 1e6, error_type)


CELLS_MAX = 1000
ENDED_MAX = 2048
"""The maximum number of jobs of a process that have ended and are not recorded."""

ENDED = 13
CELLS = 25
"""The number of cells in use: later ones were never touched."""
_CELLS_AT = 64
_CELL_CLAIMS_AT = _CELLS_AT + CELLS_MAX
_CELL_STARTS_AT = _CELL_CLAIMS_AT + CELLS_MAX
_ENDED_AT = _CELL_STARTS_AT + CELLS_MAX
_ENDED_CLAIMS_AT = _ENDED_AT + ENDED_MAX
ENDINGS_AT = _ENDED_CLAIMS_AT + ENDED_MAX
JOBS_END = ENDINGS_AT + ENDED_MAX * ENDING_WORDS
"""The pages of endings are never touched while all jobs succeed."""


class RunningJobs:
    """The part of an entry that holds jobs; `words` are the entry's."""

    __slots__ = ("words",)

    words: memoryview[int]

    def started(self, cell: int, job_id: int, claim_id: int) -> None:
        """Record that a job begins to run. Called by its thread, or by the loop's."""
        words = self.words
        if cell >= words[CELLS]:
            words[CELLS] = cell + 1
        # Invariant: a job never stands beside another one's claim, whenever we are killed.
        words[_CELLS_AT + cell] = 0
        words[_CELL_CLAIMS_AT + cell] = claim_id
        words[_CELL_STARTS_AT + cell] = monotonic_ns()
        words[_CELLS_AT + cell] = job_id

    def ended(self, job_id: int, claim_id: int) -> None:
        """Record that a job has succeeded. Called under the pool's lock."""
        words = self.words
        ended = words[ENDED]
        index = ended % ENDED_MAX
        words[_ENDED_AT + index] = 0
        words[_ENDED_CLAIMS_AT + index] = claim_id
        words[_ENDED_AT + index] = job_id
        words[ENDED] = ended + 1

    def ended_as(self, ending: Ending) -> None:
        """Record that a job has ended without success, under that lock, before `rest`."""
        index = self.words[ENDED] % ENDED_MAX
        self.words[_ENDED_AT + index] = 0
        write_ending(self.words[ENDINGS_AT:], index, ending)
        self.ended(-ending.job_id, ending.claim_id)

    def moved(self, job_id: int, claim_id: int, new_claim: int) -> None:
        """Record that a running job has a new claim; the job waits meanwhile."""
        words = self.words
        for cell in range(words[CELLS]):
            job, claim = _CELLS_AT + cell, _CELL_CLAIMS_AT + cell
            if (words[job], words[claim]) == (job_id, claim_id):
                words[job] = 0
                words[claim] = new_claim
                words[job] = job_id

    def rest(self, cell: int) -> None:
        """Record that no job runs in a cell."""
        self.words[_CELLS_AT + cell] = 0

    def clear_jobs(self) -> None:
        """Forget the jobs of a process that is gone."""
        words = self.words
        upto = words[CELLS]
        for at in (*range(_CELLS_AT, _CELLS_AT + upto), *range(_ENDED_AT, ENDINGS_AT)):
            words[at] = 0
        words[CELLS] = words[ENDED] = 0

    @property
    def runs_any(self) -> bool:
        """Whether any job runs, or has just ended; reads no page that was never touched."""
        return any(self._cells())

    def in_cells(self) -> dict[int, int]:
        """Return the jobs that run now, or ran when the process died, by cell."""
        return {cell: each.job_id for cell, each in self._in_cells()}

    def begun(self) -> list[int]:
        """Return the jobs that run, or have ended just now."""
        return [job for job in self._cells() if job]

    def only_job(self) -> int | None:
        """Return the running job, if it is the only one."""
        running = self.begun()
        return running[0] if len(running) == 1 else None

    def running(self) -> list[InClaim]:
        """Return the jobs that had started and not ended."""
        return sorted(each for _, each in self._in_cells())

    def ages_s(self) -> dict[int, float]:
        """Return for how long each job has been running, in seconds.

        If a job ends meanwhile, it may be the time of the next job in its cell.
        """
        now, starts = monotonic_ns(), self._cells(_CELL_STARTS_AT)
        cells = zip(self._cells(), starts, strict=True)
        return {job: (now - start) / 1e9 for job, start in cells if job}

    def succeeded(self) -> list[InClaim]:
        """Return the last jobs that have succeeded, whether they are recorded or not."""
        return sorted({each for each in self._ended() if each.job_id > 0})

    def endings(self) -> list[Ending]:
        """Return the endings of the last jobs without success, recorded or not."""
        words = self.words[ENDINGS_AT:]
        return [
            read_ending(words, index, -job_id, claim_id)
            for index, (job_id, claim_id) in enumerate(self._ended())
            if job_id < 0
        ]

    def _cells(self, words_at: int = _CELLS_AT) -> memoryview[int]:
        """Return one of the words of each cell that was used."""
        return self.words[words_at : words_at + self.words[CELLS]]

    def _in_cell(self, cell: int) -> InClaim:
        return InClaim(self.words[_CELLS_AT + cell], self.words[_CELL_CLAIMS_AT + cell])

    def _in_cells(self) -> Iterator[tuple[int, InClaim]]:
        jobs, claims = self._cells(), self._cells(_CELL_CLAIMS_AT)
        found = [
            (cell, InClaim(*each))
            for cell, each in enumerate(zip(jobs, claims, strict=True))
            if each[0]
        ]
        succeeded = set(self._ended()) if found else set[InClaim]()
        return ((cell, each) for cell, each in found if each not in succeeded)

    def _ended(self) -> Iterator[InClaim]:
        jobs = self.words[_ENDED_AT:_ENDED_CLAIMS_AT]
        return map(InClaim, jobs, self.words[_ENDED_CLAIMS_AT:ENDINGS_AT])
