"""The two day fields of a cron expression: days of the month and days of the week.

Beside plain values they know days counted from the month's end (`L`, `-2`), the weekday
nearest to a day (`15W`), the n-th weekday of a month (`1#2`, `5#-1`) and weekdays of every
n-th week (`1%2`, counted from the week of Monday, 2018-12-31, as the original does).
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

from .fields import only, written

if TYPE_CHECKING:
    from .fields import Field

_WEEK_ZERO = date(2018, 12, 31)
NthWeekday = tuple[int, int]
WeekdayOfWeeks = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class MonthDays:
    """Days of the month; `from_last` counts from its end (1 is the last day)."""

    plain: Field
    from_last: frozenset[int] = frozenset()
    nearest_weekday: frozenset[int] = frozenset()

    @property
    def is_plain(self) -> bool:
        """Whether croniter can be given these days as a list."""
        return not (self.from_last or self.nearest_weekday)

    def widened(self) -> Field:
        """Return plain days of the month among which all of these lie."""
        days = set(self.plain.values)
        for number in self.from_last:
            days |= set(range(max(29 - number, 1), 33 - number))
        for number in self.nearest_weekday:
            days |= set(range(max(number - 2, 1), min(number + 2, 31) + 1))
        return only(self.plain.span, days)

    def match(self, day: date) -> bool:
        """Return whether `day` is one of them."""
        if day.day in self.plain.values:
            return True
        if self.is_plain:
            return False
        last = monthrange(day.year, day.month)[1]
        if last - day.day + 1 in self.from_last:
            return True
        return any(
            day.day == _nearest(day.year, day.month, number, last)
            for number in self.nearest_weekday
        )

    def can_match(self, longest: int) -> bool:
        """Return whether a month of at most `longest` days can have one of them."""
        return bool(self.from_last) or any(
            number <= longest for number in self.plain.values | self.nearest_weekday
        )

    def __str__(self) -> str:
        parts = [str(self.plain)] if self.plain.values else []
        parts += [f"{number}W" for number in sorted(self.nearest_weekday)]
        counted = sorted(self.from_last, reverse=True)
        if len(counted) > 2 and counted == list(range(len(counted), 0, -1)):
            return ",".join([*parts, f"-{counted[0]}-L"])
        return ",".join(parts + ["L" if number == 1 else f"-{number}" for number in counted])


@dataclass(frozen=True, slots=True)
class WeekDays:
    """Days of the week (0 is Sunday), plain, by number in the month, or by week."""

    plain: Field
    nth: frozenset[NthWeekday] = field(default_factory=frozenset[NthWeekday])
    of_weeks: frozenset[WeekdayOfWeeks] = field(default_factory=frozenset[WeekdayOfWeeks])

    @property
    def is_plain(self) -> bool:
        """Whether croniter can be given these days as a list."""
        return not (self.nth or self.of_weeks)

    def widened(self) -> Field:
        """Return plain days of the week among which all of these lie."""
        counted = {day for day, _ in self.nth} | {day for day, _, _ in self.of_weeks}
        return only(self.plain.span, self.plain.values | counted)

    def match(self, day: date) -> bool:
        """Return whether `day` is one of them."""
        weekday = day.isoweekday() % 7
        if weekday in self.plain.values:
            return True
        return any(
            weekday == wanted and _is_nth(day, number) for wanted, number in self.nth
        ) or any(
            weekday == wanted and (day - _WEEK_ZERO).days // 7 % every == offset % every
            for wanted, every, offset in self.of_weeks
        )

    def __str__(self) -> str:
        parts = (
            [written(self.plain.span, sorted(self.plain.values))] if self.plain.values else []
        )
        parts += [f"{weekday}#{number}" for weekday, number in sorted(self.nth)]
        parts += [
            f"{weekday}%{every}" + (f"+{offset}" if offset else "")
            for weekday, every, offset in sorted(self.of_weeks)
        ]
        return ",".join(parts)


def _is_nth(day: date, number: int) -> bool:
    if number > 0:
        return (day.day - 1) // 7 + 1 == number
    last = monthrange(day.year, day.month)[1]
    return (last - day.day) // 7 + 1 == -number


def _nearest(year: int, month: int, number: int, last: int) -> int:
    """Return the weekday nearest to a day of the month, never leaving that month."""
    if number > last:
        return 0
    day = date(year, month, number)
    if day.isoweekday() == 6:
        day += timedelta(days=-1 if number > 1 else 2)
    elif day.isoweekday() == 7:
        day += timedelta(days=1 if number < last else -2)
    return day.day
