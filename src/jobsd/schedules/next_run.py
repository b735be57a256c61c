"""Computes the runs of a cron expression in a time zone, and those of an interval.

A cron with fixed hours runs exactly once for each matching wall-clock time:
- a time that a change of the clocks skips runs at the first instant after the gap; all
  times of one gap, and those on that instant itself, are one run;
- a time that a change repeats runs on its first pass only.
So each wall-clock time stands for one instant, in order, and the next run is that of the
first wall-clock time whose instant is later.

A cron whose hours are `*` or `*/n` follows elapsed time: it runs at every instant at which
the wall clock matches, on both passes of a repeated hour, and never for a skipped one.
Between two changes the wall clock is a clock that never changes; so the search goes from
one of these stretches of time to the next.
"""

from datetime import UTC, datetime, timedelta, tzinfo

from . import wall_clock
from .cron_expression import CronExpression

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
# No zone changes its clocks twice within this time (in 2026 the nearest are a month apart).
_STRETCH = timedelta(days=7)


class CronRuns:
    """The instants, all in UTC and in whole seconds, at which one cron runs in one zone."""

    __slots__ = ("_wall_clock", "_zone", "cron")

    def __init__(self, cron: CronExpression, zone: tzinfo) -> None:
        self.cron = cron
        self._wall_clock = wall_clock.WallClock(cron)
        self._zone = zone

    def after(self, instant: datetime) -> datetime:
        """Return the first run later than `instant`, which is aware.

        Raises:
            OverflowError: when there is none before the year 9999.
        """
        start = instant.astimezone(UTC).replace(microsecond=0)
        if self.cron.follows_elapsed_time:
            return self._elapsed_after(start)
        return self._fixed_after(start)

    def at_or_before(self, instant: datetime) -> datetime:
        """Return the last run not later than `instant`; otherwise like `after`."""
        end = instant.astimezone(UTC).replace(microsecond=0)
        if self.cron.follows_elapsed_time:
            return self._elapsed_before(end + _SECOND)
        return self._fixed_before(end + _SECOND)

    def _fixed_after(self, start: datetime) -> datetime:
        wall = self._wall(start)
        while True:
            wall = self._wall_clock.after(wall)
            if (found := self._instant(wall)) > start:
                return found

    def _fixed_before(self, end: datetime) -> datetime:
        local = (end - _SECOND).astimezone(self._zone)
        wall = local.replace(tzinfo=None, fold=0) + _SECOND
        if local.fold:
            # This is the second pass: all runs of the first pass are over, later times too.
            wall += _offset(local.replace(fold=0)) - _offset(local)
        while True:
            wall = self._wall_clock.before(wall)
            if (found := self._instant(wall)) < end:
                return found

    def _instant(self, wall: datetime) -> datetime:
        """Return the one instant that a wall-clock time with fixed hours stands for."""
        local = wall.replace(tzinfo=self._zone)
        instant = local.astimezone(UTC)
        if self._wall(instant) == wall:
            return instant
        after_gap = _offset(local.replace(fold=1))
        return self._first_change(wall.replace(tzinfo=UTC) - after_gap - _SECOND, instant)

    def _elapsed_after(self, start: datetime) -> datetime:
        while True:
            offset = _offset(start.astimezone(self._zone))
            found = self._wall_clock.after((start + offset).replace(tzinfo=None))
            instant = found.replace(tzinfo=UTC) - offset
            if not (change := self._change_within(start, instant)):
                return instant
            if self._matches(change):
                return change
            start = change

    def _elapsed_before(self, end: datetime) -> datetime:
        while True:
            offset = _offset((end - _SECOND).astimezone(self._zone))
            found = self._wall_clock.before((end + offset).replace(tzinfo=None))
            instant = found.replace(tzinfo=UTC) - offset
            if not (change := self._last_change_within(instant, end - _SECOND)):
                return instant
            end = change

    def _matches(self, instant: datetime) -> bool:
        wall = self._wall(instant)
        return self._wall_clock.after(wall - _SECOND) == wall

    def _wall(self, instant: datetime) -> datetime:
        return instant.astimezone(self._zone).replace(tzinfo=None, fold=0)

    def _change_within(self, start: datetime, end: datetime) -> datetime | None:
        """Return the first instant of a new offset in (start, end], if there is one."""
        while start < end:
            stop = min(start + _STRETCH, end)
            if self._offset_at(start) != self._offset_at(stop):
                return self._first_change(start, stop)
            start = stop
        return None

    def _last_change_within(self, start: datetime, end: datetime) -> datetime | None:
        while start < end:
            stop = max(end - _STRETCH, start)
            if self._offset_at(stop) != self._offset_at(end):
                return self._first_change(stop, end)
            end = stop
        return None

    def _first_change(self, start: datetime, end: datetime) -> datetime:
        """Return the first instant after `start` with another offset; `end` has one, too."""
        offset = self._offset_at(start)
        while end - start > _SECOND:
            middle = start + (end - start) // 2
            middle = middle.replace(microsecond=0)
            if self._offset_at(middle) == offset:
                start = middle
            else:
                end = middle
        return end

    def _offset_at(self, instant: datetime) -> timedelta:
        return _offset(instant.astimezone(self._zone))


def _offset(local: datetime) -> timedelta:
    return local.utcoffset() or timedelta(0)


class IntervalRuns:
    """The instants, in UTC, that lie a whole number of intervals after the Unix epoch.

    No restart and no second scheduler shifts them, and they never drift. An interval knows
    no wall clock: `every: 24h` is not "every day".
    """

    __slots__ = ("_interval",)

    def __init__(self, interval: timedelta) -> None:
        self._interval = interval

    def after(self, instant: datetime) -> datetime:
        """Return the first run later than `instant`, which is aware."""
        return self.at_or_before(instant) + self._interval

    def at_or_before(self, instant: datetime) -> datetime:
        """Return the last run not later than `instant`."""
        return _EPOCH + (instant - _EPOCH) // self._interval * self._interval
