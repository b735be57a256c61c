"""How asynchronous jobs are interrupted: the task is cancelled, unless it is in a shield."""

from asyncio import TimerHandle
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from jobsd.errors import TimeLimitExceeded
from jobsd.instruments.events import emit
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.interrupts import Interrupt, Interruptible

SEAT: ContextVar[Interruptible | None] = ContextVar("jobsd_seat", default=None)
"""The job that a task is a part of: tasks that it has made have it from its context."""


def interrupt_later(seat: Interruptible, job: ClaimedJob, limit_s: float) -> TimerHandle:
    """Interrupt a job of the loop that runs here once its time is over."""
    # Whoever runs a task has it.
    import asyncio  # noqa: PLC0415

    over = Interrupt(job, TimeLimitExceeded)
    return asyncio.get_running_loop().call_later(limit_s, interrupt_task, seat, over)


async def in_thread(function: Callable[..., None], *arguments: object) -> None:
    """Call a function that is not to hold up the loop, in the context of the job."""
    import asyncio  # noqa: PLC0415

    await asyncio.to_thread(function, *arguments)


def interrupt_task(seat: Interruptible, interrupt: Interrupt) -> None:
    """Cancel the task of a job; in a shield, the interrupt comes at its end."""
    if seat.job is not interrupt.job or seat.interrupt is not None:
        return
    seat.interrupt = interrupt
    if not seat.shields:
        seat.sent = interrupt
        seat.task.cancel()
    emit_interrupted(interrupt)


def as_interrupt(error: BaseException, seat: Interruptible) -> BaseException:
    """Return what has cancelled the job, with its stack; else the error itself."""
    if seat.interrupt is None or type(error).__name__ != "CancelledError":
        return error
    return seat.interrupt.kind().with_traceback(error.__traceback__)


def emit_interrupted(interrupt: Interrupt) -> None:
    """Tell that a job was interrupted, and by what."""
    facts = facts_of(interrupt.job)
    emit("job.interrupted", **facts, reason=interrupt.kind.__name__)


def facts_of(job: ClaimedJob) -> dict[str, Any]:
    """Return what events tell of a job."""
    return {
        "job_id": job.id,
        "class_name": job.class_name,
        "queue_name": job.queue_name,
        "attempt": job.attempts + 1,
    }
