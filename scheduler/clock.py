"""The database's clock, as known here between two statements.

Planned instants are judged by one clock for all schedulers, so that hosts whose clocks lie
apart still agree. It is read now and then; in between, this machine's monotonic clock
counts on.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from jobsd.clock import monotonic

AHEAD_MAX = timedelta(seconds=10)
"""What lies further ahead of the database's clock than a reading may be old was written
before that clock was put back."""


class DatabaseClock:
    """Tells the database's time without asking for it; never ahead of it.

    A reading proves that the database's clock leads ours by something between two bounds:
    what it told, less when the answer came, or less when the question went. The lower one
    is used, and the highest of those kept, until a reading contradicts it: then the
    database's clock was set.
    """

    def __init__(self) -> None:
        self._lead_s: float | None = None

    def measure(self, asked: float, told: datetime, answered: float) -> float:
        """Take a reading: the monotonic times of question and answer, and what was told.

        Returns by how many seconds at least the database's clock was put back since the
        one before.
        """
        told_s = told.timestamp()
        at_least, at_most = told_s - answered, told_s - asked
        before_s = at_most if self._lead_s is None else self._lead_s
        if self._lead_s is None or not at_least <= self._lead_s <= at_most:
            self._lead_s = at_least
        return max(0.0, before_s - at_most)

    def now(self) -> datetime:
        """Return the database's time, in UTC.

        Raises:
            RuntimeError: when it was never read.
        """
        if self._lead_s is None:
            raise RuntimeError("the database's clock was not read yet")
        return datetime.fromtimestamp(0, UTC) + timedelta(seconds=monotonic() + self._lead_s)
