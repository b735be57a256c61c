"""The threads that run jobs, and the two ways between them and the control thread.

Jobs go in by `post` and come out as outcomes by `collect`. The threads never wait for
the database. They wake the control thread only when there is reason to: when few jobs are
left to start, down to none. While more wait, the control thread comes round by itself
before their outcomes get old.

A process that stood still for long (stopped, swapped out, cut off) may have been declared
dead, and what it had in hand may run elsewhere. So a job is only started while it is
known to be ours: for `trust_s` since its claim, or since the claims were read back.
"""

from __future__ import annotations

import os
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from jobsd.clock import monotonic
from jobsd.errors import Error
from jobsd.instruments.events import emit

from .hand import Hand, leave
from .perform import SUCCESS, Outcome, described, ending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jobsd.processes.entry import ScoreboardEntry

    from .hand import Waiting
    from .perform import ClaimedJob

    Rank = Callable[[ClaimedJob], tuple[int, int]]
    """By which one job is more urgent than another."""

TRUST_S = 30.0
"""Half of the time after which a process is declared dead, unless that was changed."""
FRESH = 2 / 3
"""Of it: how old the heartbeat in our row may be when we claim. So the two together leave a
sixth of that time, more than by what a heartbeat that stands still may seem to move."""


LOOK_S = 1.0
"""How often we look whether the threads live."""


class ThreadDiedError(Error):
    """A thread that runs jobs has ended; the log tells by which error."""

    def __init__(self, thread: str) -> None:
        self.thread = thread
        super().__init__(f"the thread {thread} has ended, with the job that it had in hand")


class Run(NamedTuple):
    """One job that has ended, with the times of its start and its end (monotonic)."""

    job: ClaimedJob
    outcome: Outcome
    started: float
    ended: float


