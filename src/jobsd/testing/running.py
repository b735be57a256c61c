"""One job run in the thread of the test, by the functions that run jobs in a worker."""

import json
import sys
import threading
from contextvars import Context
from typing import Any

from jobsd.errors import Cancelled
from jobsd.jobs import claimed_job, interrupts, registry
from jobsd.performing.interrupter import Interrupter
from jobsd.performing.perform import Outcome, perform, stored_error

from .recorded_job import RecordedJob


def run(job: RecordedJob) -> Outcome:
    """Perform a job once, in a context of its own, with its time limit; never raises.

    A coroutine runs in a loop of its own; if this thread already has one, in another thread.
    """
    claimed = _claimed(job)
    interrupter = _running[job] = Interrupter([None])
    try:
        return _run(claimed, interrupter)
    finally:
        del _running[job]
        interrupter.end()


def stop(job: RecordedJob) -> None:
    """Raise `Cancelled` in a running job; at once if the job itself asks for it."""
    interrupter = _running.get(job)
    if interrupter is None:
        return
    (seat,) = interrupter.threads
    if seat.thread_id == threading.get_ident():
        seat.interrupt = interrupts.Interrupt(seat.job, Cancelled)
        seat.deliver()
    else:
        interrupter.interrupt(job.id, Cancelled)


_running: dict[RecordedJob, Interrupter] = {}
"""The interrupter of each running job."""


def _run(claimed: claimed_job.ClaimedJob, interrupter: Interrupter) -> Outcome:
    known = registry.find(claimed.class_name)
    if known is None or known.coroutine is None or not _a_loop_runs():
        return _perform(claimed, interrupter)
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(_perform(claimed, interrupter)))
    thread.start()
    thread.join()
    return outcomes[0]


def _perform(claimed: claimed_job.ClaimedJob, interrupter: Interrupter) -> Outcome:
    (seat,) = interrupter.threads
    outer = interrupts.find_here()
    seat.enter()
    try:
        return Context().run(perform, claimed, seat)
    finally:
        seat.leave()
        # Inline, one job may run within another.
        if outer is not None:
            outer.enter()


def described(error: BaseException | None) -> dict[str, Any] | None:
    """Return an error as it is stored."""
    if error is None:
        return None
    found: dict[str, Any] = json.loads(stored_error(error))
    return found


def _claimed(job: RecordedJob) -> claimed_job.ClaimedJob:
    drafted = job.draft
    return claimed_job.ClaimedJob(
        claim_id=0,
        id=job.id,
        class_name=drafted.class_name,
        arguments=drafted.arguments,
        queue_name=drafted.queue_name,
        attempts=job.attempts,
        max_attempts=drafted.max_attempts,
        due_at=0.0,
        concurrency_key=None if drafted.limited is None else drafted.limited.key,
        priority=drafted.priority,
        position=job.position,
        context=drafted.context,
    )


def _a_loop_runs() -> bool:
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None  # noqa: SLF001
