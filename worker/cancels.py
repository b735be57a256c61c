"""What of a worker's jobs is to stop, since somebody has cancelled it.

The request stands in the claim. A notification says that there is one; without a listener the
claims are looked at once a second, while there are any. Who is told so late that the job has
ended meanwhile has nothing to do: what records its end reads the claim by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.errors import Cancelled
from jobsd.jobs import cancels, registry
from jobsd.jobs.time_limits import kill_after_s

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.jobs.claims import InClaim
    from jobsd.performing.pool import Pool

    from .asynchronous import Asynchronous
    from .ledger import Ledger

CHECK_S = 0.8
"""How often the claims are looked at where no notification comes."""
AGAIN_S = 0.02
"""How soon a job is met again that is just about to begin or to end."""


class Cancels:
    """Stops the jobs of one worker that were cancelled."""

    def __init__(
        self, session: Session, ledger: Ledger, pool: Pool, asynchronous: Asynchronous
    ) -> None:
        self._session = session
        self._ledger = ledger
        self._pool = pool
        self._asynchronous = asynchronous
        self._asked = False
        self._check_at = 0.0
        self._known: set[InClaim] = set()
        self._open: set[InClaim] = set()
        self._forced: set[InClaim] = set()

    def hear(self, payload: str, process_id: int) -> None:
        """Take note of a notification, if it is for this process."""
        self._asked = self._asked or payload == f"cancel {process_id}"

    def note(self) -> None:
        """Take note that some job may have been cancelled, and nobody have told us."""
        self._asked = True

    def stop(self, process_id: int) -> None:
        """Stop what was cancelled since the last call, if there may be anything."""
        if self._asked or self._is_due():
            self._read(process_id)
        if self._open or self._forced:
            self._stop()

    def bound(self, rest_s: float) -> float:
        """Return a rest that ends when there is something to stop, or to look for."""
        if self._open or self._forced:
            return min(rest_s, AGAIN_S)
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
            back += self._asynchronous.coroutines.take_out(new)
            # To be discarded: the statement that releases them reads their claims.
            self._ledger.give_back(back)
            self._open.difference_update((job.id, job.claim_id) for job in back)

    def _stop(self) -> None:
        for each in [*self._open]:
            if not self._ledger.is_open(each) or self._interrupt(each.job_id):
                self._open.discard(each)
        for each in [*self._forced]:
            if not self._ledger.is_open(each) or self._limit(each):
                self._forced.discard(each)

    def _limit(self, job: InClaim) -> bool:
        """Say that the process is to go if a job that runs here does not end."""
        seats = [*self._pool.seats(), *self._asynchronous.coroutines.seats()]
        for seat in seats:
            running = seat.job
            if running is not None and (running.id, running.claim_id) == job:
                known = registry.find(running.class_name)
                grace_s = kill_after_s(None if known is None else known.time_limit)
                seat.limit_hard(job, 0.0, grace_s, ("discarded", 0.0), from_now=True)
                return True
        return False

    def _interrupt(self, job_id: int) -> bool:
        return self._pool.interrupt(job_id, Cancelled) or (
            self._asynchronous.coroutines.interrupt(job_id, Cancelled)
        )
