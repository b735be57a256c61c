"""Concludes from the parts of a phrase at which times of a day it runs.

Each cadence has one function, which says what the other parts may add to it; `reading`
has the rules.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from .error import ScheduleError, quoted
from .fields import HOUR, LARGER, MINUTE, SECOND, Field, counted, full, only

if TYPE_CHECKING:
    from .said import Said

TimeOfDay = tuple[Field, Field, Field]


def read_times(said: Said) -> list[TimeOfDay]:
    """Return the second, minute and hour fields, several for times that no cron can share.

    Raises:
        ScheduleError: when the parts contradict each other, or mean more than one thing.
    """
    unit = said.cadence.unit if said.cadence else ""
    if unit == "second":
        return _every_second(said)
    if unit == "minute":
        return _every_minute(said)
    if unit == "hour":
        return _every_hour(said)
    return _at_times(said)


def _every_second(said: Said) -> list[TimeOfDay]:
    _refuse_twice(said, "second", said.seconds)
    seconds = counted(SECOND, said.cadence)
    if said.times:
        return [(seconds, minutes, hours) for minutes, hours in _grouped(said)]
    _refuse_two_ways(said, said.minutes and said.on_the)
    on_the_hour = said.on_the == "hour"
    minutes = only(MINUTE, said.minutes or {0}) if said.minutes or on_the_hour else full(MINUTE)
    return [(seconds, minutes, _hours(said, including_last=on_the_hour))]


def _every_minute(said: Said) -> list[TimeOfDay]:
    _refuse_twice(said, "minute", said.minutes or said.on_the == "hour")
    if said.times:
        _refuse_two_ways(said, said.hours or said.hour_ranges)
        if any(time.minute for time in said.times):
            raise ScheduleError(
                f"{quoted(said.text)}: the cadence and the time's minutes exclude each other",
                'write the hours alone, such as "every 5 minutes from 5am to 6am"',
            )
        hours = only(HOUR, [time.hour for time in said.times])
    else:
        hours = _hours(said, including_last=False)
    return [(_seconds(said), counted(MINUTE, said.cadence), hours)]


def _every_hour(said: Said) -> list[TimeOfDay]:
    cadence = said.cadence
    is_plain = cadence is not None and cadence.count == 1 and cadence.first is None
    if said.times or said.hours:
        _refuse_twice(said, "hour", not is_plain)
        said.warnings.append('a time is one run a day; every hour\'s minute is "at minute 12"')
        return _at_times(said)
    _refuse_twice(said, "hour", said.on_the == "minute")
    _refuse_two_ways(said, said.minutes and said.on_the)
    if said.hour_ranges:
        _refuse_twice(said, "hour", cadence is None or cadence.first is not None)
        return _in_ranges(said, cadence.count if cadence else 1)
    return [(_seconds(said), only(MINUTE, said.minutes or {0}), counted(HOUR, cadence))]


def _at_times(said: Said) -> list[TimeOfDay]:
    seconds = _seconds(said)
    if said.times:
        return [(seconds, minutes, hours) for minutes, hours in _grouped(said)]
    _refuse_two_ways(said, said.minutes and said.on_the)
    if said.hour_ranges:
        return _in_ranges(said, 1)
    if said.minutes and not said.hours and (said.cadence or said.names_days):
        raise _which_hours(said)
    if said.on_the == "minute" or said.names_only_seconds:
        return [(seconds, full(MINUTE), full(HOUR))]
    if said.minutes or said.on_the or said.hours:
        return [(seconds, only(MINUTE, said.minutes or {0}), _hours(said, including_last=True))]
    return [(seconds, only(MINUTE, [0]), only(HOUR, [0]))]


def _in_ranges(said: Said, count: int) -> list[TimeOfDay]:
    if said.on_the == "minute":
        minutes, hours = full(MINUTE), _hours(said, including_last=False)
    elif said.minutes:
        _require_full_hours(said)
        minutes, hours = only(MINUTE, said.minutes), _range_hours(said, count, ends_before=True)
    else:
        minutes, hours = _minute_of_ends(said), _range_hours(said, count, ends_before=False)
    return [(_seconds(said), minutes, hours)]


def _minute_of_ends(said: Said) -> Field:
    """Return the minute that both ends of each range share: 9:30 to 17:30 is half past."""
    minutes = {clock.minute for ends in said.hour_ranges for clock in ends}
    if len(minutes) > 1 or (said.on_the and minutes != {0}):
        raise ScheduleError(
            f"{quoted(said.text)}: the range does not begin and end at the minute of its runs",
            'write "from 9:30 to 17:30", or list the times',
        )
    return only(MINUTE, minutes)


def _hours(said: Said, *, including_last: bool) -> Field:
    if not said.hour_ranges:
        return only(HOUR, said.hours) if said.hours else full(HOUR)
    _require_full_hours(said)
    return _range_hours(said, 1, ends_before=not including_last)


def _require_full_hours(said: Said) -> None:
    if any(clock.minute for ends in said.hour_ranges for clock in ends):
        raise ScheduleError(
            f"{quoted(said.text)}: such a range begins and ends on the hour",
            'write "from 9am to 5pm"',
        )


def _range_hours(said: Said, count: int, *, ends_before: bool) -> Field:
    _refuse_two_ways(said, said.hours)
    hours: list[int] = []
    for first, last in said.hour_ranges:
        if first.hour == last.hour and first.hour:
            raise ScheduleError(
                f"{quoted(said.text)}: the range ends where it begins",
                'write "from 9am to 5pm", or leave the range out',
            )
        length = (last.hour - first.hour) % 24 or 24
        end = first.hour + min(length + (not ends_before), 24)
        hours += range(first.hour, end, count)
    if max(hours) > 23 and said.names_certain_days:
        raise ScheduleError(
            f"{quoted(said.text)}: what comes after midnight belongs to the next day",
            "end the range at 11pm, and write a second task for the hours after midnight",
        )
    return only(HOUR, [hour % 24 for hour in hours])


def _seconds(said: Said) -> Field:
    return only(SECOND, said.seconds or {0})


def _grouped(said: Said) -> list[tuple[Field, Field]]:
    """Return the minutes and hours of as few crons as the times can share."""
    _refuse_two_ways(said, said.minutes or said.hours or said.hour_ranges or said.on_the)
    hours_at: dict[int, set[int]] = {}
    for time in said.times:
        hours_at.setdefault(time.minute, set()).add(time.hour)
    by_hours = sorted(hours_at, key=lambda minute: (sorted(hours_at[minute]), minute))
    return [
        (only(MINUTE, minutes), only(HOUR, hours))
        for hours, minutes in groupby(by_hours, key=lambda minute: sorted(hours_at[minute]))
    ]


def _refuse_twice(said: Said, unit: str, other: object) -> None:
    if other:
        raise ScheduleError(
            f"{quoted(said.text)} says the {unit}s twice, and differently",
            f'write the cadence alone, or "every {LARGER[unit]} at" and the {unit}s',
        )


def _refuse_two_ways(said: Said, other: object) -> None:
    if other:
        raise ScheduleError(
            f"{quoted(said.text)} says the time of day in two ways",
            "write one of them, or two tasks",
        )


def _which_hours(said: Said) -> ScheduleError:
    minute = min(said.minutes)
    return ScheduleError(
        f"{quoted(said.text)} may mean once, or in every hour",
        f'write "at 0:{minute:02}", or "every hour at minute {minute}" with the days behind it',
    )
