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
    from .said import Cadence, Said


@dataclass(frozen=True, slots=True)
class Days:
    """The three day fields of a cron; None stands for `*`."""

    month_days: MonthDays | None
    months: Field
    week_days: WeekDays | None


def read_days(said: Said) -> Days:
    """Return the day fields that the parts mean together.

    Raises:
        ScheduleError: when they mean nothing, or more than one thing.
    """
    unit = said.cadence.unit if said.cadence else ""
    if said.has_month_days and said.has_weekdays and not said.days_joined:
        raise _both_days(said, "a day of the month and a weekday")
    if unit == "day":
        return _every_day(said)
    if unit == "week":
        return _every_week(said)
    if unit in {"month", "year"} or said.months:
        return _every_month(said, unit)
    return Days(_month_days(said), full(MONTH), _week_days(said))


def _every_day(said: Said) -> Days:
    cadence = said.cadence
    months = only(MONTH, said.months) if said.months else full(MONTH)
    if cadence is None or (cadence.count == 1 and cadence.first is None):
        return Days(_month_days(said), months, _week_days(said))
    if said.has_weekdays:
        raise _both_days(said, "a cadence of days and a weekday")
    if said.has_month_days:
        return Days(_every_day_of_range(said, cadence), months, None)
    days = counted(DAY, cadence)
    return Days(None if days.is_full else MonthDays(days), months, None)


def _every_day_of_range(said: Said, cadence: Cadence) -> MonthDays:
    if said.month_days or said.last_day or said.day_range is None or cadence.first is not None:
        raise ScheduleError(
            f"{quoted(said.text)} says the days twice",
            "write only the days, or only every how many",
        )
    return MonthDays(only(DAY, _wrapped(*said.day_range)[:: cadence.count]))


def _every_week(said: Said) -> Days:
    if said.has_month_days or said.months:
        raise _both_days(said, "a cadence of weeks and a date")
    if said.has_weekdays:
        return Days(None, full(MONTH), _week_days(said))
    return Days(None, full(MONTH), WeekDays(only(WEEKDAY, [0])))


def _every_month(said: Said, unit: str) -> Days:
    cadence = said.cadence
    months = _months(said, unit)
    month_days, week_days = _month_days(said), _week_days(said)
    if unit == "year" and said.has_weekdays and not said.months:
        raise _both_days(said, "a cadence of years and a weekday")
    finer = cadence is not None and unit not in {"month", "year"}
    if not (said.has_month_days or said.has_weekdays or finer):
        month_days = MonthDays(only(DAY, [1]))
    return Days(month_days, months, week_days)


def _months(said: Said, unit: str) -> Field:
    cadence = said.cadence
    if unit == "year":
        return only(MONTH, said.months or {1})
    if unit == "month" and cadence is not None:
        months = counted(MONTH, cadence)
        if said.months and not months.is_full:
            raise ScheduleError(
                f"{quoted(said.text)} says the months twice",
                "write only the months, or only every how many",
            )
        return only(MONTH, said.months) if said.months else months
    return only(MONTH, said.months)


def _month_days(said: Said) -> MonthDays | None:
    if not said.has_month_days:
        return None
    days = set(said.month_days)
    if said.day_range:
        days |= set(_wrapped(*said.day_range))
    if len(days) == DAY.size:
        return None
    return MonthDays(only(DAY, days), frozenset({1} if said.last_day else ()))


def _wrapped(first: int, last: int) -> list[int]:
    length = (last - first) % DAY.size + 1
    return [(first - 1 + step) % DAY.size + 1 for step in range(length)]


def _week_days(said: Said) -> WeekDays | None:
    if not said.has_weekdays or len(said.weekdays) == WEEKDAY.size:
        return None
    return WeekDays(only(WEEKDAY, said.weekdays), frozenset(said.nth_weekdays))


def _both_days(said: Said, parts: str) -> ScheduleError:
    return ScheduleError(
        f"{quoted(said.text)} names {parts}: cron would run on either",
        'write the cron with "&" for days that are both, such as "0 0 1-7 * mon&"',
    )
