"""The position after which the dispatcher searches for the next due jobs.

While an old snapshot is open, dispatched rows can't be vacuumed, and a search from the head of
the index scans all of them. So each search begins after the last job that was dispatched.
Before that position lie jobs of enqueuers that committed late, and jobs that were locked. A
*sweep* from the head finds them: at once when a notification has come or a locked job was
skipped, and at least every five seconds. Costly sweeps, which scan many dead rows, take at most
a tenth of the time. Workers search in the same way.
"""

from math import inf
from typing import NamedTuple

from jobsd.clock import monotonic

SWEEP_S = 5.0
"""The longest time between two sweeps."""
SHARE = 9.0
"""A sweep is followed by a pause of at least this multiple of its duration."""
CHEAP_S = 0.002
"""A sweep of at most this duration is not costly: any dispatch takes as long."""


class Place(NamedTuple):
    """The position of a job in the order of due times; `at` is in PostgreSQL's format."""

    at: str
    priority: int
    job_id: int

    def parameters(self) -> dict[str, str | int]:
        """Return the parameters of a search that begins after this position."""
        return {f"after_{name}": value for name, value in self._asdict().items()}


HEAD = Place("-infinity", -(2**31), 0)


class DueCursor:
    """The start of one dispatcher's searches."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin at the head: the remembered position may belong to another history."""
        self._last = HEAD
        self._asked = True
        self._began_at = self._swept_at = self._allowed_at = 0.0
        self._sweeps = True

    def ask(self) -> None:
        """Note that jobs may lie before the cursor."""
        self._asked = True

    def begin(self) -> Place:
        """Return the position after which to search now."""
        self._began_at = now = monotonic()
        latest = self._swept_at + SWEEP_S
        wanted = self._asked or now >= latest
        self._sweeps = wanted and now >= min(self._allowed_at, latest)
        return HEAD if self._sweeps else self._last

    @property
    def next_at(self) -> float:
        """When a sweep is due that was requested, but was too costly to be made at once.

        After a sweep that skipped a locked job no sweep is due: the lock's holder notifies.
        """
        is_put_off = self._asked and not self._sweeps
        return min(self._allowed_at, self._swept_at + SWEEP_S) if is_put_off else inf

    def end(self, last: Place | None, *, passed: bool) -> None:
        """Record the last job that a search found; `passed`: jobs before it were skipped."""
        if self._sweeps:
            self._swept_at = now = monotonic()
            cost_s = max(0.0, now - self._began_at - CHEAP_S)
            self._allowed_at = now + SHARE * cost_s
            self._asked = False
        if last is not None:
            self._last = last
        self._asked = self._asked or passed
