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

    def forget(self) -> None:
        """Forget all: the connection is another, and our row may be."""
        self.prepared = None

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
            self.prepared = Prepared(request, self._turns.prepare(request), since, until)

    def send(self, *, alone: bool) -> ClaimRequest | None:
        """Send the prepared claim if it is due and right; return it if it was sent.

        `alone` is true if a turn would now claim, and do nothing more.
        """
        prepared, self.prepared = self.prepared, None
        if prepared is None or not alone:
            return None
        request, bound, since, until = prepared
        now = monotonic()
        if not since <= now <= until or now < self._polling.next_poll:
            return None
        self._turns.send(request, bound, now)
        self._polling.begin()
        request.sweep = self._cursor.begin_claim(self._ledger.returns)
        return request
