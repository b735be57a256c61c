"""Compiles the times of day of a phrase.

Each cadence has one function, which combines it with the other parts. The
rules stand in `phrase_compiler`.
"""

from itertools import groupby

from .cron_expression import HOUR, LARGER, MINUTE, SECOND, Field, Span, every, full, only
from .error import ScheduleError
from .phrase import Cadence, Phrase

TimeOfDay = tuple[Field, Field, Field]


def times_of(phrase: Phrase) -> list[TimeOfDay]:
    """Return the second, minute and hour fields, several for times that no cron can share.

    Raises:
        ScheduleError: when the parts contradict each other, or mean more than one thing.
    """
    unit = phrase.cadence.unit if phrase.cadence else ""
    if unit == "second":
        return _every_second(phrase)
    if unit == "minute":
        return _every_minute(phrase)
    if unit == "hour":
        return _every_hour(phrase)
    return _at_times(phrase)


def counted(span: Span, cadence: Cadence | None) -> Field:
    """Return the values that a cadence of this span's unit counts to.

    Raises:
        ScheduleError: when it starts at a value that does not exist.
    """
    if cadence is None:
        return full(span)
    if cadence.first is None:
        return every(span, cadence.count)
    if not span.low <= cadence.first <= span.high:
        raise ScheduleError(
            f"there is no {span.name} {cadence.first} to start at",
            f"they go from {span.low} to {span.high}",
        )
    return only(span, range(cadence.first, span.high + 1, cadence.count))


def _every_second(phrase: Phrase) -> list[TimeOfDay]:
    _refuse_twice(phrase, "second", phrase.seconds)
    seconds = counted(SECOND, phrase.cadence)
    if phrase.times:
        return [(seconds, minutes, hours) for minutes, hours in _grouped(phrase)]
    _refuse_two_ways(phrase, phrase.minutes and phrase.on_the)
    on_the_hour = phrase.on_the == "hour"
    minutes = (
        only(MINUTE, phrase.minutes or {0}) if phrase.minutes or on_the_hour else full(MINUTE)
    )
    return [(seconds, minutes, _hours(phrase, including_last=on_the_hour))]


def _every_minute(phrase: Phrase) -> list[TimeOfDay]:
    _refuse_twice(phrase, "minute", phrase.minutes or phrase.on_the == "hour")
    if phrase.times:
        _refuse_two_ways(phrase, phrase.hours or phrase.hour_ranges)
        if any(time.minute for time in phrase.times):
            raise phrase.refusal(
                ": the cadence and the time's minutes exclude each other",
                'write the hours alone, such as "every 5 minutes from 5am to 6am"',
            )
        hours = only(HOUR, [time.hour for time in phrase.times])
    else:
        hours = _hours(phrase, including_last=False)
    return [(_seconds(phrase), counted(MINUTE, phrase.cadence), hours)]


def _every_hour(phrase: Phrase) -> list[TimeOfDay]:
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
    return [(_seconds(phrase), only(MINUTE, phrase.minutes or {0}), counted(HOUR, cadence))]


def _at_times(phrase: Phrase) -> list[TimeOfDay]:
    seconds = _seconds(phrase)
    if phrase.times:
        return [(seconds, minutes, hours) for minutes, hours in _grouped(phrase)]
    _refuse_two_ways(phrase, phrase.minutes and phrase.on_the)
    if phrase.hour_ranges:
        return _in_ranges(phrase, 1)
    if phrase.minutes and not phrase.hours and (phrase.cadence or phrase.names_days):
        raise _which_hours(phrase)
    if phrase.on_the == "minute" or phrase.names_only_seconds:
        return [(seconds, full(MINUTE), full(HOUR))]
    if phrase.minutes or phrase.on_the or phrase.hours:
        return [
            (seconds, only(MINUTE, phrase.minutes or {0}), _hours(phrase, including_last=True))
        ]
    return [(seconds, only(MINUTE, [0]), only(HOUR, [0]))]


def _in_ranges(phrase: Phrase, count: int) -> list[TimeOfDay]:
    if phrase.on_the == "minute":
        minutes, hours = full(MINUTE), _hours(phrase, including_last=False)
    elif phrase.minutes:
        _require_full_hours(phrase)
        minutes, hours = (
            only(MINUTE, phrase.minutes),
            _range_hours(phrase, count, ends_before=True),
        )
    else:
        minutes, hours = _minute_of_ends(phrase), _range_hours(phrase, count, ends_before=False)
    return [(_seconds(phrase), minutes, hours)]


def _minute_of_ends(phrase: Phrase) -> Field:
    """Return the minute that both ends of each range share: 9:30 to 17:30 is half past."""
    minutes = {clock.minute for ends in phrase.hour_ranges for clock in ends}
    if len(minutes) > 1 or (phrase.on_the and minutes != {0}):
        raise phrase.refusal(
            ": the range must begin and end at the minute of its runs",
            'write "from 9:30 to 17:30", or list the times',
        )
    return only(MINUTE, minutes)


def _hours(phrase: Phrase, *, including_last: bool) -> Field:
    if not phrase.hour_ranges:
        return only(HOUR, phrase.hours) if phrase.hours else full(HOUR)
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
    return only(HOUR, [hour % 24 for hour in hours])


def _seconds(phrase: Phrase) -> Field:
    return only(SECOND, phrase.seconds or {0})


def _grouped(phrase: Phrase) -> list[tuple[Field, Field]]:
    """Return the minutes and hours of as few crons as the times can share."""
    _refuse_two_ways(
        phrase, phrase.minutes or phrase.hours or phrase.hour_ranges or phrase.on_the
    )
    hours_at: dict[int, set[int]] = {}
    for time in phrase.times:
        hours_at.setdefault(time.minute, set()).add(time.hour)
    by_hours = sorted(hours_at, key=lambda minute: (sorted(hours_at[minute]), minute))
    return [
        (only(MINUTE, minutes), only(HOUR, hours))
        for hours, minutes in groupby(by_hours, key=lambda minute: sorted(hours_at[minute]))
    ]


def _refuse_twice(phrase: Phrase, unit: str, other: object) -> None:
    if other:
        raise phrase.refusal(
            f"gives the {unit}s twice, and differently",
            f'write the cadence alone, or "every {LARGER[unit]} at" and the {unit}s',
        )


def _refuse_two_ways(phrase: Phrase, other: object) -> None:
    if other:
        raise phrase.refusal(
            "gives the time of day in two ways", "write one of them, or two tasks"
        )


def _which_hours(phrase: Phrase) -> ScheduleError:
    minute = min(phrase.minutes)
    return phrase.refusal(
        "may mean once, or in every hour",
        f'write "at 0:{minute:02}", or "every hour at minute {minute}" and then the days',
    )
