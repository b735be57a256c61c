"""The threads that run jobs, and the two queues between them and the control thread.

Jobs go in by `post` and come out as outcomes by `collect`. The threads never wait for
the database. They wake the control thread only when there is reason to: when the last
job in hand has ended, when few are left to start, or when the first outcome since the
last collection lies there, whose recording must not wait for long.

A process that stood still for long (stopped, swapped out, cut off) may have been declared
dead, and what it had in hand may run elsewhere. So a job is only started while it is
known to be ours: for `trust_s` since its claim, or since the claims were read back.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from jobsd.clock import monotonic

from .perform import Outcome, perform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from jobsd.jobs.current import CurrentJob
    from jobsd.processes.slot import Slot

    from .perform import ClaimedJob


TRUST_S = 30.0
"""Half of the time after which a process is declared dead, unless that was changed."""


@dataclass(frozen=True, slots=True)
class Run:
    """One job that has ended, with the times of its start and its end (monotonic)."""

    job: ClaimedJob
    outcome: Outcome
    started: float
    ended: float


class Pool:
    """A fixed number of threads; one control thread posts and collects."""

    def __init__(
        self,
        threads: int,
        slot: Slot,
        wake: Callable[[], None],
        bind: Callable[[CurrentJob], AbstractContextManager[None]],
        trust_s: float = TRUST_S,
    ) -> None:
        self.size = threads
        self._slot = slot
        self._wake = wake
        self._bind = bind
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._todo: deque[ClaimedJob] = deque()
        self._runs: list[Run] = []
        self._started_at: list[float | None] = [None] * threads
        self._trust_s = trust_s
        self._verified_at = 0.0
        self.doubts = False
        """Whether jobs wait until the claims have been read back."""
        self._low_water = 0
        self._woken = False
        self._closed = False
        for number in range(threads):
            threading.Thread(
                target=self._work, args=(number,), name=f"job-{number}", daemon=True
            ).start()
        slot.set_threads(0, threads)

    def post(self, jobs: Iterable[ClaimedJob], low_water: int) -> None:
        """Hand jobs over; be woken when not more than `low_water` wait to be started."""
        with self._lock:
            before = len(self._todo)
            self._todo.extend(jobs)
            self._low_water = low_water
            self._woken = False
            self._arrived.notify(len(self._todo) - before)

    def collect(self) -> list[Run]:
        """Return the runs that have ended since the last call."""
        with self._lock:
            runs, self._runs = self._runs, []
            self._woken = False
            return runs

    def take_back(self, keep: int = 0) -> list[ClaimedJob]:
        """Return the jobs that were not started, but for the first `keep`."""
        with self._lock:
            back: list[ClaimedJob] = []
            while len(self._todo) > keep:
                back.append(self._todo.pop())
            return back

    def verify(self, holds: Callable[[ClaimedJob], bool], asked_at: float) -> None:
        """Drop the jobs that were not started and that `holds` denies: they are not ours.

        The others were ours when the claims were asked for.
        """
        with self._lock:
            self._todo = deque(job for job in self._todo if holds(job))
            self._verified_at = asked_at
            self.doubts = False
            self._arrived.notify_all()

    def forget_ended(self, job_ids: Iterable[int]) -> None:
        """Take note that these jobs, which have not succeeded, are recorded.

        They may be claimed here again, and if we die then, they have not run.
        """
        if ids := frozenset(job_ids):
            with self._lock:
                self._slot.forget_ended(ids)

    def close(self) -> None:
        """Let the threads end once there is nothing to start."""
        with self._lock:
            self._closed = True
            self._arrived.notify_all()

    @property
    def waiting(self) -> int:
        """How many jobs are in hand and not started."""
        return len(self._todo)

    @property
    def busy(self) -> int:
        """How many threads run a job."""
        return sum(started is not None for started in self._started_at)

    def running_for_s(self) -> list[float]:
        """Return for how long each running job has run."""
        now = monotonic()
        return [now - started for started in list(self._started_at) if started is not None]

    def _work(self, number: int) -> None:
        run: Run | None = None
        pid = os.getpid()
        while (job := self._exchange(number, run)) is not None:
            started = monotonic()
            outcome = perform(job, self._bind)
            if os.getpid() != pid:
                _leave(outcome)
            run = Run(job, outcome, started, monotonic())

    def _exchange(self, number: int, run: Run | None) -> ClaimedJob | None:
        """Give an outcome in, take the next job: one turn of the lock for both."""
        with self._lock:
            if run is not None:
                self._end(number, run)
            while not self._may_start():
                if self._closed:
                    return None
                self._slot.rest(number)
                self._arrived.wait()
            job = self._todo.popleft()
            self._started_at[number] = monotonic()
            self._slot.started(number, job.id)
            return job

    def _may_start(self) -> bool:
        """Return whether there is a job to start, which is ours for certain."""
        if not self._todo:
            return False
        known_at = max(self._todo[0].claimed_at, self._verified_at)
        if monotonic() - known_at < self._trust_s:
            return True
        self.doubts = True
        self._wake()
        return False

    def _end(self, number: int, run: Run) -> None:
        self._slot.ended(run.job.id, succeeded=run.outcome.verdict.outcome == "finished")
        self._started_at[number] = None
        self._runs.append(run)
        few = len(self._todo) <= self._low_water
        last = not self._todo and self.busy == 0
        if last or (not self._woken and (few or len(self._runs) == 1)):
            self._woken = True
            self._wake()


def _leave(outcome: Outcome) -> NoReturn:
    """End a process that a job has forked and let come back from the job.

    It is a copy of the worker, with the jobs that the worker has in hand: they are not its.
    """
    error = outcome.exception
    status = int(error is not None)
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    try:
        if error is not None and not isinstance(error, SystemExit):
            traceback.print_exception(error)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status & 0xFF)
