"""The thread that interrupts jobs: because of their time limit, or because they are stopped.

The thread begins with the first job that has a limit or is stopped. A job with a limit only
stores its due time: a thread that sleeps until then need not be woken.

The thread inspects the stack of the job's thread, and raises the interrupt only in the user's
code: not in code of ours that the user's code has called, nor in `logging`, which may hold a
lock. Otherwise it tries again. A job that constantly prints or logs is interrupted after a line
(`deliver_behind_line`).
"""

from __future__ import annotations

import threading
from asyncio import TimerHandle
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from jobsd.clock import monotonic
from jobsd.errors import TimeLimitExceeded
from jobsd.events.events import emit
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.interrupts import NEVER, Interrupt, Interruptible
from jobsd.logs.line_ends import call_behind_lines

if TYPE_CHECKING:
    from jobsd.scoreboard.hard_limits import HardLimit

    from .strikes import Strike


def interrupt_later(seat: Interruptible, job: ClaimedJob, limit_s: float) -> TimerHandle:
    """Interrupt a job of the running loop when its time limit ends."""
    # A process that runs a task has imported it already.
    import asyncio  # noqa: PLC0415

    over = Interrupt(job, TimeLimitExceeded)
    return asyncio.get_running_loop().call_later(limit_s, interrupt_task, seat, over)


async def in_thread(function: Callable[..., None], *arguments: object) -> None:
    """Call a function that must not block the loop, in the context of the job."""
    import asyncio  # noqa: PLC0415

    await asyncio.to_thread(function, *arguments)


def interrupt_task(seat: Interruptible, interrupt: Interrupt) -> None:
    """Cancel the task of a job; within a shield, the interrupt comes at the shield's end."""
    if seat.job is not interrupt.job or seat.interrupt is not None:
        return
    seat.interrupt = interrupt
    if not seat.is_shielded:
        seat.sent = interrupt
        seat.task.cancel()
    emit_interrupted(interrupt)


def as_interrupt(error: BaseException, seat: Interruptible) -> BaseException:
    """Return the interrupt that cancelled the job, with its stack, or the error itself."""
    if seat.interrupt is None or type(error).__name__ != "CancelledError":
        return error
    return seat.interrupt.kind().with_traceback(error.__traceback__)


def emit_interrupted(interrupt: Interrupt) -> None:
    """Emit that a job was interrupted, with the reason."""
    facts = facts_of(interrupt.job)
    emit("job.interrupted", **facts, reason=interrupt.kind.__name__)


def facts_of(job: ClaimedJob) -> dict[str, Any]:
    """Return a job's fields for events."""
    return {
        "job_id": job.id,
        "class_name": job.class_name,
        "queue_name": job.queue_name,
        "attempt": job.attempts + 1,
    }


AGAIN_S = (0.001, 0.01)
"""Seconds until the next try, when a job could not be interrupted: at first, and later."""
SOON_S = 0.1


class Interrupter:
    """Interrupts the jobs of a set of threads."""

    def __init__(self, hard_limits: Iterable[HardLimit | None]) -> None:
        self.threads = [Interruptible(self.expect, each) for each in hard_limits]
        self.next_at = NEVER
        """When the thread next checks by itself (monotonic); a job due earlier wakes it."""
        self._requests: SimpleQueue[Interrupt | None] = SimpleQueue()
        self._shortest_s = NEVER
        self._armed = False
        self._begun = False
        self._lock = threading.Lock()
        # Used only by this thread.
        self._open: dict[Interruptible, Strike] = {}
        self._over: dict[Interruptible, object] = {}

    def expect(self, limit_s: float, due: float) -> None:
        """Note the due time of a job that begins now; called by the job's thread."""
        self._armed = True
        if limit_s < self._shortest_s:  # noqa: PLR1730 - a third of the time of `min`
            self._shortest_s = limit_s
        if due < self.next_at:
            self.next_at = due
            self._requests.put(None)
            if not self._begun:
                self._begin()

    def interrupt(self, job_id: int, kind: type[BaseException]) -> bool:
        """Raise an exception in the job as soon as possible; return whether it runs here."""
        for each in self.threads:
            job = each.job
            if job is not None and job.id == job_id:
                self._requests.put(Interrupt(job, kind))
                self._begin()
                return True
        return False

    def seats(self) -> list[Interruptible]:
        """Return the `Interruptible` of each thread."""
        return self.threads

    def end(self) -> None:
        """End the thread, if it has begun."""
        self._requests.put(_END)

    def _begin(self) -> None:
        with self._lock:
            if not self._begun:
                self._begun = True
                threading.Thread(target=self._run, name="job-interrupter", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                request = self._requests.get(timeout=self._rest_s())
            except Empty:
                request = None
            if request is _END:
                for strike in self._open.values():
                    strike.end()
                return
            if request is not None:
                self._take(request)
            now = monotonic()
            for thread in self.threads:
                self._check_limit(thread, now)
            for strike in [*self._open.values()]:
                self._try(strike)

    def _rest_s(self) -> float | None:
        """Return the time until the next check; None: until a request comes."""
        # From here on each job due earlier wakes us, even if its thread was not checked yet.
        self.next_at = NEVER
        now = monotonic()
        dues = [t.due for t in self.threads if t.job is None or self._over.get(t) is not t.job]
        next_at = min(dues, default=NEVER)
        if next_at == NEVER and self._armed:
            # Between two jobs: the time limit of the next one can't end before that.
            next_at = now + self._shortest_s
        self._armed = False
        if self._open:
            since = max(strike.began for strike in self._open.values())
            next_at = min(next_at, now + AGAIN_S[now - since > SOON_S])
        self.next_at = next_at
        return None if next_at == NEVER else max(0.0, next_at - now)

    def _take(self, request: Interrupt) -> None:
        for thread in self.threads:
            if thread.job is request.job:
                self._want(thread, request)

    def _check_limit(self, thread: Interruptible, now: float) -> None:
        # Invariant: read the job first, then its due time: a later job has a later one.
        job = thread.job
        if job is None or thread.due > now or self._over.get(thread) is job:
            return
        self._over[thread] = job
        self._want(thread, Interrupt(job, TimeLimitExceeded))

    def _want(self, thread: Interruptible, interrupt: Interrupt) -> None:
        # Imported here, since most processes interrupt nothing.
        from .strikes import Strike, deliver_behind_line  # noqa: PLC0415

        before = self._open.get(thread)
        if before is not None:
            if before.interrupt.job is interrupt.job:
                return
            # The strike of a job that has ended, unnoticed so far.
            self._try(before)
        call_behind_lines(deliver_behind_line)
        thread.interrupt = interrupt
        self._open[thread] = Strike(thread, interrupt)

    def _try(self, strike: Strike) -> None:
        thread, interrupt = strike.thread, strike.interrupt
        if not strike.has_come and thread.job is interrupt.job:
            thread.interrupt = interrupt
            strike.attempt()
            if not strike.has_come:
                return
        strike.end()
        del self._open[thread]
        if strike.has_come:
            emit_interrupted(interrupt)


_END = Interrupt(None, BaseException)
