"""True intervals: every so many seconds, counted from the Unix epoch.

Because every interval begins at the epoch, no restart and no second scheduler shifts it,
and it never drifts. It knows no wall clock: `every: 24h` is not "every day".
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from jobsd.clock import parse_duration

from .error import ScheduleError, quoted

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHORTEST = timedelta(seconds=1)
_LONGEST = timedelta(days=366)


def parse_interval(value: object) -> timedelta:
    """Return the interval that a number of seconds, a `timedelta` or words such as `90m` mean.

    Raises:
        ScheduleError: for what is no duration, or shorter than a second, or than a year longer.
    """
    try:
        interval = timedelta(seconds=parse_duration(value))
    except (ValueError, OverflowError) as error:
        raise ScheduleError(
            f"{quoted(str(value))} is no interval",
            "write a number with one of the units ms, s, m, h, d: 90m, or 1h30m",
        ) from error
    if not _SHORTEST <= interval <= _LONGEST:
        raise ScheduleError(
            f"an interval of {quoted(str(value))} is out of bounds",
            "an interval lasts from one second to 366 days",
        )
    return interval


class IntervalTimes:
    """The instants, in UTC, that lie a whole number of intervals after the epoch."""

    __slots__ = ("_interval",)

    def __init__(self, interval: timedelta) -> None:
        self._interval = interval

    def after(self, instant: datetime) -> datetime:
        """Return the first run later than `instant`, which is aware."""
        return self.at_or_before(instant) + self._interval

    def at_or_before(self, instant: datetime) -> datetime:
        """Return the last run not later than `instant`."""
        return _EPOCH + (instant - _EPOCH) // self._interval * self._interval
