"""The ways of one worker to claim: jobs as they come, or those of one kind alone.

Functions and coroutines lie in one order. A claim for one kind walks over the jobs of the
other, of which there may be a million, and takes those of its own. So each way has a cursor of
its own, and goes on from its last position, a bounded walk at a time; and each knows by itself
when to poll next.

A claim as jobs come leaves neither kind behind it, and moves all cursors. One for one kind
moves only that kind's.
"""

from collections.abc import Iterator

from .cursor import ClaimCursor
from .polling import PollingInterval

Kind = bool | None
"""True: coroutines alone. False: functions alone. None: both, as they come."""

WALK_MIN = 100
"""Jobs that a claim for one kind walks over, beside the jobs that it may take."""
WALK_MAX = 5000
"""The most of them, by a claim after some that have found none: about 10 ms."""


class ClaimWay:
    """One way to claim: from where, when, and how far to walk."""

    def __init__(self, polling_interval_s: float) -> None:
        self.cursor = ClaimCursor()
        self.polling = PollingInterval(polling_interval_s)
        self.returns_swept = 0
        """How often jobs had been given back when it swept last."""
        self._walk = WALK_MIN

    def begin(self, returns: int) -> bool:
        """Begin a claim, which serves all that was heard; return whether it is a sweep.

        `returns` is the number of times that jobs were released.
        """
        self.polling.begin()
        if sweep := self.cursor.begin_claim():
            self.returns_swept = returns
        return sweep

    def depth(self, limit: int) -> int:
        """Return the scan depth for a claim of `limit` jobs."""
        return max(limit, self._walk) + WALK_MIN

    def walk_on(self, limit: int, found: int, steps: int, took_s: float) -> bool:
        """Take note of a claim for one kind; return whether it was a part of a walk.

        It was to bring `limit` jobs and has `found` some, in `steps` steps of its walk. A
        claim that has found none pauses for as long as it took: the other kind is to be
        served, too.
        """
        whole = found >= limit or steps < self.depth(limit)
        self._walk = WALK_MIN if found or whole else min(WALK_MAX, self._walk * 4)
        if whole:
            return False
        if found:
            self.polling.poll_now()
        else:
            self.cursor.note_walk(took_s)
            self.polling.poll_in(took_s)
        return True


class ClaimWays:
    """The three ways. A worker that knows no asynchronous job uses one only."""

    def __init__(self, polling_interval_s: float) -> None:
        self.both = ClaimWay(polling_interval_s)
        self._alone = {kind: ClaimWay(polling_interval_s) for kind in (False, True)}
        self._all = (self.both, *self._alone.values())

    def __getitem__(self, kind: Kind) -> ClaimWay:
        return self.both if kind is None else self._alone[kind]

    def __iter__(self) -> Iterator[ClaimWay]:
        return iter(self._all)

    def reset(self) -> None:
        """Let all begin at the head."""
        for way in self:
            way.cursor.reset()

    def poll_now(self) -> None:
        """Let all poll at once."""
        for way in self._all:
            way.polling.next_poll = 0.0

    def request_sweep(self) -> None:
        """Let all sweep as soon as they may."""
        for way in self:
            way.cursor.request_sweep()

    def advance_alone(self, claimed: list[tuple[str | None, int, int]]) -> None:
        """Take in that a claim of both kinds has come so far."""
        for way in self._alone.values():
            way.cursor.advance(claimed, sweep=False)

    def others_flow(self, kind: Kind) -> bool:
        """Return whether another way has just brought all that it was asked for."""
        return any(way.polling.flows for way in self if way is not self[kind])
