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
"""

from itertools import groupby

from . import cron_expression as cron
from .cron_expression import DAY, HOUR, MINUTE, MONTH, SECOND, WEEKDAY, Field, MonthDays, Span
from .error import ScheduleError, quoted
from .phrase import Cadence, Phrase
from .wall_clock import require_possible

_MOST = {"second": 60, "minute": 60, "hour": 24, "day": 30, "week": 1, "month": 12, "year": 1}
_SIZES = _MOST | {"day": 31}


_Days = tuple[MonthDays | None, Field, cron.WeekDays | None]
"""The three day fields of a cron; None stands for `*`."""
_Times = list[tuple[Field, Field, Field]]
"""The second, minute and hour fields, several for times that no cron can share."""


def crons_of(phrase: Phrase) -> list[cron.CronExpression]:
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
    unit = phrase.cadence.unit if phrase.cadence else ""
    days, times = _days_of(phrase, unit), _times_of(phrase, unit)
    crons = [require_possible(cron.CronExpression(*each, *days)) for each in times]
    phrase.warnings += cron.uneven_steps(crons[0])
    return crons


def _require_count(phrase: Phrase, cadence: Cadence) -> None:
    if cadence.count < 1:
        raise phrase.refusal("counts in steps of 0", f'write "every {cadence.unit}"')
    if cadence.count <= _MOST[cadence.unit]:
        return
    if cadence.unit in {"week", "year"}:
        hint = "write one date, which comes every year"
        if cadence.unit == "week":
            n = cadence.count
            hint = f'write the cron "0 0 * * mon%{n}": Mondays, every {n} weeks'
        raise phrase.refusal(f": a phrase can't count {cadence.unit}s", hint)
    larger = cron.LARGER[cadence.unit]
    raise ScheduleError(
        f"cron cannot express {quoted(phrase.text)}: it restarts the count with each"
        f" {larger}, which has {_SIZES[cadence.unit]} {cadence.unit}s",
        _instead(cadence.count, cadence.unit, larger),
    )


def _instead(count: int, unit: str, larger: str) -> str:
    if unit in {"day", "month"}:
        return f'write "every {larger}", or the dates as a cron'
    interval = f'"every: {count}{unit[0]}" for a true interval'
    if count % _SIZES[unit] == 0:
        return f'write "every {count // _SIZES[unit]} {larger}s", or {interval}'
    return f'write {interval}, or "every {larger}"'


def _days_of(phrase: Phrase, unit: str) -> _Days:
    if phrase.has_month_days and phrase.has_weekdays and not phrase.days_joined:
        raise _both_days(phrase, "a day of the month and a weekday")
    if unit == "day":
        return _every_day(phrase)
    if unit == "week":
        if phrase.has_month_days or phrase.months:
            raise _both_days(phrase, "a cadence of weeks and a date")
        sunday = cron.WeekDays(cron.only(WEEKDAY, [0]))
        return None, cron.full(MONTH), _week_days(phrase) if phrase.has_weekdays else sunday
    if unit in {"month", "year"} or phrase.months:
        return _every_month(phrase, unit)
    return _month_days(phrase), cron.full(MONTH), _week_days(phrase)


def _every_day(phrase: Phrase) -> _Days:
    cadence = phrase.cadence
    months = cron.only(MONTH, phrase.months) if phrase.months else cron.full(MONTH)
    if cadence is None or (cadence.count == 1 and cadence.first is None):
        return _month_days(phrase), months, _week_days(phrase)
    if phrase.has_weekdays:
        raise _both_days(phrase, "a cadence of days and a weekday")
    if phrase.has_month_days:
        return _every_day_of_range(phrase, cadence), months, None
    days = _counted(DAY, cadence)
    return None if days.is_full else MonthDays(days), months, None


def _every_day_of_range(phrase: Phrase, cadence: Cadence) -> MonthDays:
    days, ends = phrase.month_days or phrase.last_day, phrase.day_range
    if days or ends is None or cadence.first is not None:
        raise phrase.refusal(
            "gives the days twice", "write only the days, or only every how many"
        )
    return MonthDays(cron.only(DAY, DAY.wrapped(*ends)[:: cadence.count]))


def _every_month(phrase: Phrase, unit: str) -> _Days:
    cadence = phrase.cadence
    months = _months(phrase, unit)
    month_days, week_days = _month_days(phrase), _week_days(phrase)
    if unit == "year" and phrase.has_weekdays and not phrase.months:
        raise _both_days(phrase, "a cadence of years and a weekday")
    finer = cadence is not None and unit not in {"month", "year"}
    if not (phrase.has_month_days or phrase.has_weekdays or finer):
        month_days = MonthDays(cron.only(DAY, [1]))
    return month_days, months, week_days


def _months(phrase: Phrase, unit: str) -> Field:
    cadence = phrase.cadence
    if unit == "year":
        return cron.only(MONTH, phrase.months or {1})
    if unit == "month" and cadence is not None:
        months = _counted(MONTH, cadence)
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


def _week_days(phrase: Phrase) -> cron.WeekDays | None:
    if not phrase.has_weekdays or len(phrase.weekdays) == WEEKDAY.size:
        return None
    return cron.WeekDays(cron.only(WEEKDAY, phrase.weekdays), frozenset(phrase.nth_weekdays))


def _both_days(phrase: Phrase, parts: str) -> ScheduleError:
    return phrase.refusal(
        f"names {parts}: cron would run on either",
        'write the cron with "&" for days that are both, such as "0 0 1-7 * mon&"',
    )


def _times_of(phrase: Phrase, unit: str) -> _Times:
    match unit:
        case "second":
            return _every_second(phrase)
        case "minute":
            return _every_minute(phrase)
        case "hour":
            return _every_hour(phrase)
        case _:
            return _at_times(phrase)


def _counted(span: Span, cadence: Cadence | None) -> Field:
    """Return the values that a cadence of this span's unit counts to."""
    if cadence is None:
        return cron.full(span)
    if cadence.first is None:
        return cron.every(span, cadence.count)
    if not span.low <= cadence.first <= span.high:
        raise ScheduleError(
            f"there is no {span.name} {cadence.first} to start at",
            f"they go from {span.low} to {span.high}",
        )
    return cron.only(span, range(cadence.first, span.high + 1, cadence.count))


