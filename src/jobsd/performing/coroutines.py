"""The event loop that runs asynchronous jobs: one per process, in a thread of its own.

Loop and thread begin with the first job. Jobs go in by `post` and come out by `collect`, as
with the pool of threads. The loop never waits for the database. Each job is a task in a context
of its own; objects that jobs share (clients, engines) live as long as the loop.

A job that blocks the loop holds up all other jobs. The loop sends a heartbeat every half
second; when heartbeats stop, `check_loop` reports the loop's stack. After `hang_timeout` the
process must exit, as it does for a job that has exceeded its time limit.
"""

import asyncio
import contextlib
import gc
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Collection, Iterable
from contextvars import Context
from dataclasses import replace
from functools import partial

from jobsd.clock import monotonic
from jobsd.events.events import emit
from jobsd.jobs import interrupts
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.interrupts import Interrupt, Interruptible
from jobsd.jobs.policy import Verdict
from jobsd.jobs.time_limits import hang_timeout_s
from jobsd.scoreboard.entry import ScoreboardEntry

from .interrupter import facts_of, interrupt_task
from .perform import (
    SUCCESS,
    Outcome,
    Run,
    described,
    ending,
    limit_blocking,
    made_run,
    perform_coroutine,
    perform_in_time,
    remembered_id,
)
from .series import Waiting, sift

BEAT_S = 0.5
BLOCKED_S = 1.0
"""The job that blocks the loop is reported after this time."""
_FRAMES_MAX = 30
SOON_S = 0.02
"""Time that cancelled tasks get before `_end_unbegun` ends jobs that never began."""


