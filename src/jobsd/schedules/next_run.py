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
one such stretch of time to the next.

A wall-clock time is a day and a time of day. The times of day are three sorted lists. The days
of one year are tried one by one. That takes up to 0.1 ms, as long as one step of croniter, and
loading croniter takes a fifth of the time that a command may take. If no day of a year matches,
croniter continues. It gets only plain lists of numbers, so it does not matter how its versions
parse steps and ranges. It gets only midnights in UTC, which stand for days: this module decides
about changes of the clocks. Days that no plain list can express (`-2`, `5#-1`, `1%2`, `15W`)
are widened to a list that contains them, and days that don't match are skipped.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from threading import Lock
from typing import TYPE_CHECKING

from .cron_expression import CronExpression

if TYPE_CHECKING:
    from croniter import croniter


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
# No zone changes its clocks twice within this time (in 2026 the nearest are a month apart).
_STRETCH = timedelta(days=7)
# 29 February of a given weekday: 40 years apart across 2100.
_MAX_YEARS_BETWEEN = 50
_ANY_TIME = datetime(2001, 1, 1, tzinfo=UTC)
_MAX_DAYS_STEPPED_OVER = 366 * _MAX_YEARS_BETWEEN
_DAYS_TRIED = 366


class CronRuns:
    """The instants, all in UTC and in whole seconds, at which one cron runs in one zone."""

    __slots__ = ("_wall_clock", "_zone", "cron")

    def __init__(self, cron: CronExpression, zone: tzinfo) -> None:
        self.cron = cron
        self._wall_clock = _WallClock(cron)
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


class _WallClock:
    """The matching wall-clock times of one cron. Safe from any thread."""

    __slots__ = ("_cron", "_days", "_times")

    def __init__(self, cron: CronExpression) -> None:
        self._cron = cron
        self._days = _Days(cron)
        self._times = _TimesOfDay(cron)

    def after(self, wall: datetime) -> datetime:
        """Return the first match later than `wall`, both naive, in whole seconds.

        Raises:
            OverflowError: when there is none before the year 10000.
        """
        day, found = wall.date(), self._times.after(wall.time())
        if found is None or not self._cron.match_day(day):
            day, found = self._days.after(day), self._times.first
        return datetime.combine(day, found)

    def before(self, wall: datetime) -> datetime:
        """Return the last match earlier than `wall`; otherwise like `after`."""
        day, found = wall.date(), self._times.before(wall.time())
        if found is None or not self._cron.match_day(day):
            day, found = self._days.before(day), self._times.last
        return datetime.combine(day, found)


class _TimesOfDay:
    """The times of any day at which a cron runs."""

    __slots__ = ("_hours", "_minutes", "_seconds", "first", "last")

    def __init__(self, cron: CronExpression) -> None:
        self._hours = sorted(cron.hours.values)
        self._minutes = sorted(cron.minutes.values)
        self._seconds = sorted(cron.seconds.values)
        self.first = time(self._hours[0], self._minutes[0], self._seconds[0])
        self.last = time(self._hours[-1], self._minutes[-1], self._seconds[-1])

    def after(self, given: time) -> time | None:
        """Return the first one later than `given`."""
        hour, minute, second = given.hour, given.minute, given.second
        if hour in self._hours:
            if minute in self._minutes and (later := _above(self._seconds, second)):
                return given.replace(second=later[0])
            if later := _above(self._minutes, minute):
                return self.first.replace(hour=hour, minute=later[0])
        later = _above(self._hours, hour)
        return self.first.replace(hour=later[0]) if later else None

    def before(self, given: time) -> time | None:
        """Return the last one earlier than `given`."""
        hour, minute, second = given.hour, given.minute, given.second
        if hour in self._hours:
            if minute in self._minutes and (earlier := _below(self._seconds, second)):
                return given.replace(second=earlier[-1])
            if earlier := _below(self._minutes, minute):
                return self.last.replace(hour=hour, minute=earlier[-1])
        earlier = _below(self._hours, hour)
        return self.last.replace(hour=earlier[-1]) if earlier else None


def _above(values: list[int], value: int) -> list[int]:
    return values[bisect_right(values, value) :]


def _below(values: list[int], value: int) -> list[int]:
    return values[: bisect_left(values, value)]


class _Days:
    """The days on which a cron runs. Safe from any thread."""

    __slots__ = ("_croniter", "_lock", "cron")

    def __init__(self, cron: CronExpression) -> None:
        self.cron = cron
        self._croniter: croniter[datetime] | None = None
        self._lock = Lock()

    def after(self, day: date) -> date:
        """Return the first one later than `day`; otherwise like `_WallClock.after`."""
        return self._found(day, backwards=False)

    def before(self, day: date) -> date:
        """Return the last one earlier than `day`."""
        return self._found(day, backwards=True)

    def _found(self, day: date, *, backwards: bool) -> date:
        for _ in range(_DAYS_TRIED):
            day += -_DAY if backwards else _DAY
            if self.cron.match_day(day):
                return day
        for _ in range(_MAX_DAYS_STEPPED_OVER):
            day = self._step(day, backwards=backwards)
            if self.cron.match_day(day):
                return day
        raise OverflowError("no match within 50 years")

    def _step(self, day: date, *, backwards: bool) -> date:
        with self._lock:
            if self._croniter is None:
                self._croniter = _new_croniter(self.cron)
            # Debian's croniter, 2.0, has no other way to set where it starts.
            midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
            self._croniter.set_current(midnight, force=True)
            step = self._croniter.get_prev if backwards else self._croniter.get_next
            try:
                return step(datetime).date()
            except ValueError as error:
                raise OverflowError(str(error)) from error


def _new_croniter(cron: CronExpression) -> croniter[datetime]:
    from croniter import croniter  # noqa: PLC0415 - costs 40 ms, which only rare runs pay

    fields = (
        "0 0",
        cron.month_days.widened().explicit() if cron.month_days else "*",
        cron.months.explicit(),
        cron.week_days.widened().explicit() if cron.week_days else "*",
    )
    return croniter(
        " ".join(fields),
        _ANY_TIME,
        ret_type=datetime,
        day_or=not cron.both_days,
        max_years_between_matches=_MAX_YEARS_BETWEEN,
    )


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