def _every_second(phrase: Phrase) -> _Times:
    _refuse_twice(phrase, "second", phrase.seconds)
    seconds = _counted(SECOND, phrase.cadence)
    if phrase.times:
        return _grouped(phrase, seconds)
    _refuse_two_ways(phrase, phrase.minutes and phrase.on_the)
    on_the_hour = phrase.on_the == "hour"
    some = phrase.minutes or ({0} if on_the_hour else ())
    minutes = cron.only(MINUTE, some) if some else cron.full(MINUTE)
    return [(seconds, minutes, _hours(phrase, including_last=on_the_hour))]


def _every_minute(phrase: Phrase) -> _Times:
    _refuse_twice(phrase, "minute", phrase.minutes or phrase.on_the == "hour")
    if phrase.times:
        _refuse_two_ways(phrase, phrase.hours or phrase.hour_ranges)
        if any(time.minute for time in phrase.times):
            raise phrase.refusal(
                ": the cadence and the time's minutes exclude each other",
                'write the hours alone, such as "every 5 minutes from 5am to 6am"',
            )
        hours = cron.only(HOUR, [time.hour for time in phrase.times])
    else:
        hours = _hours(phrase, including_last=False)
    return [(_seconds(phrase), _counted(MINUTE, phrase.cadence), hours)]


def _every_hour(phrase: Phrase) -> _Times:
    cadence = phrase.cadence
    is_plain = cadence is not None and cadence.count == 1 and cadence.first is None
    if phrase.times or phrase.hours:
        _refuse_twice(phrase, "hour", not is_plain)
        phrase.warnings.append(
            'a time is one run a day; every hour\'s minute is "at minute 12"'
        )
        return _at_times(phrase)
    _refuse_twice(phrase, "hour", phrase.on_the == "minute")
    _refuse_two_ways(phrase, phrase.minutes and phrase.on_the)
    if phrase.hour_ranges:
        _refuse_twice(phrase, "hour", cadence is None or cadence.first is not None)
        return _in_ranges(phrase, cadence.count if cadence else 1)
    return [
        (_seconds(phrase), cron.only(MINUTE, phrase.minutes or {0}), _counted(HOUR, cadence))
    ]


