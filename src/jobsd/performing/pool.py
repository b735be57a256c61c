"""The threads that run jobs: each takes one after the other, and a series as a whole.

A coroutine runs on the loop of the process, and the thread that has taken it waits for its end.
The threads never wait for the database.
"""

import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

from jobsd.clock import monotonic
from jobsd.jobs import registry
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.processes.forks import original_mark
from jobsd.scoreboard.entry import ScoreboardEntry

from .hand import CHECK_S, Hand, check_alive, leave
from .perform import Outcome, Run, described, ending, expired, made_run, remembered_id
from .runner import TRUST_S, Runner
from .series import Waiting


class Pool(Runner):
    """A fixed number of threads."""

    def __init__(
        self,
        threads: int,
        entry: ScoreboardEntry,
        wake: Callable[[], None],
        trust_s: float = TRUST_S,
    ) -> None:
        super().__init__(threads, entry, wake, trust_s)
        self._original = original_mark()
        self._asynchronous = registry.asynchronous()
        self._answers: list[SimpleQueue[Outcome]] = [SimpleQueue() for _ in range(threads)]
        self.threads = [
            threading.Thread(target=self._work, args=(n,), name=f"job-{n}", daemon=True)
            for n in range(threads)
        ]
        """The threads of the jobs; each ends after `close`, or with its process."""
        for thread in self.threads:
            thread.start()
        self._check_at = monotonic() + CHECK_S

    # Called by the control thread.

    def check_threads(self) -> None:
        """Check that all threads live: no other thread has the job of one that has ended."""
        super().check_threads()
        if monotonic() >= self._check_at:
            self._check_at = monotonic() + CHECK_S
            check_alive(self.threads)

    def close(self) -> None:
        """End the threads once no job is left to start."""
        for _ in range(self.size):
            self._todo.put(None)
        super().close()

    # Called by the loop's thread.

    def _end_on_loop(self, cell: int, job: ClaimedJob, outcome: Outcome) -> None:  # noqa: ARG002
        self._answers[cell].put(outcome)

    # Called by the threads.

    def _work(self, number: int) -> None:
        thread = self._interrupter.threads[number]
        thread.enter()
        hand = Hand(thread)
        while True:
            try:
                self._serve(number, hand)
            except BaseException as error:
                if not hand.survives(error):
                    raise
            else:
                thread.leave()
                return

    def _serve(self, number: int, hand: Hand) -> None:
        """Run jobs until the pool is closed. May be called again after an interruption."""
        if hand.stray is not None:
            hand.report_stray()
            self._wake()
        while (waiting := self._next(number, hand)) is not None:
            job, ours_at = waiting
            if (outcome := hand.outcome) is None:
                started = monotonic()
                doubted = hand.series is not None and hand.series.doubted
                if doubted or started - ours_at >= self._trust_s:
                    self._skip(number, hand, job)
                    continue
                if job.expires_at is not None and started >= job.expires_at:
                    self._skip(number, hand, job, Run(job, expired(job), started, started))
                    continue
                hand.started = self.started_at[number] = started
                self._entry.started(number, job.id, job.claim_id)
                if job.class_name in self._asynchronous:
                    outcome = hand.wait_for(partial(self._run_on_loop, number, job))
                else:
                    outcome = hand.run(job)
            if not self._original[0]:
                leave(outcome)
            self._end(number, job, outcome, hand)
        self._entry.rest(number)

    def _run_on_loop(self, number: int, job: ClaimedJob) -> Outcome:
        self._loop.call(partial(self._loop.begin, number, job))
        return self._answers[number].get()

    def _next(self, number: int, hand: Hand) -> Waiting | None:
        while True:
            if hand.taken:
                first = hand.taken[0]
                if first is None or isinstance(first, tuple):
                    return first
                # Invariant: this branch is idempotent.
                hand.series, first.thread = first, number
                del hand.taken[0]
            elif hand.series is not None:
                hand.follow(hand.series, self.lock)
            elif not hand.take(self._todo, wait=False):
                self._entry.rest(number)
                hand.take(self._todo, wait=True)

    def _skip(self, number: int, hand: Hand, job: ClaimedJob, late: Run | None = None) -> None:
        """Pass on a job without starting it: its claim is in doubt, or it is too `late`."""
        self._entry.rest(number)
        self.started_at[number] = None
        with self.lock:
            if late is None and hand.series is not None:
                hand.series.doubted = True
            if late is None:
                hand.pass_on(job, self._doubted)
            else:
                hand.pass_on(late, self._runs)
        self._wake()

    def _end(self, number: int, job: ClaimedJob, outcome: Outcome, hand: Hand) -> None:
        ended = monotonic()
        job_id = job.id
        if outcome.exception is not None:
            job = job if outcome.completes is None else job._replace(claim_id=outcome.completes)
            outcome = self._end_badly(number, job, outcome, hand)
        elif outcome.ttl_s is not None:
            self._entry.rest(number)
            job_id = remembered_id(job, outcome)
        with self.lock:
            if not hand.on_board:
                self._entry.ended(job_id, job.claim_id)
                hand.on_board = True
            self.started_at[number], series = None, hand.series
            if outcome.drained and outcome.completes is None:
                hand.pass_on(job, self._returned)
            else:
                hand.pass_on(made_run((job, outcome, hand.started, ended)), self._runs)
            queued, low = self._todo.qsize(), self._low_water
            wake = not self._woken and (
                queued <= low if series is None else series.runs_out(queued)
            )
            self._woken = self._woken or wake
        if wake:
            self._wake()

    def _end_badly(self, number: int, job: ClaimedJob, outcome: Outcome, hand: Hand) -> Outcome:
        if not outcome.begun or outcome.drained:
            hand.on_board = True  # If this process dies now, the job is released untouched.
        elif not hand.on_board:
            how = ending(job, outcome)
            with self.lock:
                self._entry.ended_as(how)
                hand.on_board = True
        # Only now: it reads sources, which takes milliseconds, and calls foreign code.
        outcome = described(outcome)
        # Otherwise the job would seem to run as soon as it is claimed here again.
        self._entry.rest(number)
        return outcome
