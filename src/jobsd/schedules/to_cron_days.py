"""Concludes from the parts of a phrase on which days it runs.

1. A day of the month and a weekday together are one day or the other in cron. A phrase
   means that only when it lists them together ("on the 1st and monday"); otherwise it is
   refused, for "every monday on the 1st" means both.
2. A cadence of days, weeks, months or years gives way to the days that are named with it
   where that loses nothing ("every week on tuesday"), and is refused where it would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .days import MonthDays, WeekDays
from .error import ScheduleError, quoted
from .fields import DAY, MONTH, WEEKDAY, Field, counted, full, only

if TYPE_CHECKING:
    from .phrase import Cadence, Phrase


@dataclass(frozen=True, slots=True)
class Days:
    """The three day fields of a cron; None stands for `*`."""

    month_days: MonthDays | None
    months: Field
    week_days: WeekDays | None


def days_of(phrase: Phrase) -> Days:
    """Return the day fields that the parts mean together.

    Raises:
        ScheduleError: when they mean nothing, or more than one thing.
    """
    unit = phrase.cadence.unit if phrase.cadence else ""
    if phrase.has_month_days and phrase.has_weekdays and not phrase.days_joined:
        raise _both_days(phrase, "a day of the month and a weekday")
    if unit == "day":
        return _every_day(phrase)
    if unit == "week":
        return _every_week(phrase)
    if unit in {"month", "year"} or phrase.months:
        return _every_month(phrase, unit)
    return Days(_month_days(phrase), full(MONTH), _week_days(phrase))


def _every_day(phrase: Phrase) -> Days:
    cadence = phrase.cadence
    months = only(MONTH, phrase.months) if phrase.months else full(MONTH)
    if cadence is None or (cadence.count == 1 and cadence.first is None):
        return Days(_month_days(phrase), months, _week_days(phrase))
    if phrase.has_weekdays:
        raise _both_days(phrase, "a cadence of days and a weekday")
    if phrase.has_month_days:
        return Days(_every_day_of_range(phrase, cadence), months, None)
    days = counted(DAY, cadence)
    return Days(None if days.is_full else MonthDays(days), months, None)


def _every_day_of_range(phrase: Phrase, cadence: Cadence) -> MonthDays:
    if (
        phrase.month_days
        or phrase.last_day
        or phrase.day_range is None
        or cadence.first is not None
    ):
        raise ScheduleError(
            f"{quoted(phrase.text)} says the days twice",
            "write only the days, or only every how many",
        )
    return MonthDays(only(DAY, _wrapped(*phrase.day_range)[:: cadence.count]))


def _every_week(phrase: Phrase) -> Days:
    if phrase.has_month_days or phrase.months:
        raise _both_days(phrase, "a cadence of weeks and a date")
    if phrase.has_weekdays:
        return Days(None, full(MONTH), _week_days(phrase))
    return Days(None, full(MONTH), WeekDays(only(WEEKDAY, [0])))


def _every_month(phrase: Phrase, unit: str) -> Days:
    cadence = phrase.cadence
    months = _months(phrase, unit)
    month_days, week_days = _month_days(phrase), _week_days(phrase)
    if unit == "year" and phrase.has_weekdays and not phrase.months:
        raise _both_days(phrase, "a cadence of years and a weekday")
    finer = cadence is not None and unit not in {"month", "year"}
    if not (phrase.has_month_days or phrase.has_weekdays or finer):
        month_days = MonthDays(only(DAY, [1]))
    return Days(month_days, months, week_days)


def _months(phrase: Phrase, unit: str) -> Field:
    cadence = phrase.cadence
    if unit == "year":
        return only(MONTH, phrase.months or {1})
    if unit == "month" and cadence is not None:
        months = counted(MONTH, cadence)
        if phrase.months and not months.is_full:
            raise ScheduleError(
                f"{quoted(phrase.text)} says the months twice",
                "write only the months, or only every how many",
            )
        return only(MONTH, phrase.months) if phrase.months else months
    return only(MONTH, phrase.months)


def _month_days(phrase: Phrase) -> MonthDays | None:
    if not phrase.has_month_days:
        return None
    days = set(phrase.month_days)
    if phrase.day_range:
        days |= set(_wrapped(*phrase.day_range))
    if len(days) == DAY.size:
        return None
    return MonthDays(only(DAY, days), frozenset({1} if phrase.last_day else ()))


def _wrapped(first: int, last: int) -> list[int]:
    length = (last - first) % DAY.size + 1
    return [(first - 1 + step) % DAY.size + 1 for step in range(length)]


def _week_days(phrase: Phrase) -> WeekDays | None:
    if not phrase.has_weekdays or len(phrase.weekdays) == WEEKDAY.size:
        return None
    return WeekDays(only(WEEKDAY, phrase.weekdays), frozenset(phrase.nth_weekdays))


def _both_days(phrase: Phrase, parts: str) -> ScheduleError:
    return ScheduleError(
        f"{quoted(phrase.text)} names {parts}: cron would run on either",
        'write the cron with "&" for days that are both, such as "0 0 1-7 * mon&"',
    )
