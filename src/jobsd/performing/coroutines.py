"""Runs coroutines on the loop of the process, many at once, and functions in helper threads.

Each job has a cell of the scoreboard entry while it runs, whatever it is: there are as many
cells as jobs may run at once.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue

from jobsd.clock import monotonic
from jobsd.jobs import registry
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.interrupts import Interruptible
from jobsd.processes.forks import original_mark
from jobsd.scoreboard.entry import ScoreboardEntry

from .hand import Hand, check_alive, leave
from .perform import SUCCESS, Outcome, described, ending, expired, made_run, remembered_id
from .runner import TRUST_S, Runner
from .series import Series, Waiting

REST_S = 10.0
"""A thread without a job ends after this time."""

Given = tuple[int, ClaimedJob] | None
"""A cell with its job; None ends a thread."""


class Coroutines(Runner):
    """A loop and its helper threads; each job is claimed alone, none as part of a series."""

    runs_series = False

    def __init__(
        self,
        size: int,
        entry: ScoreboardEntry,
        wake: Callable[[], None],
        trust_s: float = TRUST_S,
    ) -> None:
        super().__init__(size, entry, wake, trust_s)
        entry.coroutines_max = size
        self._asynchronous = registry.asynchronous()
        self._free = list(range(size - 1, -1, -1))
        self._helpers = Helpers(self._interrupter.threads, self._end)
        self._starting = False

    # Called by the control thread.

    def check_threads(self) -> None:
        """Check that no helper thread has ended with a job."""
        super().check_threads()
        self._helpers.check()

    def close(self) -> None:
        """Let the loop and the helper threads end."""
        super().close()
        self._helpers.close()

    def _refill(self, waiting: Iterable[Waiting | Series]) -> None:
        super()._refill(waiting)
        # Also after jobs were taken out: the loop may have found the queue empty meanwhile.
        if self._todo.qsize():
            self._loop.call(self._start)

    # Called by the loop's thread.

    def _start(self) -> None:
        """Start waiting jobs, up to the capacity."""
        self._starting = False
        todo, free, entry, functions = self._todo, self._free, self._entry, self._helpers
        begin, asynchronous = self._loop.begin, self._asynchronous
        while free:
            try:
                item = todo.get_nowait()
            except Empty:
                return
            if not isinstance(item, tuple):
                continue
            job, ours_at = item
            started = monotonic()
            if started - ours_at >= self._trust_s:
                with self.lock:
                    self._doubted.append(job)
                self._wake()
                continue
            cell = free.pop()
            self.started_at[cell] = started
            entry.started(cell, job.id, job.claim_id)
            if job.class_name in asynchronous:
                begin(cell, job)
            elif job.expires_at is not None and started >= job.expires_at:
                self._end(cell, job, expired(job))
            else:
                functions.run(cell, job)

    def _end_on_loop(self, cell: int, job: ClaimedJob, outcome: Outcome) -> None:
        self._end(cell, job, outcome)

    # Called by the loop's thread, and by those of functions.

    def _end(self, cell: int, job: ClaimedJob, outcome: Outcome) -> None:
        started, ended, returned = self.started_at[cell] or 0.0, monotonic(), False
        if outcome is not SUCCESS:
            job, outcome, returned = self._decided(cell, job, outcome)
        with self.lock:
            if returned:
                self._returned.append(job)
            else:
                if outcome.exception is None:
                    self._entry.ended(remembered_id(job, outcome), job.claim_id)
                self._runs.append(made_run((job, outcome, started, ended)))
            wake = not self._woken and (returned or self._todo.qsize() <= self._low_water)
            self._woken = self._woken or wake
        self._entry.rest(cell)
        self.started_at[cell] = None
        self._free.append(cell)
        if wake:
            self._wake()
        if not self._starting and self._todo.qsize():
            # One call for all jobs that end in this iteration of the loop.
            self._starting = True
            self._loop.call(self._start)

    def _decided(
        self, cell: int, job: ClaimedJob, outcome: Outcome
    ) -> tuple[ClaimedJob, Outcome, bool]:
        """Return the outcome of a job without plain success, and whether it is released."""
        if outcome.completes is not None:
            job = job._replace(claim_id=outcome.completes)
        if not outcome.begun:
            return job, outcome, False
        if outcome.exception is None:
            if outcome.ttl_s is not None:
                self._entry.rest(cell)  # see `remembered_id`
            return job, outcome, False
        if not outcome.drained:
            with self.lock:
                self._entry.ended_as(ending(job, outcome))
        elif outcome.completes is None:
            return job, outcome, True
        # Of a drained one nothing is noted: if this process dies now, it is released as well.
        return job, described(outcome), False


class Helpers:
    """As many threads as functions run at once, or have run a moment ago."""

    def __init__(
        self,
        seats: Sequence[Interruptible],
        ended: Callable[[int, ClaimedJob, Outcome], None],
    ) -> None:
        """Begin with none; a thread calls `ended` with the cell of a job that has ended."""
        self._seats, self._ended = seats, ended
        self._original = original_mark()
        self._todo: SimpleQueue[Given] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        """The number of threads for which no job was posted."""
        self.threads: list[threading.Thread] = []

    def run(self, cell: int, job: ClaimedJob) -> None:
        """Run a job in an idle thread, or in a new one. Called by the loop's thread."""
        with self._lock:
            is_new = self._idle <= 0
            self._idle -= not is_new
        self._todo.put((cell, job))
        if is_new:
            thread = threading.Thread(target=self._work, name="job-helper", daemon=True)
            thread.start()
            self.threads.append(thread)

    def check(self) -> None:
        """Check that no thread has ended with a job. Called by the control thread.

        Raises:
            ThreadDiedError: a thread has ended; only the end of the process frees its job.
        """
        check_alive([*self.threads])

    def close(self) -> None:
        """Let the threads end."""
        for _ in self.threads:
            self._todo.put(None)

    # Called by the threads.

    def _work(self) -> None:
        hand, taken = Hand(self._seats[0]), deque[Given]()
        while True:
            try:
                self._serve(hand, taken)
            except BaseException as stray:
                if not hand.survives(stray):
                    raise
            else:
                self.threads.remove(threading.current_thread())
                return

    def _serve(self, hand: Hand, taken: deque[Given]) -> None:
        """Run jobs until none comes for a while. May be called again after an interruption."""
        if hand.stray is not None:
            hand.report_stray()
        while taken or self._take(taken):
            if taken[0] is None:
                return
            cell, job = taken[0]
            hand.thread = seat = self._seats[cell]
            if (outcome := hand.outcome) is None:
                seat.enter()
                # The row of the cell names the thread: that of the last job may be another.
                seat.hard.case = None
                outcome = hand.run(job)
            if not self._original[0]:
                leave(outcome)
            # Invariant: from here on no step can be repeated.
            hand.adrift = True
            seat.leave()
            with self._lock:
                self._idle += 1
            self._ended(cell, job, outcome)
            del taken[0]
            hand.outcome = None
            hand.strays = 0
            hand.adrift = False

    def _take(self, taken: deque[Given]) -> bool:
        """Wait for a job; return False if the thread has rested for long enough."""
        while True:
            try:
                # Invariant: one call, as in `Hand.take`.
                taken.extend(map(self._todo.get, (True,), (REST_S,)))
            except Empty:
                with self._lock:
                    if self._idle > 0:
                        self._idle -= 1
                        return False
            else:
                return True