class Pool:
    """A fixed number of threads; one control thread posts and collects.

    The queue of the jobs to start is the one that is written in C: with a condition in
    Python, waking a thread took as long as running three jobs.
    """

    def __init__(
        self,
        threads: int,
        entry: ScoreboardEntry,
        wake: Callable[[], None],
        trust_s: float = TRUST_S,
    ) -> None:
        self.size = threads
        self._entry = entry
        self._wake = wake
        self._todo: SimpleQueue[Waiting | None] = SimpleQueue()
        # Guards what the threads write and the control thread takes away.
        self._lock = threading.Lock()
        self._runs: list[Run] = []
        self._doubted: list[ClaimedJob] = []
        self._woken = False
        # Written by the control thread alone.
        self._posted = 0
        self._low_water = 0
        self._last_rank = (0, 0)
        self._started_at: list[float | None] = [None] * threads
        self._trust_s = trust_s
        self._threads = [
            threading.Thread(target=self._work, args=(n,), name=f"job-{n}", daemon=True)
            for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()
        self._look_at = monotonic() + LOOK_S
        entry.set_threads(0, threads)

    # What the control thread calls.

    def look(self) -> None:
        """See to it that all threads live: what one had in hand when it ended, nobody else has.

        Raises:
            ThreadDiedError: one does not, and only the end of the process frees its job.
        """
        if monotonic() < self._look_at:
            return
        self._look_at = monotonic() + LOOK_S
        for thread in self._threads:
            if not thread.is_alive():
                raise ThreadDiedError(thread.name)

    def post(self, jobs: list[ClaimedJob], asked_at: float, low_water: int, rank: Rank) -> None:
        """Hand jobs over that were claimed then; more urgent ones go before those that wait.

        The control thread is woken when not more than `low_water` wait to be started.
        """
        self._low_water = low_water
        self._posted += len(jobs)
        posted = [(job, asked_at) for job in jobs]
        first, last = rank(jobs[0]), rank(jobs[-1])
        if self.waiting and first < self._last_rank:
            last = max(last, self._last_rank)
            posted = sorted([*self._drain(), *posted], key=lambda each: rank(each[0]))
        self._last_rank = last
        self._refill(posted)

    def collect(self) -> list[Run]:
        """Return the runs that have ended since the last call."""
        with self._lock:
            runs, self._runs = self._runs, []
            self._woken = False
        self._posted -= len(runs)
        return runs

    def take_back(self, keep: int = 0) -> list[ClaimedJob]:
        """Return the jobs that were not started, but for the first `keep`."""
        waiting = self._drain()
        self._refill(waiting[:keep])
        self._posted -= len(waiting[keep:])
        return [job for job, _ in waiting[keep:]]

    def verify(self, holds: Callable[[ClaimedJob], bool], asked_at: float) -> None:
        """Drop the jobs that were not started and that `holds` denies: they are not ours.

        The others were ours when the claims were asked for.
        """
        with self._lock:
            doubted, self._doubted = self._doubted, []
        waiting = [*doubted, *(job for job, _ in self._drain())]
        ours = [(job, asked_at) for job in waiting if holds(job)]
        self._posted -= len(waiting) - len(ours)
        self._refill(ours)

    def tell_again(self, runs: Iterable[Run]) -> None:
        """Say anew how jobs ended that are not recorded yet: the entry forgets what is old."""
        with self._lock:
            for job, outcome, *_ in runs:
                if outcome is SUCCESS:
                    self._entry.ended(job.id, job.claim_id)
                else:
                    self._entry.ended_as(ending(job, outcome))

    def close(self) -> None:
        """Let the threads end once there is nothing to start."""
        for _ in range(self.size):
            self._todo.put(None)

    @property
    def doubts(self) -> bool:
        """Whether jobs wait until the claims have been read back."""
        return bool(self._doubted)

    @property
    def waiting(self) -> int:
        """How many jobs are in hand and not started."""
        return self._todo.qsize() + len(self._doubted)

    @property
    def in_hand(self) -> int:
        """How many jobs have not ended. Exact, when the control thread asks."""
        return self._posted - len(self._runs)

    @property
    def uncollected(self) -> int:
        """How many jobs were posted and not collected. Exact, when the control thread asks."""
        return self._posted

    @property
    def flows(self) -> bool:
        """Whether more jobs wait than those of which we are told when they have ended."""
        return self._todo.qsize() > self._low_water

    @property
    def busy(self) -> int:
        """How many threads run a job."""
        return self.size - self._started_at.count(None)

    def running_for_s(self) -> list[float]:
        """Return for how long each running job has run."""
        now = monotonic()
        return [now - started for started in list(self._started_at) if started is not None]

    def _drain(self) -> list[Waiting]:
        waiting: list[Waiting] = []
        while True:
            try:
                next_one = self._todo.get_nowait()
            except Empty:
                return waiting
            if next_one is not None:
                waiting.append(next_one)

    def _refill(self, waiting: Iterable[Waiting]) -> None:
        for each in waiting:
            self._todo.put(each)

    # What the threads run.

    def _work(self, number: int) -> None:
        hand = Hand()
        while True:
            try:
                self._serve(number, hand)
            except BaseException as error:
                if not hand.survives(error):
                    raise
            else:
                return

    def _serve(self, number: int, hand: Hand) -> None:
        """Run jobs until the pool is closed. May be begun anew wherever it was interrupted."""
        if hand.stray is not None:
            self._tell_stray(hand)
        while (waiting := self._next(number, hand)) is not None:
            job, ours_at = waiting
            if (outcome := hand.outcome) is None:
                started = monotonic()
                if started - ours_at >= self._trust_s:
                    self._doubt(number, job, hand)
                    continue
                hand.started = self._started_at[number] = started
                self._entry.started(number, job.id, job.claim_id)
                outcome = hand.run(job)
            if os.getpid() != hand.pid:
                leave(outcome)
            self._end(number, job, outcome, hand)
        self._entry.rest(number)

    def _next(self, number: int, hand: Hand) -> Waiting | None:
        if not hand.taken and not hand.take(self._todo, wait=False):
            self._entry.rest(number)
            hand.take(self._todo, wait=True)
        return hand.taken[0]

    def _tell_stray(self, hand: Hand) -> None:
        error, hand.stray = hand.stray, None
        emit("thread.failed", error=error, thread=threading.current_thread().name, ours=True)
        # It may have come between an outcome and its being told.
        self._wake()

    def _doubt(self, number: int, job: ClaimedJob, hand: Hand) -> None:
        self._entry.rest(number)
        self._started_at[number] = None
        with self._lock:
            hand.pass_on(job, self._doubted)
        self._wake()

    def _end(self, number: int, job: ClaimedJob, outcome: Outcome, hand: Hand) -> None:
        ended = monotonic()
        if outcome is not SUCCESS:
            outcome = self._end_badly(number, job, outcome, hand)
        with self._lock:
            if not hand.on_board:
                self._entry.ended(job.id, job.claim_id)
                hand.on_board = True
            self._started_at[number] = None
            hand.pass_on(Run(job, outcome, hand.started, ended), self._runs)
            wake = not self._woken and self._todo.qsize() <= self._low_water
            self._woken = self._woken or wake
        if wake:
            self._wake()

    def _end_badly(self, number: int, job: ClaimedJob, outcome: Outcome, hand: Hand) -> Outcome:
        if not hand.on_board:
            how = ending(job, outcome)
            with self._lock:
                self._entry.ended_as(how)
                hand.on_board = True
        # Only now: it reads sources, which takes milliseconds, and calls what is not ours.
        outcome = described(outcome)
        # Else the job would seem to run as soon as it is claimed here again.
        self._entry.rest(number)
        return outcome