class Coroutines:
    """At most `size` asynchronous jobs at once; one control thread posts and collects.

    `lock` guards the ring of the scoreboard entry; the threads of the pool write to it as well.
    """

    def __init__(
        self,
        size: int,
        entry: ScoreboardEntry,
        wake: Callable[[], None],
        trust_s: float,
        lock: threading.Lock,
    ) -> None:
        self.size = size
        self._entry = entry
        self._wake = wake
        self._trust_s = trust_s
        self._lock = lock
        self._todo: deque[Waiting] = deque()
        self._runs: list[Run] = []
        self._doubted: list[ClaimedJob] = []
        self._returned: list[ClaimedJob] = []
        self._woken = False
        self._posted = self._low_water = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining = self._starting = self._closed = False
        # Used only by the loop's thread.
        self._free = list(range(size - 1, -1, -1))
        self._hard = [entry.hard_limit_of_slot(slot) for slot in range(size)]
        self._running: dict[int, tuple[ClaimedJob, float, Interruptible]] = {}
        self._beaten_at = 0.0
        self._reported_at = self._ended_at = 0.0

    # Called by the control thread.

    def post(self, jobs: Iterable[ClaimedJob], asked_at: float, low_water: int) -> None:
        """Add jobs claimed at `asked_at`; wake the control thread at `low_water` jobs."""
        waiting = [(job, asked_at) for job in jobs]
        self._low_water = low_water
        self._posted += len(waiting)
        self._todo.extend(waiting)
        if waiting:
            self._call(self._start)

    def collect(self) -> list[Run]:
        """Return the runs that have ended since the last call."""
        if not self._posted:
            return []
        with self._lock:
            runs, self._runs = self._runs, []
            self._woken = False
        self._posted -= len(runs)
        return runs

    def take_returned(self) -> list[ClaimedJob]:
        """Return the jobs that were cancelled by a drain: they are released."""
        with self._lock:
            returned, self._returned = self._returned, []
        self._posted -= len(returned)
        return returned

    def take_back(self, keep: int = 0) -> list[ClaimedJob]:
        """Return the jobs that were not started, except the first `keep`."""
        back: list[ClaimedJob] = []
        while len(self._todo) > keep:
            try:
                back.append(self._todo.pop()[0])
            except IndexError:
                break
        self._posted -= len(back)
        return back

    def take_out(self, meant: Collection[tuple[int, int]]) -> list[ClaimedJob]:
        """Remove the given jobs, by id and claim, if they were not started; return them."""
        out: list[ClaimedJob] = []
        waiting: list[Waiting] = []
        with contextlib.suppress(IndexError):
            while True:
                waiting.append(self._todo.pop())
        left = sift(reversed(waiting), meant, out)
        self._todo.extend(left)
        if left:
            # The loop may have found the queue empty meanwhile.
            self._call(self._start)
        self._posted -= len(out)
        return out

    def verify(self, holds: Callable[[ClaimedJob], bool], asked_at: float) -> None:
        """Drop waiting jobs for which `holds` returns False: they are no longer ours."""
        with self._lock:
            doubted, self._doubted = self._doubted, []
        jobs = [*doubted, *reversed(self.take_back())]
        self._posted -= len(doubted)
        if ours := [job for job in jobs if holds(job)]:
            self.post(ours, asked_at, self._low_water)

    def interrupt(self, job_id: int, kind: type[BaseException]) -> bool:
        """Cancel the task of a job; return whether it runs here."""
        for job, _, seat in [*self._running.values()]:
            if job.id == job_id and seat.job is job:
                self._call(partial(interrupt_task, seat, Interrupt(job, kind)))
                return True
        return False

    def seats(self) -> list[Interruptible]:
        """Return the `Interruptible` of each running job."""
        return [seat for _, _, seat in [*self._running.values()]]

    def drain(self, within_s: float) -> None:
        """After `within_s`, cancel jobs that still run, releasing them without an attempt."""
        if self._loop is not None:
            self._call(partial(self._loop.call_later, within_s, self._cancel_all))

    def check_loop(self) -> None:
        """Report the stack of a loop that is blocked; after `hang_timeout`, end the process."""
        stood_s = monotonic() - self._beaten_at
        if not self._running or stood_s < BEAT_S + BLOCKED_S:
            return
        if self._reported_at != self._beaten_at:
            self._reported_at = self._beaten_at
            frame = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
            stack = "".join(traceback.format_stack(frame, _FRAMES_MAX)) if frame else ""
            seat = self._blocking()
            job = None if seat is None else seat.job
            facts = {} if job is None else facts_of(job)
            emit("job.blocking", **facts, stalled_s=round(stood_s, 3), stack=stack)
        hang_s = hang_timeout_s()
        if stood_s >= hang_s and self._ended_at != self._beaten_at:
            self._ended_at = self._beaten_at
            if (seat := self._blocking()) is not None and (job := seat.job) is not None:
                limit_blocking(seat, job, stood_s)

    def close(self) -> None:
        """Stop the loop and the jobs that run in it."""
        self._closed = True
        if self._loop is not None and not self._loop.is_closed():
            self._call(self._loop.stop)

    @property
    def doubts(self) -> bool:
        """Whether jobs wait for the check of their claims."""
        return bool(self._doubted)

    @property
    def waiting(self) -> int:
        """The number of jobs in hand that have not started."""
        return len(self._todo) + len(self._doubted)

    @property
    def in_hand(self) -> int:
        """The number of jobs that have not ended."""
        return self._posted - len(self._runs) - len(self._returned)

    @property
    def uncollected(self) -> int:
        """The number of jobs posted and not yet collected."""
        return self._posted

    @property
    def flows(self) -> bool:
        """Whether more jobs wait than `low_water`, at which we are woken."""
        return len(self._todo) > self._low_water

    @property
    def busy(self) -> int:
        """The number of running jobs."""
        return len(self._running)

    def started_at(self, job_id: int) -> float | None:
        """Return when a job that runs here was started (monotonic)."""
        running = list(self._running.values())
        return next((at for job, at, _ in running if job.id == job_id), None)

    def running_for_s(self) -> list[float]:
        """Return for how long each running job has run."""
        if not self._running:
            return []
        now = monotonic()
        return [now - started for _, started, _ in list(self._running.values())]

    def _call(self, what: Callable[[], object]) -> None:
        if self._loop is None:
            # Imported here, since most processes run no coroutine.
            import asyncio  # noqa: PLC0415

            # Exempt existing objects from collection. Each of hundreds of coroutines lives
            # through several collections: scanning all other objects took a fifth of a job's
            # time.
            gc.freeze()
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._serve, args=(self._loop,), name="job-loop", daemon=True
            )
            self._thread.start()
        self._loop.call_soon_threadsafe(what)

    def _blocking(self) -> Interruptible | None:
        """Return the job that the loop's thread is in, None between two jobs."""
        import asyncio  # noqa: PLC0415

        current = asyncio.current_task(self._loop)
        found = (seat for seat in self.seats() if current and seat.task is current)
        return next(found, None)

    # Called by the loop's thread.

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        interrupts.register_here(interrupts.SEAT.get)
        self._beat(loop)
        while True:
            try:
                loop.run_forever()
            except BaseException as error:  # noqa: BLE001 - a task of a job's own may exit
                emit("thread.failed", error=error, thread="job-loop", ours=True)
                continue
            if self._closed:
                break
            stop = RuntimeError("a job has stopped the event loop, which goes on")
            emit("thread.failed", error=stop, thread="job-loop", ours=True)
        for seat in self.seats():
            seat.task.cancel()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beaten_at = monotonic()
        self._end_unbegun()
        loop.call_later(BEAT_S, self._beat, loop)

    def _start(self) -> None:
        """Start waiting jobs, up to the capacity."""
        # Imported late, as in `_call`.
        from asyncio import Task  # noqa: PLC0415

        self._starting = False
        loop, thread_id = self._loop, self._thread.ident or 0
        todo, free, end = self._todo, self._free, self._end
        while free and todo:
            try:
                job, ours_at = todo.popleft()
            except IndexError:
                return
            started = monotonic()
            if started - ours_at >= self._trust_s:
                with self._lock:
                    self._doubted.append(job)
                self._wake()
                continue
            slot = free.pop()
            seat = Interruptible(_no_timer, self._hard[slot], thread_id)
            self._running[slot] = job, started, seat
            self._entry.coroutine_started(slot, job.id, job.claim_id)
            perform = perform_coroutine if job.expires_at is None else perform_in_time
            begun = perform(job, seat, slot, end)
            # Given a name: generating one, such as "Task-7", takes a tenth of the time of all
            # the rest.
            seat.task = Task(begun, loop=loop, context=Context(), name=job.class_name)

    def _end_unbegun(self) -> None:
        """End the jobs whose tasks were cancelled before they began: they report no end.

        Checked at each heartbeat: a callback at the end of each task took as long as starting
        it.
        """
        # Imported late, as in `_call`.
        import asyncio  # noqa: PLC0415

        for slot, (_, _, seat) in [*self._running.items()]:
            if seat.task is not None and seat.task.done():
                if seat.grace_s is not None:
                    seat.unlimit()
                error = asyncio.CancelledError("the task was cancelled before it began")
                self._end(slot, Outcome(Verdict("failed"), exception=error))

    def _end(self, slot: int, outcome: Outcome) -> None:
        job, started, seat = self._running.pop(slot)
        # Break the cycle: the task has a context, and the context has the seat.
        seat.task = None
        ended, returned = monotonic(), False
        if outcome is not SUCCESS:
            job, outcome, returned = self._decided(slot, job, outcome)
        with self._lock:
            if returned:
                self._returned.append(job)
            else:
                if outcome.exception is None:
                    self._entry.ended(remembered_id(job, outcome), job.claim_id)
                self._runs.append(made_run((job, outcome, started, ended)))
            wake = not self._woken and (returned or len(self._todo) <= self._low_water)
            if wake:
                self._woken = True
        self._entry.coroutine_rests(slot)
        self._free.append(slot)
        if wake:
            self._wake()
        if not self._starting and self._todo and self._loop is not None:
            # One call for all jobs that end in this iteration of the loop.
            self._starting = True
            self._loop.call_soon(self._start)

    def _decided(
        self, slot: int, job: ClaimedJob, outcome: Outcome
    ) -> tuple[ClaimedJob, Outcome, bool]:
        """Return the outcome of a job without plain success, and whether it is released."""
        if outcome.completes is not None:
            job = job._replace(claim_id=outcome.completes)
        if not outcome.begun:
            return job, outcome, False
        if outcome.exception is None:
            if outcome.ttl_s is not None:
                self._entry.coroutine_rests(slot)  # see `remembered_id`
            return job, outcome, False
        if not (self._draining and _is_cancelled(outcome)):
            return job, self._end_badly(job, outcome), False
        if outcome.completes is None:
            return job, outcome, True
        # Nothing is noted of it: if this process dies now, the job is released as well.
        return job, replace(described(outcome), drained=True), False

    def _end_badly(self, job: ClaimedJob, outcome: Outcome) -> Outcome:
        how = ending(job, outcome)
        with self._lock:
            self._entry.ended_as(how)
        return described(outcome)

    def _cancel_all(self) -> None:
        self._draining = True
        for seat in self.seats():
            seat.task.cancel()
        if self._loop is not None:
            self._loop.call_later(SOON_S, self._end_unbegun)


def _is_cancelled(outcome: Outcome) -> bool:
    return type(outcome.exception).__name__ == "CancelledError"


def _no_timer(_: float, __: float) -> None:
    """Ignore the limit: a timer of the loop enforces it."""
