"""The event loop that runs coroutines: one per process, in a thread of its own.

Loop and thread begin with the first coroutine. The loop never waits for the database. Each job
is a task in a context of its own; objects that jobs share (clients, engines) live as long as
the loop.

A job that blocks the loop holds up all other coroutines. The loop sends a heartbeat every half
second; when heartbeats stop, `check` reports the loop's stack. After `hang_timeout` the process
must exit, as it does for a job that has exceeded its time limit.
"""

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import replace
from functools import partial

from jobsd.clock import monotonic
from jobsd.events.events import emit
from jobsd.jobs import interrupts
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.policy import Verdict
from jobsd.jobs.time_limits import hang_timeout_s
from jobsd.scoreboard.hard_limits import HardLimit

from .frames import stack_of
from .interrupter import facts_of, interrupt_task
from .perform import SUCCESS, Outcome, limit_blocking, perform_coroutine, perform_in_time

BEAT_S = 0.5
BLOCKED_S = 1.0
"""The job that blocks the loop is reported after this time."""
SOON_S = 0.02
"""Time that cancelled tasks get before `_end_unbegun` ends jobs that never began."""


class JobLoop:
    """Runs coroutines, each for one cell of the scoreboard entry."""

    def __init__(
        self,
        hard_limits: Sequence[HardLimit | None],
        ended: Callable[[int, ClaimedJob, Outcome], None],
    ) -> None:
        """Begin without a loop; it calls `ended` with the cell of each job that has ended."""
        self._hard_limits, self._ended = hard_limits, ended
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining = self._closed = False
        # Used only by the loop's thread.
        self._running: dict[int, tuple[ClaimedJob, interrupts.Interruptible]] = {}
        self._beaten_at = self._reported_at = self._ended_at = 0.0

    def call(self, what: Callable[[], object]) -> None:
        """Call a function in the loop's thread soon. Called by any thread."""
        if self._loop is None:
            self._open()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(what)

    @property
    def busy(self) -> int:
        """The number of running coroutines."""
        return len(self._running)

    # Called by the control thread.

    def interrupt(self, job_id: int, kind: type[BaseException]) -> bool:
        """Cancel the task of a job; return whether it runs here."""
        for job, seat in [*self._running.values()]:
            if job.id == job_id and seat.job is job:
                self.call(partial(interrupt_task, seat, interrupts.Interrupt(job, kind)))
                return True
        return False

    def seats(self) -> list[interrupts.Interruptible]:
        """Return the `Interruptible` of each running job."""
        return [seat for _, seat in [*self._running.values()]]

    def drain(self, within_s: float) -> None:
        """After `within_s`, cancel jobs that still run."""
        if self._loop is not None:
            self.call(partial(self._loop.call_later, within_s, self._cancel_all))

    def check(self) -> None:
        """Report the stack of a loop that is blocked; after `hang_timeout`, end the process."""
        if not self._running or (stood_s := monotonic() - self._beaten_at) < BEAT_S + BLOCKED_S:
            return
        if self._reported_at != self._beaten_at:
            self._reported_at = self._beaten_at
            frame = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
            stack = stack_of(frame)
            seat = self._blocking()
            job = None if seat is None else seat.job
            facts = {} if job is None else facts_of(job)
            emit("job.blocking", **facts, stalled_s=round(stood_s, 3), stack=stack)
        if stood_s >= hang_timeout_s() and self._ended_at != self._beaten_at:
            self._ended_at = self._beaten_at
            if (seat := self._blocking()) is not None and (job := seat.job) is not None:
                limit_blocking(seat, job, stood_s)

    def close(self) -> None:
        """Stop the loop and the jobs that run in it."""
        self._closed = True
        if self._loop is not None and not self._loop.is_closed():
            self.call(self._loop.stop)

    def _blocking(self) -> interrupts.Interruptible | None:
        """Return the job that the loop's thread is in, None between two jobs."""
        current = asyncio.current_task(self._loop)
        found = (seat for seat in self.seats() if current and seat.task is current)
        return next(found, None)

    def _open(self) -> None:
        with _opening:
            if self._loop is not None:
                return
            # Exempt existing objects from collection. Each of hundreds of coroutines lives
            # through several collections: scanning all other objects took a fifth of a job's
            # time.
            gc.freeze()
            loop = asyncio.new_event_loop()
            self._beaten_at = monotonic()
            self._thread = threading.Thread(
                target=self._serve, args=(loop,), name="job-loop", daemon=True
            )
            self._thread.start()
            self._loop = loop

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

    def begin(self, cell: int, job: ClaimedJob) -> None:
        """Begin a job."""
        hard, thread_id = self._hard_limits[cell], self._thread.ident or 0
        seat = interrupts.Interruptible(_no_timer, hard, thread_id)
        self._running[cell] = job, seat
        perform = perform_coroutine if job.expires_at is None else perform_in_time
        begun = perform(job, seat, cell, self._end)
        # Given a name: generating one, such as "Task-7", takes a tenth of the time of all the
        # rest.
        seat.task = asyncio.Task(begun, loop=self._loop, context=Context(), name=job.class_name)

    def _end_unbegun(self) -> None:
        """End the jobs whose tasks were cancelled before they began: they report no end.

        Checked at each heartbeat: a callback at the end of each task took as long as starting
        it.
        """
        for cell, (_, seat) in [*self._running.items()]:
            if seat.task is not None and seat.task.done():
                if seat.grace_s is not None:
                    seat.unlimit()
                error = asyncio.CancelledError("the task was cancelled before it began")
                self._end(cell, Outcome(Verdict("failed"), exception=error))

    def _end(self, cell: int, outcome: Outcome) -> None:
        job, seat = self._running.pop(cell)
        # Break the cycle: the task has a context, and the context has the seat.
        seat.task = None
        if outcome is not SUCCESS and self._draining and _is_cancelled(outcome):
            outcome = replace(outcome, drained=True)
        self._ended(cell, job, outcome)

    def _cancel_all(self) -> None:
        self._draining = True
        for seat in self.seats():
            seat.task.cancel()
        if self._loop is not None:
            self._loop.call_later(SOON_S, self._end_unbegun)


_opening = threading.Lock()


def _is_cancelled(outcome: Outcome) -> bool:
    return type(outcome.exception).__name__ == "CancelledError"


def _no_timer(_: float, __: float) -> None:
    """Ignore the limit: a timer of the loop enforces it."""
