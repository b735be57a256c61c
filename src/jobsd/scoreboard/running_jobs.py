"""The jobs of a worker, in its scoreboard entry: for the recovery of its claims.

`cells` hold the id of the job that each thread runs. `ended` is a ring of the jobs that have
ended but may not be recorded yet: the id if the job succeeded, its negative if not; then
`endings` hold its outcome. Beside each job stands its claim: a database that has gone back in
time (a standby that was behind is promoted, a backup restored) assigns ids of jobs again, but
never ids of claims. And beside each running job stands its start (monotonic): the monitor
writes it to the database with the heartbeats, so that no start needs a statement.

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


THREADS_MAX = 256
COROUTINES_MAX = 1000
ENDED_MAX = 2048
"""The maximum number of jobs of a process that have ended and are not recorded."""

ENDED = 13
JOBS_AT = 64
_CELLS_AT = JOBS_AT
_CELL_CLAIMS_AT = _CELLS_AT + THREADS_MAX
_ENDED_AT = _CELL_CLAIMS_AT + THREADS_MAX
_ENDED_CLAIMS_AT = _ENDED_AT + ENDED_MAX
ENDINGS_AT = _ENDED_CLAIMS_AT + ENDED_MAX
_ENDINGS_END = ENDINGS_AT + ENDED_MAX * ENDING_WORDS
"""The pages of endings are never touched while all jobs succeed."""
COROUTINES = 25
"""The number of cells in which coroutines have run: later ones were never touched."""
_SLOTS_AT = _ENDINGS_END
_SLOT_CLAIMS_AT = _SLOTS_AT + COROUTINES_MAX
_CELL_STARTS_AT = _SLOT_CLAIMS_AT + COROUTINES_MAX
_SLOT_STARTS_AT = _CELL_STARTS_AT + THREADS_MAX
JOBS_END = _SLOT_STARTS_AT + COROUTINES_MAX


class RunningJobs:
    """The part of an entry that holds jobs; `words` are the entry's."""

    __slots__ = ("words",)

    words: memoryview[int]

    def started(self, thread: int, job_id: int, claim_id: int) -> None:
        """Record that a thread begins to run a job. Called by that thread."""
        words = self.words
        # Invariant: a job never stands beside another one's claim, whenever we are killed.
        words[_CELLS_AT + thread] = 0
        words[_CELL_CLAIMS_AT + thread] = claim_id
        words[_CELL_STARTS_AT + thread] = monotonic_ns()
        words[_CELLS_AT + thread] = job_id

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
        at_threads = zip(
            range(_CELLS_AT, _CELL_CLAIMS_AT), range(_CELL_CLAIMS_AT, _ENDED_AT), strict=True
        )
        slots = words[COROUTINES]
        at_slots = zip(
            range(_SLOTS_AT, _SLOTS_AT + slots),
            range(_SLOT_CLAIMS_AT, _SLOT_CLAIMS_AT + slots),
            strict=True,
        )
        for job, claim in (*at_threads, *at_slots):
            if (words[job], words[claim]) == (job_id, claim_id):
                words[job] = 0
                words[claim] = new_claim
                words[job] = job_id

    def rest(self, thread: int) -> None:
        """Record that a thread runs no job."""
        self.words[_CELLS_AT + thread] = 0

    def coroutine_started(self, slot: int, job_id: int, claim_id: int) -> None:
        """Record that a coroutine begins in a free cell. Called by the loop's thread."""
        words = self.words
        # Invariant: as above; the cell has no job yet.
        words[_SLOT_CLAIMS_AT + slot] = claim_id
        words[_SLOT_STARTS_AT + slot] = monotonic_ns()
        words[_SLOTS_AT + slot] = job_id
        if slot >= words[COROUTINES]:
            words[COROUTINES] = slot + 1

    def coroutine_rests(self, slot: int) -> None:
        """Record that a cell runs no coroutine."""
        self.words[_SLOTS_AT + slot] = 0

    def clear_coroutines(self) -> None:
        """Clear the cells of coroutines."""
        words = self.words
        for at in range(_SLOTS_AT, _SLOTS_AT + words[COROUTINES]):
            words[at] = 0
        words[COROUTINES] = 0

    def coroutines(self) -> list[InClaim]:
        """Return the coroutines that run now, or ran when the process died."""
        words, upto = self.words, self.words[COROUTINES]
        jobs = words[_SLOTS_AT : _SLOTS_AT + upto]
        claims = words[_SLOT_CLAIMS_AT : _SLOT_CLAIMS_AT + upto]
        found = [InClaim(*each) for each in zip(jobs, claims, strict=True) if each[0]]
        ended = set(self._ended()) if found else set[InClaim]()
        return [each for each in found if each not in ended]

    @property
    def runs_any(self) -> bool:
        """Whether any job runs, or has just ended; reads no page that was never touched."""
        words = self.words
        slots = words[_SLOTS_AT : _SLOTS_AT + words[COROUTINES]]
        return any(words[_CELLS_AT:_CELL_CLAIMS_AT]) or any(slots)

    def in_threads(self) -> dict[int, int]:
        """Return the jobs that run now, or ran when the process died, by thread."""
        return {thread: each.job_id for thread, each in self._in_threads()}

    def at_threads(self) -> list[int]:
        """Return the jobs in the threads' cells: they run, or have ended just now."""
        return [job for job in self.words[_CELLS_AT:_CELL_CLAIMS_AT] if job]

    def only_job(self) -> int | None:
        """Return the running job, if it is the only one."""
        running = self.at_threads()
        running += [each.job_id for each in self.coroutines()]
        return running[0] if len(running) == 1 else None

    def running(self) -> list[InClaim]:
        """Return the jobs that had started and not ended."""
        return sorted([*(each for _, each in self._in_threads()), *self.coroutines()])

    def ages_s(self) -> dict[int, float]:
        """Return for how long each job has been running, in seconds.

        If a job ends meanwhile, it may be the time of the next job in its cell.
        """
        words, upto, now = self.words, self.words[COROUTINES], monotonic_ns()
        cells = zip(
            words[_CELLS_AT:_CELL_CLAIMS_AT],
            words[_CELL_STARTS_AT:_SLOT_STARTS_AT],
            strict=True,
        )
        slots = zip(
            words[_SLOTS_AT : _SLOTS_AT + upto],
            words[_SLOT_STARTS_AT : _SLOT_STARTS_AT + upto],
            strict=True,
        )
        return {job: (now - start) / 1e9 for job, start in (*cells, *slots) if job}

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

    def _in_cell(self, row: int) -> InClaim:
        """Return the job in a cell; cells of coroutines are numbered after the threads'."""
        slot = row - THREADS_MAX
        if slot < 0:
            return InClaim(self.words[_CELLS_AT + row], self.words[_CELL_CLAIMS_AT + row])
        return InClaim(self.words[_SLOTS_AT + slot], self.words[_SLOT_CLAIMS_AT + slot])

    def _in_threads(self) -> Iterator[tuple[int, InClaim]]:
        succeeded = set(self._ended())
        cells = self.words[_CELLS_AT:_CELL_CLAIMS_AT], self.words[_CELL_CLAIMS_AT:_ENDED_AT]
        for thread, each in enumerate(map(InClaim, *cells)):
            if each.job_id and each not in succeeded:
                yield thread, each

    def _ended(self) -> Iterator[InClaim]:
        jobs = self.words[_ENDED_AT:_ENDED_CLAIMS_AT]
        return map(InClaim, jobs, self.words[_ENDED_CLAIMS_AT:ENDINGS_AT])
