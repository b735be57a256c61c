"""The values that each field of a cron expression allows, and how people write them.

Beside plain values the two day fields know days counted from the month's end (`L`, `-2`),
the weekday nearest to a day (`15W`), the n-th weekday of a month (`1#2`, `5#-1`) and
weekdays of every n-th week (`1%2`, counted from the week of Monday, 2018-12-31, as the
original does).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise

NthWeekday = tuple[int, int]
WeekdayOfWeeks = tuple[int, int, int]

_WEEK_ZERO = date(2018, 12, 31)


@dataclass(frozen=True, slots=True)
class Span:
    """What a field counts, and from where to where."""

    name: str
    low: int
    high: int

    @property
    def size(self) -> int:
        """How many values there are."""
        return self.high - self.low + 1

    def wrapped(self, first: int, last: int) -> list[int]:
        """Return the values from `first` to `last`, which may lie beyond the span's end."""
        length = last - first + 1 if last >= first else last - first + 1 + self.size
        return [
            (first - self.low + i) % self.size + self.low for i in range(min(length, self.size))
        ]


SECOND = Span("second", 0, 59)
MINUTE = Span("minute", 0, 59)
HOUR = Span("hour", 0, 23)
DAY = Span("day", 1, 31)
MONTH = Span("month", 1, 12)
WEEKDAY = Span("weekday", 0, 6)
LARGER = {"second": "minute", "minute": "hour", "hour": "day", "day": "month", "month": "year"}


@dataclass(frozen=True, slots=True)
class Field:
    """The allowed values of one field.

    `step` is n where the field was written as "every n" (`*/n`). It does not change the
    values, but hours written so follow elapsed time when the clocks change.
    """

    span: Span
    values: frozenset[int]
    step: int | None = None

    @property
    def is_full(self) -> bool:
        """Whether every value is allowed (`*`)."""
        return len(self.values) == self.span.size

    @property
    def is_cadence(self) -> bool:
        """Whether it is `*`, or `*/n` that really repeats within the span."""
        return self.is_full or (self.step is not None and len(self.values) > 1)

    def explicit(self) -> str:
        """Return `*` or the plain list of values: all that croniter is ever given."""
        return "*" if self.is_full else ",".join(map(str, sorted(self.values)))

    def __str__(self) -> str:
        if self.is_full:
            return "*"
        if self.is_cadence:
            return f"*/{self.step}"
        return written(self.span, sorted(self.values))


def full(span: Span) -> Field:
    """Return the field that allows everything."""
    return Field(span, frozenset(range(span.low, span.high + 1)))


def only(span: Span, values: Iterable[int]) -> Field:
    """Return the field that allows just these values."""
    return Field(span, frozenset(values))


def every(span: Span, count: int) -> Field:
    """Return `*/count`: from the span's first value on, every `count`-th."""
    return Field(span, frozenset(range(span.low, span.high + 1, count)), step=count)


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
        last = _last_of_month(day)
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


def _last_of_month(day: date) -> int:
    from calendar import monthrange  # noqa: PLC0415 - loads `locale`, and few schedules ask

    return monthrange(day.year, day.month)[1]


def _is_nth(day: date, number: int) -> bool:
    if number > 0:
        return (day.day - 1) // 7 + 1 == number
    last = _last_of_month(day)
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


def written(span: Span, values: list[int]) -> str:
    """Return sorted `values` as lists, ranges and steps, the shortest that reads well."""
    step = _even_step(values)
    if step == 1 and len(values) > 2:
        return f"{values[0]}-{values[-1]}"
    if span.high == 59 and step and _covers(span, values, step) and len(values) > 2:
        return f"*/{step}"
    if step and step > 1 and len(values) > 4:
        return f"{values[0]}-{values[-1]}/{step}"
    return ",".join(_runs(values))


def _even_step(values: list[int]) -> int | None:
    gaps = {later - earlier for earlier, later in pairwise(values)}
    return gaps.pop() if len(gaps) == 1 else None


def _covers(span: Span, values: list[int], step: int) -> bool:
    return values == list(range(span.low, span.high + 1, step))


def _runs(values: list[int]) -> list[str]:
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return [text for run in runs for text in _run(run)]


def _run(run: list[int]) -> list[str]:
    return [f"{run[0]}-{run[-1]}"] if len(run) > 2 else [str(value) for value in run]