def _at_times(phrase: Phrase) -> _Times:
    seconds = _seconds(phrase)
    if phrase.times:
        return _grouped(phrase, seconds)
    _refuse_two_ways(phrase, phrase.minutes and phrase.on_the)
    if phrase.hour_ranges:
        return _in_ranges(phrase, 1)
    if phrase.minutes and not phrase.hours and (phrase.cadence or phrase.names_days):
        minute = min(phrase.minutes)
        raise phrase.refusal(
            "may mean once, or in every hour",
            f'write "at 0:{minute:02}", or "every hour at minute {minute}" and then the days',
        )
    if phrase.on_the == "minute" or phrase.names_only_seconds:
        return [(seconds, cron.full(MINUTE), cron.full(HOUR))]
    minutes, hours = cron.only(MINUTE, phrase.minutes or {0}), cron.only(HOUR, [0])
    if phrase.minutes or phrase.on_the or phrase.hours:
        hours = _hours(phrase, including_last=True)
    return [(seconds, minutes, hours)]


def _in_ranges(phrase: Phrase, count: int) -> _Times:
    if phrase.on_the == "minute":
        minutes, hours = cron.full(MINUTE), _hours(phrase, including_last=False)
    elif phrase.minutes:
        _require_full_hours(phrase)
        minutes = cron.only(MINUTE, phrase.minutes)
        hours = _range_hours(phrase, count, ends_before=True)
    else:
        minutes = _minute_of_ends(phrase)
        hours = _range_hours(phrase, count, ends_before=False)
    return [(_seconds(phrase), minutes, hours)]


def _minute_of_ends(phrase: Phrase) -> Field:
    """Return the minute that both ends of each range share: 9:30 to 17:30 is half past."""
    minutes = {clock.minute for ends in phrase.hour_ranges for clock in ends}
    if len(minutes) > 1 or (phrase.on_the and minutes != {0}):
        raise phrase.refusal(
            ": the range must begin and end at the minute of its runs",
            'write "from 9:30 to 17:30", or list the times',
        )
    return cron.only(MINUTE, minutes)


def _hours(phrase: Phrase, *, including_last: bool) -> Field:
    if not phrase.hour_ranges:
        return cron.only(HOUR, phrase.hours) if phrase.hours else cron.full(HOUR)
    _require_full_hours(phrase)
    return _range_hours(phrase, 1, ends_before=not including_last)


def _require_full_hours(phrase: Phrase) -> None:
    if any(clock.minute for ends in phrase.hour_ranges for clock in ends):
        raise phrase.refusal(
            ": such a range begins and ends on the hour", 'write "from 9am to 5pm"'
        )


def _range_hours(phrase: Phrase, count: int, *, ends_before: bool) -> Field:
    _refuse_two_ways(phrase, phrase.hours)
    hours: list[int] = []
    for first, last in phrase.hour_ranges:
        if first.hour == last.hour and first.hour:
            raise phrase.refusal(
                ": the range ends where it begins",
                'write "from 9am to 5pm", or leave the range out',
            )
        length = (last.hour - first.hour) % 24 or 24
        end = first.hour + min(length + (not ends_before), 24)
        hours += range(first.hour, end, count)
    if max(hours) > 23 and phrase.names_certain_days:
        raise phrase.refusal(
            ": what comes after midnight belongs to the next day",
            "end the range at 11pm, and write a second task for the hours after midnight",
        )
    return cron.only(HOUR, [hour % 24 for hour in hours])


def _seconds(phrase: Phrase) -> Field:
    return cron.only(SECOND, phrase.seconds or {0})


def _grouped(phrase: Phrase, seconds: Field) -> _Times:
    """Return the fields of as few crons as the times can share."""
    others = phrase.minutes or phrase.hours or phrase.hour_ranges or phrase.on_the
    _refuse_two_ways(phrase, others)
    hours_at: dict[int, set[int]] = {}
    for time in phrase.times:
        hours_at.setdefault(time.minute, set()).add(time.hour)
    by_hours = sorted((sorted(hours), minute) for minute, hours in hours_at.items())
    return [
        (seconds, cron.only(MINUTE, [minute for _, minute in pairs]), cron.only(HOUR, hours))
        for hours, pairs in groupby(by_hours, key=lambda pair: pair[0])
    ]


def _refuse_twice(phrase: Phrase, unit: str, other: object) -> None:
    if other:
        raise phrase.refusal(
            f"gives the {unit}s twice, and differently",
            f'write the cadence alone, or "every {cron.LARGER[unit]} at" and the {unit}s',
        )


def _refuse_two_ways(phrase: Phrase, other: object) -> None:
    if other:
        raise phrase.refusal(
            "gives the time of day in two ways", "write one of them, or two tasks"
        )
