"""Compiles a parsed phrase into cron expressions, or refuses it with the reason.

The rules; `docs/reference/schedules.md` gives their reasons and differences from the original.

1. A count fits its unit: 1 to 60 minutes, 24 hours, 30 days, 12 months. Cron starts again
   at each hour, day, month and year, so a greater count would silently have another meaning.
2. Two values for the same part contradict each other ("every 5 minutes at minute 7").
3. Finer units than the cadence default to its first moment, coarser ones to all:
   "every hour" is minute 0 of all hours, "every month" is the 1st at midnight. Two readings
   are refused ("every day at minute 30": once, or every hour?).
4. A range of hours includes its last hour if there is one run an hour
   (9am to 5pm: 9, …, 17); with several, it ends when that hour begins.
5. Times of different minutes are a union of crons.
6. A day of the month and a weekday together are one day or the other in cron. A phrase
   means that only when it lists them together ("on the 1st and monday"); otherwise it is
   refused, for "every monday on the 1st" means both.
7. A cadence of days, weeks, months or years gives way to the days that are named with it
   if that loses nothing ("every week on tuesday"), and is refused otherwise.

The days are compiled here, the times of day in `phrase_compiler_times`.
"""

from dataclasses import dataclass

from . import cron_expression as cron
from .cron_expression import DAY, MONTH, WEEKDAY, CronExpression, Field, MonthDays, WeekDays
from .error import ScheduleError, quoted
from .phrase import Cadence, Phrase
from .phrase_compiler_times import counted, times_of
from .wall_clock import require_possible

_MOST = {"second": 60, "minute": 60, "hour": 24, "day": 30, "week": 1, "month": 12, "year": 1}
_SIZES = _MOST | {"day": 31}


@dataclass(frozen=True, slots=True)
class _Days:
    """The three day fields of a cron; None stands for `*`."""

    month_days: MonthDays | None
    months: Field
    week_days: WeekDays | None


def crons_of(phrase: Phrase) -> list[CronExpression]:
    """Return the crons that the parts mean together, one or a union.

    Raises:
        ScheduleError: when they mean nothing, or more than one thing.
    """
    if phrase.cadence:
        _require_count(phrase, phrase.cadence)
    elif not (phrase.names_times or phrase.names_days):
        raise phrase.refusal(
            "names a zone, but no time", f'write "every hour in {phrase.zone}"'
        )
    days = _days_of(phrase)
    crons = [
        require_possible(
            CronExpression(
                seconds, minutes, hours, days.month_days, days.months, days.week_days
            )
        )
        for seconds, minutes, hours in times_of(phrase)
    ]
    phrase.warnings += cron.uneven_steps(crons[0])
    return crons


def _require_count(phrase: Phrase, cadence: Cadence) -> None:
    if cadence.count < 1:
        raise phrase.refusal("counts in steps of 0", f'write "every {cadence.unit}"')
    if cadence.count <= _MOST[cadence.unit]:
        return
    if cadence.unit in {"week", "year"}:
        raise _counted_weeks_or_years(phrase, cadence)
    larger = cron.LARGER[cadence.unit]
    raise ScheduleError(
        f"cron cannot express {quoted(phrase.text)}: it restarts the count with each"
        f" {larger}, which has {_SIZES[cadence.unit]} {cadence.unit}s",
        _instead(cadence.count, cadence.unit, larger),
    )


def _counted_weeks_or_years(phrase: Phrase, cadence: Cadence) -> ScheduleError:
    hint = "write one date, which comes every year"
    if cadence.unit == "week":
        hint = f'write the cron "0 0 * * mon%{cadence.count}": Mondays of every so many weeks'
    return phrase.refusal(f": a phrase can't count {cadence.unit}s", hint)


def _instead(count: int, unit: str, larger: str) -> str:
    if unit in {"day", "month"}:
        return f'write "every {larger}", or the dates as a cron'
    interval = f'"every: {count}{unit[0]}" for a true interval'
    if count % _SIZES[unit] == 0:
        return f'write "every {count // _SIZES[unit]} {larger}s", or {interval}'
    return f'write {interval}, or "every {larger}"'


def _days_of(phrase: Phrase) -> _Days:
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
    return _Days(_month_days(phrase), cron.full(MONTH), _week_days(phrase))


def _every_day(phrase: Phrase) -> _Days:
    cadence = phrase.cadence
    months = cron.only(MONTH, phrase.months) if phrase.months else cron.full(MONTH)
    if cadence is None or (cadence.count == 1 and cadence.first is None):
        return _Days(_month_days(phrase), months, _week_days(phrase))
    if phrase.has_weekdays:
        raise _both_days(phrase, "a cadence of days and a weekday")
    if phrase.has_month_days:
        return _Days(_every_day_of_range(phrase, cadence), months, None)
    days = counted(DAY, cadence)
    return _Days(None if days.is_full else MonthDays(days), months, None)


def _every_day_of_range(phrase: Phrase, cadence: Cadence) -> MonthDays:
    if (
        phrase.month_days
        or phrase.last_day
        or phrase.day_range is None
        or cadence.first is not None
    ):
        raise phrase.refusal(
            "gives the days twice", "write only the days, or only every how many"
        )
    return MonthDays(cron.only(DAY, DAY.wrapped(*phrase.day_range)[:: cadence.count]))


def _every_week(phrase: Phrase) -> _Days:
    if phrase.has_month_days or phrase.months:
        raise _both_days(phrase, "a cadence of weeks and a date")
    if phrase.has_weekdays:
        return _Days(None, cron.full(MONTH), _week_days(phrase))
    return _Days(None, cron.full(MONTH), WeekDays(cron.only(WEEKDAY, [0])))


def _every_month(phrase: Phrase, unit: str) -> _Days:
    cadence = phrase.cadence
    months = _months(phrase, unit)
    month_days, week_days = _month_days(phrase), _week_days(phrase)
    if unit == "year" and phrase.has_weekdays and not phrase.months:
        raise _both_days(phrase, "a cadence of years and a weekday")
    finer = cadence is not None and unit not in {"month", "year"}
    if not (phrase.has_month_days or phrase.has_weekdays or finer):
        month_days = MonthDays(cron.only(DAY, [1]))
    return _Days(month_days, months, week_days)


def _months(phrase: Phrase, unit: str) -> Field:
    cadence = phrase.cadence
    if unit == "year":
        return cron.only(MONTH, phrase.months or {1})
    if unit == "month" and cadence is not None:
        months = counted(MONTH, cadence)
        if phrase.months and not months.is_full:
            raise phrase.refusal(
                "gives the months twice", "write only the months, or only every how many"
            )
        return cron.only(MONTH, phrase.months) if phrase.months else months
    return cron.only(MONTH, phrase.months)


def _month_days(phrase: Phrase) -> MonthDays | None:
    if not phrase.has_month_days:
        return None
    days = set(phrase.month_days)
    if phrase.day_range:
        days |= set(DAY.wrapped(*phrase.day_range))
    if len(days) == DAY.size:
        return None
    return MonthDays(cron.only(DAY, days), frozenset({1} if phrase.last_day else ()))


def _week_days(phrase: Phrase) -> WeekDays | None:
    if not phrase.has_weekdays or len(phrase.weekdays) == WEEKDAY.size:
        return None
    return WeekDays(cron.only(WEEKDAY, phrase.weekdays), frozenset(phrase.nth_weekdays))


def _both_days(phrase: Phrase, parts: str) -> ScheduleError:
    return phrase.refusal(
        f"names {parts}: cron would run on either",
        'write the cron with "&" for days that are both, such as "0 0 1-7 * mon&"',
    )
