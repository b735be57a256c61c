"""A cron expression as the values that each field allows, and the one way to write it.

`cron_parser` makes one from its text, `phrase_compiler` from a phrase. Beside plain values the
two day fields know days counted from the month's end (`L`, `-2`), the weekday nearest to a day
(`15W`), the n-th weekday of a month (`1#2`, `5#-1`) and weekdays of every n-th week (`1%2`,
counted from the week of Monday, 2018-12-31, as the original does).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import groupby, pairwise

_WEEK_ZERO = date(2018, 12, 31)


@dataclass(frozen=True, slots=True)
class Span:
    """The unit that a field counts, with its lowest and highest value."""

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
    def has_each_month(self) -> bool:
        """Whether they are plain numbers of days that every month has."""
        return not (self.from_last or self.nearest_weekday) and max(self.plain.values) <= 28

    def match(self, day: date) -> bool:
        """Return whether `day` is one of them."""
        if day.day in self.plain.values:
            return True
        last = _last_of_month(day)
        if last - day.day + 1 in self.from_last:
            return True
        return any(day == _nearest(day, each, last) for each in self.nearest_weekday)

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
    nth: frozenset[tuple[int, int]] = field(default_factory=frozenset[tuple[int, int]])
    of_weeks: frozenset[tuple[int, int, int]] = field(
        default_factory=frozenset[tuple[int, int, int]]
    )

    @property
    def is_plain(self) -> bool:
        """Whether croniter can be given these days as a list."""
        return not (self.nth or self.of_weeks)

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
        plain = sorted(self.plain.values)
        parts = [written(self.plain.span, plain)] if plain else []
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


def _nearest(month: date, number: int, last: int) -> date | None:
    """Return the weekday nearest to a day of the month, never leaving that month."""
    if number > last:
        return None
    day = month.replace(day=number)
    shift = {6: -1 if number > 1 else 2, 7: 1 if number < last else -2}.get(day.isoweekday(), 0)
    return day + timedelta(days=shift)


def written(span: Span, values: list[int]) -> str:
    """Return sorted `values` as lists, ranges and steps, the shortest that reads well."""
    gaps = {later - earlier for earlier, later in pairwise(values)}
    step = gaps.pop() if len(gaps) == 1 else None
    if step == 1 and len(values) > 2:
        return f"{values[0]}-{values[-1]}"
    all_of_them = list(range(span.low, span.high + 1, step)) if step else []
    if span.high == 59 and values == all_of_them and len(values) > 2:
        return f"*/{step}"
    if step and step > 1 and len(values) > 4:
        return f"{values[0]}-{values[-1]}/{step}"
    texts: list[str] = []
    for _, found in groupby(enumerate(values), key=lambda pair: pair[1] - pair[0]):
        run = [value for _, value in found]
        texts += [f"{run[0]}-{run[-1]}"] if len(run) > 2 else map(str, run)
    return ",".join(texts)


@dataclass(frozen=True, slots=True)
class CronExpression:
    """Six fields; it runs at each moment that all of them allow.

    If both day fields are given, a day of either is enough, as cron has always had it, unless
    `both_days` (`&`) demands both. A day field of None stands for `*`.
    """

    seconds: Field
    minutes: Field
    hours: Field
    month_days: MonthDays | None
    months: Field
    week_days: WeekDays | None
    both_days: bool = False

    @property
    def follows_elapsed_time(self) -> bool:
        """Whether the hours are `*` or `*/n`, which go on evenly when the clocks change."""
        return self.hours.is_cadence

    @property
    def has_seconds(self) -> bool:
        """Whether it runs at other seconds than 0."""
        return self.seconds.values != frozenset({0})

    def match_day(self, day: date) -> bool:
        """Return whether the months and the day fields allow `day`."""
        if day.month not in self.months.values:
            return False
        answers = [days.match(day) for days in (self.month_days, self.week_days) if days]
        if not answers:
            return True
        return all(answers) if self.both_days else any(answers)

    def __str__(self) -> str:
        days = (self.month_days or "*", self.months, self.week_days or "*")
        text = " ".join(map(str, (self.minutes, self.hours, *days))) + "&" * self.both_days
        return f"{self.seconds} {text}" if self.has_seconds else text


def uneven_steps(cron: CronExpression) -> list[str]:
    """Return a sentence for each `*/n` that does not divide its span."""
    fields = [cron.seconds, cron.minutes, cron.hours, cron.months]
    if cron.month_days:
        fields.append(cron.month_days.plain)
    return [
        _describe_step(field.span, field.step, sorted(field.values))
        for field in fields
        if field.step and (field.span.size % field.step or field.span is DAY)
    ]


def _describe_step(span: Span, step: int, values: list[int]) -> str:
    """Return a sentence about a step that starts again before it is complete."""
    unit, larger = span.name, LARGER[span.name]
    few = values if len(values) <= 4 else [*values[:3], f"… {values[-1]}"]
    shown = ", ".join(map(str, few))
    last = span.size - values[-1] + span.low
    gap = f"the last gap is {last} {unit}{'s' * (last > 1)}"
    if span is DAY:
        gap = f"each {larger} starts again with day 1"
    sentence = f"every {step} {unit}s means {unit} {shown} of each {larger}: {gap}"
    return sentence + f"; a true interval is `every: {step}{unit[0]}`" * (span.low == 0)
