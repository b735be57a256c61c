"""A cron expression as sets of values, and the one canonical way to write it.

`cron_parser` makes one from its text, `phrase_compiler` from a phrase. This module says
which days match, prints the expression, and refuses one that can never run.
"""

from dataclasses import dataclass
from datetime import date, timedelta

from .cron_fields import DAY, LARGER, MONTH, Field, MonthDays, Span, WeekDays
from .error import ScheduleError
from .vocabulary import MONTH_NAMES

_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
# The 29th of February falls on each weekday within 40 years, even across the year 2100.
_SEARCH_LIMIT = timedelta(days=366 * 40)


@dataclass(frozen=True, slots=True)
class CronExpression:
    """Six fields; it runs at each moment that all of them allow.

    Where both day fields are given, one of them is enough, as cron has always had it, unless
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

    def match_day(self, day: date) -> bool:
        """Return whether the months and the day fields allow `day`."""
        if day.month not in self.months.values:
            return False
        answers = [days.match(day) for days in (self.month_days, self.week_days) if days]
        if not answers:
            return True
        return all(answers) if self.both_days else any(answers)

    def __str__(self) -> str:
        fields = [
            str(self.minutes),
            str(self.hours),
            str(self.month_days or "*"),
            str(self.months),
            str(self.week_days or "*") + ("&" if self.both_days else ""),
        ]
        if self.seconds.values != frozenset({0}):
            fields.insert(0, str(self.seconds))
        return " ".join(fields)


def require_possible(cron: CronExpression) -> CronExpression:
    """Return `cron`.

    Raises:
        ScheduleError: when no day ever matches, such as the 30th of February.
    """
    days = cron.month_days
    alone = cron.week_days is None or cron.both_days
    months = sorted(cron.months.values)
    if days and alone and not any(days.can_match(_LONGEST[month - 1]) for month in months):
        named = (
            MONTH_NAMES[months[0] - 1].capitalize() if len(months) == 1 else "any of its months"
        )
        raise ScheduleError(
            f"there is no day {days} in {named}",
            'the last day of a month is "L", or "last day of the month"',
        )
    if _is_rare(cron) and not _has_a_day(cron):
        raise ScheduleError("no day in 40 years matches these day fields together")
    return cron


def uneven_steps(cron: CronExpression) -> list[str]:
    """Return a sentence for each `*/n` that does not divide what it steps through."""
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
    return (
        sentence
        if span in {DAY, MONTH}
        else f"{sentence}; a true interval is `every: {step}{unit[0]}`"
    )


def _is_rare(cron: CronExpression) -> bool:
    """Return whether only a search can show that the expression ever runs."""
    return cron.both_days or not (cron.week_days is None or cron.week_days.is_plain)


def _has_a_day(cron: CronExpression) -> bool:
    day = date(2001, 1, 1)
    end = day + _SEARCH_LIMIT
    while day < end:
        if cron.match_day(day):
            return True
        day += timedelta(days=1)
    return False
