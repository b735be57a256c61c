"""The claim that is sent before its turn, so that the server works while we see to the rest.

Before a rest without jobs the next claim is made, and a notification that ends the rest sends
it first. After a rest all Python code is slow at first, since the processor has to read it
again, and the job waits for it. The claim searches all from the head, and its turn records
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jobsd.clock import monotonic
from jobsd.worker.turn import ClaimRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Bound
    from jobsd.worker.ledger import Ledger
    from jobsd.worker.turn import Turns

    from .cursor import ClaimCursor
    from .known_classes import KnownClasses
    from .polling import PollingInterval
    from .selector import QueueSelector


class Prepared(NamedTuple):
    """A claim that was made before its time: its statement, and when it may be sent."""

    request: ClaimRequest
    bound: Bound
    since: float
    until: float


class Ahead:
    """The claim of one worker that was made before its turn."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a claim is made of
        self,
        selector: QueueSelector,
        known_classes: KnownClasses,
        cursor: ClaimCursor,
        polling: PollingInterval,
        ledger: Ledger,
        turns: Turns,
        room: Callable[[], int],
    ) -> None:
        """Begin with none; `room` returns how many jobs may be claimed."""
        self._selector, self._known_classes = selector, known_classes
        self._cursor, self._polling = cursor, polling
        self._ledger, self._turns, self._room = ledger, turns, room
        self.prepared: Prepared | None = None
        self._last_bound: tuple[object, Bound] | None = None

    def forget(self) -> None:
        """Forget all: the connection is another, and our row may be."""
        self.prepared = self._last_bound = None

    def prepare(self, process_id: int, until: float) -> None:
        """Make the claim that is sent next, which only a claim or a survey can change.

        It is sent no later than `until`.
        """
        first, few = self._selector.first, self._polling.expects_few
        if first is None or not few or self._known_classes.open:
            return
        if (room := self._room()) > 0:
            request = ClaimRequest(room, 0.0, process_id, *first)
            since = self._cursor.at_head_from
            self.prepared = Prepared(request, self._bound(request), since, until)

    def _bound(self, request: ClaimRequest) -> Bound:
        """Return the statement of the request: mostly that of the last one."""
        what = request.statement.name, request.most, request.process_id, request.parameters
        if self._last_bound is None or self._last_bound[0] != what:
            self._last_bound = what, self._turns.prepare(request)
        bound = self._last_bound[1]
        bound.put("claim_id", request.claim_id)
        return bound

    def send(self, *, alone: bool) -> ClaimRequest | None:
        """Send the prepared claim if it is due and right; return it if it was sent.

        `alone` is true if a turn would now claim, and do nothing more. The claim is delegated
        if a notification has come: most claims without one find nothing.
        """
        prepared, self.prepared = self.prepared, None
        if prepared is None or not alone:
            return None
        request, bound, since, until = prepared
        now = monotonic()
        if not since <= now <= until or now < self._polling.next_poll:
            return None
        self._turns.send(request, bound, now)
        request.delegated = self._polling.is_due
        self._polling.begin()
        request.sweep = self._cursor.begin_claim(self._ledger.returns)
        return request
