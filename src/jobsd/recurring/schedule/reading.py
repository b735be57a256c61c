"""Concludes from the parts of a phrase which crons they mean, or why they mean none.

The rules, in the order in which they apply; `docs/schedules.md` gives their reasons.

1. A count fits its unit: 1 to 60 minutes, 24 hours, 31 days, 12 months. Cron starts anew
   at each hour, day, month and year, so more would silently mean something else.
2. Parts that name the same field contradict each other ("every 5 minutes at minute 7").
3. What is finer than the cadence defaults to its first moment, what is coarser to all:
   "every hour" is minute 0 of all hours, "every month" is the 1st at midnight.
4. A range of hours includes its last hour where there is one run an hour, on the hour
   (9am to 5pm: 9, …, 17); where there are several, the range ends when that hour begins.
5. Times of different minutes are a union of crons.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from .cron import Cron, require_possible
from .error import ScheduleError, quoted
from .fields import HOUR, MINUTE, SECOND, Field, every, full, only, starting
from .reading_days import read_days

if TYPE_CHECKING:
    from .fields import Span
    from .said import Cadence, Clock, Said

_SIZES = {"second": 60, "minute": 60, "hour": 24, "day": 30, "week": 1, "month": 12, "year": 1}
_FIELDS_OF_TIME = {"second": SECOND, "minute": MINUTE, "hour": HOUR}
_LARGER = {"second": "minute", "minute": "hour", "hour": "day", "day": "month", "month": "year"}
TimeOfDay = tuple[Field, Field, Field]


def read_crons(said: Said) -> list[Cron]:
    """Return the crons that the parts mean together, one or a union.

    Raises:
        ScheduleError: when they mean nothing, or more than one thing.
    """
    if said.cadence:
        _require_count(said, said.cadence)
    elif not _says_when(said):
        raise ScheduleError(f"{quoted(said.text)} names no time", 'write "every hour in …"')
    days = read_days(said)
    crons = [
        Cron(
            seconds=seconds,
            minutes=minutes,
            hours=hours,
            month_days=days.month_days,
            months=days.months,
            week_days=days.week_days,
        )
        for seconds, minutes, hours in _times_of_day(said)
    ]
    return [require_possible(cron) for cron in crons]


def _says_when(said: Said) -> bool:
    said_times = said.times or said.hour_ranges or said.seconds or said.minutes or said.hours
    return bool(
        said_times or said.on_the or said.months or said.has_weekdays or said.has_month_days
    )


def _require_count(said: Said, cadence: Cadence) -> None:
    size = _SIZES[cadence.unit]
    if cadence.count < 1:
        raise ScheduleError(f"{quoted(said.text)} counts in steps of 0")
    if cadence.count > size:
        raise _count_too_large(said, cadence)
    span = _FIELDS_OF_TIME.get(cadence.unit)
    if span and cadence.first is not None and cadence.first > span.high:
        raise ScheduleError(
            f"{quoted(said.text)}: there is no {cadence.unit} {cadence.first};"
            f" they go from {span.low} to {span.high}",
        )


def _count_too_large(said: Said, cadence: Cadence) -> ScheduleError:
    count, unit = cadence.count, cadence.unit
    if unit in {"week", "year"}:
        return ScheduleError(
            f"{quoted(said.text)}: cron can't count {unit}s",
            f'write the cron "0 0 * * mon%{count}": Mondays of every {count} weeks'
            if unit == "week"
            else "write one date, which comes every year",
        )
    larger = _LARGER[unit]
    size = 31 if unit == "day" else _SIZES[unit]
    return ScheduleError(
        f"{quoted(said.text)} can't be said in cron: it starts anew with each {larger},"
        f" which has {size} {unit}s",
        _interval_instead(count, unit),
    )


def _interval_instead(count: int, unit: str) -> str:
    size = _SIZES[unit]
    larger = _LARGER[unit]
    if unit in {"second", "minute", "hour"}:
        interval = f'"every: {count}{unit[0]}" for a true interval'
        if count % size == 0:
            whole = f'"every {count // size} {larger}s"'
            return f"write {whole}, or {interval}"
        return f'write {interval}, or "every {larger}"'
    return f'write "every {larger}", or give the dates as a cron'


def _times_of_day(said: Said) -> list[TimeOfDay]:
    unit = said.cadence.unit if said.cadence else ""
    if unit == "second":
        return _every_second(said, _cadence_field(said, SECOND))
    if unit == "minute":
        return _every_minute(said, _cadence_field(said, MINUTE))
    if unit == "hour":
        return _every_hour(said, _cadence_field(said, HOUR))
    return _at_times(said)


def _cadence_field(said: Said, span: Span) -> Field:
    cadence = said.cadence
    if cadence is None:
        return full(span)
    if cadence.first is not None:
        return starting(span, cadence.first, cadence.count)
    return every(span, cadence.count)


def _every_second(said: Said, seconds: Field) -> list[TimeOfDay]:
    _refuse_same_field(said, "second", said.seconds)
    if said.times:
        _refuse_together(said, said.minutes or said.hours or said.hour_ranges or said.on_the)
        return [(seconds, minutes, hours) for minutes, hours in _grouped(said.times)]
    whole_hours = said.on_the == "hour"
    _refuse_together(said, said.minutes and said.on_the)
    if said.minutes or whole_hours:
        minutes = only(MINUTE, said.minutes or {0})
    else:
        minutes = full(MINUTE)
    return [(seconds, minutes, _hours(said, including_last=whole_hours))]


def _every_minute(said: Said, minutes: Field) -> list[TimeOfDay]:
    _refuse_same_field(said, "minute", said.minutes)
    _refuse_same_field(said, "minute", said.on_the == "hour")
    if said.times:
        _refuse_together(said, said.hours or said.hour_ranges)
        if any(time.minute for time in said.times):
            raise _minute_said_twice(said)
        hours = only(HOUR, [time.hour for time in said.times])
    else:
        hours = _hours(said, including_last=False)
    return [(_seconds(said), minutes, hours)]


def _every_hour(said: Said, hours: Field) -> list[TimeOfDay]:
    cadence = said.cadence
    plain = cadence is not None and cadence.count == 1 and cadence.first is None
    if said.times or said.hours:
        if not plain:
            raise ScheduleError(
                f"{quoted(said.text)} says the hours twice",
                'write "starting at hour 9", or only the times of day',
            )
        said.warnings.append(
            "a time of day is one run a day; an hour's minute is “at minute 12”"
        )
        return _at_times(said)
    _refuse_same_field(said, "hour", said.on_the == "minute")
    _refuse_together(said, said.minutes and said.on_the)
    if said.hour_ranges:
        _refuse_together(said, not plain and cadence is not None and cadence.first is not None)
        return _in_ranges(said, cadence.count if cadence else 1)
    return [(_seconds(said), only(MINUTE, said.minutes or {0}), hours)]


def _at_times(said: Said) -> list[TimeOfDay]:
    seconds = _seconds(said)
    if said.times:
        _refuse_together(said, said.minutes or said.hours or said.hour_ranges or said.on_the)
        return [(seconds, minutes, hours) for minutes, hours in _grouped(said.times)]
    _refuse_together(said, said.minutes and said.on_the)
    if said.hour_ranges:
        return _in_ranges(said, 1)
    if said.on_the == "minute":
        return [(seconds, full(MINUTE), _hours(said, including_last=False))]
    if said.minutes or said.on_the:
        return [(seconds, only(MINUTE, said.minutes or {0}), _hours(said, including_last=True))]
    if said.hours:
        return [(seconds, only(MINUTE, [0]), only(HOUR, said.hours))]
    if said.seconds and not (
        said.cadence or said.has_weekdays or said.has_month_days or said.months
    ):
        return [(seconds, full(MINUTE), full(HOUR))]
    return [(seconds, only(MINUTE, [0]), only(HOUR, [0]))]


def _in_ranges(said: Said, count: int) -> list[TimeOfDay]:
    _refuse_together(said, said.hours)
    if said.on_the == "minute":
        return [(_seconds(said), full(MINUTE), _hours(said, including_last=False))]
    if said.minutes:
        return [(_seconds(said), only(MINUTE, said.minutes), _range_hours(said, count, False))]
    minutes = {
        minute for span in said.hour_ranges for minute in (span[0].minute, span[1].minute)
    }
    if len(minutes) > 1 or (said.on_the and minutes != {0}):
        raise ScheduleError(
            f"{quoted(said.text)}: the range's ends have different minutes",
            'write "from 9:30 to 17:30", or list the times',
        )
    return [(_seconds(said), only(MINUTE, minutes), _range_hours(said, count, True))]


def _hours(said: Said, *, including_last: bool) -> Field:
    if not said.hour_ranges:
        return only(HOUR, said.hours) if said.hours else full(HOUR)
    _refuse_together(said, said.hours)
    if any(clock.minute for span in said.hour_ranges for clock in span):
        raise ScheduleError(
            f"{quoted(said.text)}: such a range begins and ends on the hour",
            'write "from 9am to 5pm"',
        )
    return _range_hours(said, 1, including_last)


def _range_hours(said: Said, count: int, including_last: bool) -> Field:  # noqa: FBT001
    hours: set[int] = set()
    for first, last in said.hour_ranges:
        length = (last.hour - first.hour) % 24 + including_last
        hours |= {(first.hour + step) % 24 for step in range(0, length or 24, count)}
    return only(HOUR, hours)


def _seconds(said: Said) -> Field:
    return only(SECOND, said.seconds or {0})


def _grouped(times: list[Clock]) -> list[tuple[Field, Field]]:
    """Return the minutes and hours of as few crons as the times can share."""
    minutes_at: dict[int, set[int]] = {}
    for time in times:
        minutes_at.setdefault(time.minute, set()).add(time.hour)
    by_hours = sorted(minutes_at, key=lambda minute: sorted(minutes_at[minute]))
    return [
        (only(MINUTE, minutes), only(HOUR, hours))
        for hours, minutes in groupby(by_hours, key=lambda minute: sorted(minutes_at[minute]))
    ]


def _refuse_same_field(said: Said, unit: str, other: object) -> None:
    if other:
        raise ScheduleError(
            f"{quoted(said.text)} says the {unit}s twice, and differently",
            f'write only the cadence, or only "every {_LARGER[unit]} at {unit} …"',
        )


def _refuse_together(said: Said, other: object) -> None:
    if other:
        raise ScheduleError(
            f"{quoted(said.text)} says the time of day in two ways",
            "write one of them, or two tasks",
        )


def _minute_said_twice(said: Said) -> ScheduleError:
    return ScheduleError(
        f"{quoted(said.text)}: the cadence and the minutes of the time exclude each other",
        'write the hours alone, such as "every 5 minutes from 5:00 to 6:00"',
    )
