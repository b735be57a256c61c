"""The database's clock, counted on by this process between two readings.

Planned instants are judged by one clock for all schedulers, so that hosts with different clocks
still agree. The clock is read now and then; in between, this machine's monotonic clock counts
on.
"""

from datetime import UTC, datetime, timedelta

from jobsd.clock import monotonic

AHEAD_MAX = timedelta(seconds=10)
"""The maximum age of a reading. An instant further ahead of the database's clock was written
before that clock was put back."""


class DatabaseClock:
    """Knows the database's time without a query, and is never ahead of it.

    A reading proves that the lead of the database's clock over ours lies between two bounds:
    its time minus ours at the answer, and minus ours at the question. The lower bound is used,
    and the highest lower bound is kept, until a reading contradicts it: then the database's
    clock was set.
    """

    def __init__(self) -> None:
        self._lead_s: float | None = None

    def measure(self, asked: float, time: datetime, answered: float) -> float:
        """Add a reading: the monotonic times of question and answer, and the time read.

        Returns the minimum number of seconds by which the database's clock was put back since
        the previous reading.
        """
        time_s = time.timestamp()
        at_least, at_most = time_s - answered, time_s - asked
        before_s = at_most if self._lead_s is None else self._lead_s
        if self._lead_s is None or not at_least <= self._lead_s <= at_most:
            self._lead_s = at_least
        return max(0.0, before_s - at_most)

    def now(self) -> datetime:
        """Return the database's time, in UTC.

        Raises:
            RuntimeError: before the first reading.
        """
        if self._lead_s is None:
            raise RuntimeError("the database's clock was not read yet")
        return datetime.fromtimestamp(0, UTC) + timedelta(seconds=monotonic() + self._lead_s)
