"""Interrupts the jobs of a worker that are cancelled or over their time limit.

The request of a cancel is written to the claim. A notification announces it; without a
listener the claims are polled once a second, while there are any. If the job has ended before
the worker hears of it, the worker does nothing: the statement that records its end reads the
claim by itself.

The supervisor also knows of a job that is over its time limit and does not stop, and asks the
process to stop. The worker adds the stack of the job, for the error of its attempt, and ends
as soon as no other job is left.
"""

import os
import signal
import sys

from jobsd.acts import cancels
from jobsd.clock import monotonic, monotonic_ns
from jobsd.database.connection import Session
from jobsd.errors import Cancelled
from jobsd.jobs import registry
from jobsd.jobs.time_limits import kill_after_s
from jobsd.performing.frames import stack_of
from jobsd.performing.runner import Runner
from jobsd.scoreboard.entry import ScoreboardEntry
from jobsd.scoreboard.hard_limits import STACK_MAX, Overdue
from jobsd.states.claims import InClaim

from .constants import CHECK_S, HORIZON_S
from .ledger import Ledger


class Cancels:
    """Stops the jobs of one worker that were cancelled."""

    def __init__(self, session: Session, ledger: Ledger, pool: Runner) -> None:
        self._session = session
        self._ledger = ledger
        self._pool = pool
        self._asked = False
        self._check_at = 0.0
        self._known: set[InClaim] = set()
        self._open: set[InClaim] = set()
        self._forced: set[InClaim] = set()

    def hear(self, payload: str, process_id: int) -> None:
        """Take note of a notification, if it is for this process."""
        self._asked = self._asked or payload == f"cancel {process_id}"

    def note(self) -> None:
        """Take note that a job may have been cancelled without a notification."""
        self._asked = True

    def stop(self, process_id: int) -> None:
        """Stop the jobs that were cancelled since the last call, if there may be any."""
        if self._asked or self._is_due():
            self._read(process_id)
        if self._open or self._forced:
            self._stop()

    def bound(self, rest_s: float) -> float:
        """Return a rest that ends when there is something to stop, or to look for."""
        if self._open or self._forced:
            return min(rest_s, HORIZON_S)
        if self._session.listening or not self._ledger.has_claims:
            return rest_s
        return min(rest_s, max(0.0, self._check_at - monotonic()))

    def _is_due(self) -> bool:
        if self._session.listening or not self._ledger.has_claims:
            return False
        return monotonic() >= self._check_at

    def _read(self, process_id: int) -> None:
        requests = cancels.requests(self._session, process_id)
        found = {request.job for request in requests}
        self._forced.update(request.job for request in requests if request.forced)
        self._forced &= found
        # Only now: a statement that fails is sent again.
        self._asked = False
        self._check_at = monotonic() + CHECK_S
        new = found - self._known
        self._known = found
        self._open |= new
        if new:
            back = self._pool.take_out(new)
            # To be discarded: the statement that releases them reads their claims.
            self._ledger.give_back(back)
            self._open.difference_update((job.id, job.claim_id) for job in back)

    def _stop(self) -> None:
        for each in [*self._open]:
            if not self._ledger.is_open(each) or self._pool.interrupt(each.job_id, Cancelled):
                self._open.discard(each)
        for each in [*self._forced]:
            if not self._ledger.is_open(each) or self._limit(each):
                self._forced.discard(each)

    def _limit(self, job: InClaim) -> bool:
        """Set a deadline for the process, in case a job that runs here does not end."""
        for seat in self._pool.seats():
            running = seat.job
            if running is None or running.id != job.job_id:
                continue
            if self._ledger.claim_of(InClaim(running.id, running.claim_id)) == job.claim_id:
                known = registry.find(running.class_name)
                grace_s = kill_after_s(None if known is None else known.time_limit)
                seat.limit_forced(job, grace_s, ("discarded", 0.0))
                return True
        return False


def end_if_alone(entry: ScoreboardEntry, ledger: Ledger, pool: Runner) -> None:
    """End a process that drains, when only jobs that don't end are left in it."""
    if not 0 < entry.next_hard_ns <= monotonic_ns():
        return
    overdue = entry.overdue()
    if not overdue:
        return
    _note_stack(entry, overdue[0])
    alone = len(overdue) == pool.uncollected
    if alone and not ledger.has_unrecorded and ledger.size <= len(overdue):
        os.kill(os.getpid(), signal.SIGKILL)


def _note_stack(entry: ScoreboardEntry, overdue: Overdue) -> None:
    """Leave for the recovery where the job stands."""
    if entry.stack_job:
        return
    frames = sys._current_frames()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    entry.stack = stack_of(frames.get(overdue.thread))[-STACK_MAX:]
    entry.stack_job = overdue.job.job_id
