"""Behind which job the dispatcher searches for the next ones that are due.

While an old snapshot is open, rows that were dispatched can't be vacuumed, and a search from
the head of the index walks over all of them. So each search begins behind the last job that was
dispatched. Before that lie jobs whose enqueuer committed late, and jobs that were locked. A
*sweep* from the head finds them: at once when a notification has come or a locked job was
passed over, and every five seconds at least. A sweep that is costly, because there is much to
walk over, is made for at most a tenth of the time. Workers search in the same way.
"""

from math import inf
from typing import NamedTuple

from jobsd.clock import monotonic

SWEEP_S = 5.0
"""The longest time between two sweeps."""
SHARE = 9.0
"""After a sweep, at least this many times its cost passes before the next."""
CHEAP_S = 0.002
"""A sweep that takes no longer is not costly: any dispatch takes as long."""


class Place(NamedTuple):
    """Where a job lies in the order in which jobs are due; `at` is as PostgreSQL writes it."""

    at: str
    priority: int
    job_id: int

    def parameters(self) -> dict[str, str | int]:
        """Return the parameters of a search that begins behind it."""
        return {f"after_{name}": value for name, value in self._asdict().items()}


HEAD = Place("-infinity", -(2**31), 0)


class DueCursor:
    """Where the searches of one dispatcher begin."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin at the head: what is remembered may be of another past."""
        self._last = HEAD
        self._asked = True
        self._began_at = self._swept_at = self._allowed_at = 0.0
        self._sweeps = True

    def ask(self) -> None:
        """Take note that jobs may lie before the cursor."""
        self._asked = True

    def begin(self) -> Place:
        """Return behind which place to search now."""
        self._began_at = now = monotonic()
        latest = self._swept_at + SWEEP_S
        wanted = self._asked or now >= latest
        self._sweeps = wanted and now >= min(self._allowed_at, latest)
        return HEAD if self._sweeps else self._last

    @property
    def next_at(self) -> float:
        """When a sweep is due that was asked for and was too costly to be made at once.

        After a sweep that passed over a locked job there is none: its holder notifies.
        """
        is_put_off = self._asked and not self._sweeps
        return min(self._allowed_at, self._swept_at + SWEEP_S) if is_put_off else inf

    def end(self, last: Place | None, *, passed: bool) -> None:
        """Take in the last job that a search has found; `passed`: not all before it."""
        if self._sweeps:
            self._swept_at = now = monotonic()
            cost_s = max(0.0, now - self._began_at - CHEAP_S)
            self._allowed_at = now + SHARE * cost_s
            self._asked = False
        if last is not None:
            self._last = last
        self._asked = self._asked or passed
