"""Passes over many jobs in a row that can't be run here, so that they hold up nobody.

A claim that brings nothing but such jobs has come upon a stretch of them. A *scout* then
walks on until it finds a job that can be run, and claims go on from there: what it has walked
over is a gap (see `places`). From then on, when nothing else is to be done, and else for a
small part of the time, the gap is *moved*: its jobs are put into their lanes, a thousand at a
time, so that nobody walks over them again. What was moved is outside of the gap, and swept
like all else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from jobsd.clock import monotonic
from jobsd.jobs import lanes

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.database.statements import Statement
    from jobsd.performing.perform import ClaimedJob

    from .knowledge import Knowledge
    from .places import Places

SCOUTED = 20_000
"""So many jobs are walked over by one statement, which takes some hundredths of a second."""
MOVED = 1000
IDLE_SHARE, BUSY_SHARE = 1.0, 60.0
"""After a move, so many times its duration passes before the next."""

_END = 2**63 - 1


class _Scout(NamedTuple):
    """Where the stretch was met: by which names of queues, and behind which place."""

    queue: str | None
    priority: int
    position: int


class Stretch:
    """The gaps of one worker."""

    def __init__(self, session: Session, places: Places, knowledge: Knowledge) -> None:
        self._session = session
        self._knowledge = knowledge
        self.places = places
        self._scout: _Scout | None = None
        self._moved_at = 0.0
        self._cost_s = 0.0

    def begin(self, last: ClaimedJob, *, named: bool) -> None:
        """Take note that a claim brought nothing for us; `named`: by the names of queues."""
        queue = last.queue_name if named else None
        self._scout = _Scout(queue, last.priority, last.position)

    @property
    def scouting(self) -> bool:
        """Whether it is not known yet where the stretch ends."""
        return self._scout is not None

    def scout(self) -> None:
        """Walk on, if a stretch was met."""
        if self._scout is None:
            return
        queue, priority, after = self._scout
        found, last, goes_on = self._walk(lanes.SCOUT, *self._scout, _END, SCOUTED)
        end = found - 1 if found is not None else last
        self._scout = _Scout(queue, priority, end) if goes_on else None
        if end is not None and end > after:
            self.places.skip(queue, priority, after, end)

    def work(self, rest_s: float) -> float:
        """Move a part of a gap if it is time to; return the seconds that are left to rest.

        Who has nothing to do for `rest_s` may do so for half of the time.
        """
        if not any(self.places.gaps.values()):
            return rest_s
        pause_s = self._cost_s * (IDLE_SHARE if rest_s else BUSY_SHARE)
        if monotonic() >= self._moved_at + pause_s:
            self._move()
        return min(rest_s, self._cost_s)

    def _move(self) -> None:
        began = monotonic()
        queue, gaps = next(item for item in self.places.gaps.items() if item[1])
        priority, (start, end) = next(iter(gaps.items()))
        last, goes_on, *_ = self._walk(lanes.MOVE, queue, priority, start, end, MOVED)
        if goes_on:
            gaps[priority] = last, end
        else:
            del gaps[priority]
            self.places.want_sweep()
        self._moved_at = monotonic()
        self._cost_s = self._moved_at - began

    def _walk(  # noqa: PLR0913, PLR0917 - what a walk is made of
        self,
        by: dict[str, Statement],
        queue: str | None,
        priority: int,
        after: int,
        until: int,
        limit: int,
    ) -> tuple[Any, ...]:
        statement = by["walk_any" if queue is None else "walk_named"]
        facts = {
            "queue_name": queue,
            "priority": priority,
            "after": after,
            "until": until,
            "limit": limit,
            "process_id": self._knowledge.row_id,
        }
        return self._session.fetch(statement, facts)[0]
