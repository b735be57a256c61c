"""Reads what ordinals count in a phrase: days of the month, or weekdays in it.

    ordinals := [ "the" ] ordinal { and ordinal } [ to ordinal ] [ weekday | "day" ] [ of ]
    ordinal  := "1st" … "31st" | "first" … "thirty-first" | "last"
    of       := "of" ( "the" | "each" | "every" ) "month" | [ "of" ] month

Behind "every" an ordinal needs its "of the month": "every second" is a cadence, and "every
third monday" may mean two things.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .error import ScheduleError, quoted
from .words import MONTHS, ORDINALS, TO, UNITS, WEEKDAYS_IN_PHRASES

if TYPE_CHECKING:
    from .said import Said
    from .tokens import Tokens

_LAST = -1
_TO_OR_DASH = TO | {"-"}
_SUFFIXES = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}


def take_weekdays(tokens: Tokens) -> set[int]:
    """Take a weekday, or a range of them."""
    first = WEEKDAYS_IN_PHRASES[tokens.take().word]
    if tokens.peek().word in _TO_OR_DASH and tokens.peek(1).word in WEEKDAYS_IN_PHRASES:
        tokens.take()
        return set(wrapped(first, WEEKDAYS_IN_PHRASES[tokens.take().word], 0, 7))
    return {first}


def wrapped(first: int, last: int, low: int, size: int) -> list[int]:
    """Return the values from `first` to `last`, around the end where need be."""
    length = (last - first) % size + 1
    return [(first - low + step) % size + low for step in range(length)]


def add_date(tokens: Tokens, said: Said, month: int, days: list[int]) -> None:
    """Add a date; two dates with another month and another day can't share one cron."""
    other_month = said.months and month not in said.months
    if other_month and (said.has_month_days or days):
        known = [*sorted(said.month_days), *([_LAST] if said.last_day else [])]
        if sorted(days) != sorted(known):
            raise ScheduleError(
                f"{quoted(tokens.text)} names several dates",
                "write one task for each date",
            )
    said.months.add(month)
    _add_month_days(said, days)


def take_ordinal(tokens: Tokens) -> int | None:
    """Take one ordinal; the last is -1."""
    token = tokens.peek()
    if token.word == "last":
        tokens.take()
        return _LAST
    if token.kind == "ordinal":
        number = int(token.word[:-2])
        if not 1 <= number <= 31 or token.word[-2:] != _SUFFIXES.get(number, "th"):
            raise tokens.wrong("the days of a month are 1st to 31st, and last")
        tokens.take()
        return number
    if token.word in ORDINALS:
        return ORDINALS[tokens.take().word]
    return None


def take_ordinals(tokens: Tokens, said: Said, *, after_every: bool) -> bool:
    """Take ordinals and what they count; return False if "second" was a unit after all."""
    start = tokens.position
    tokens.take_word("the")
    numbers: list[int] = []
    while (number := take_ordinal(tokens)) is not None:
        numbers.append(number)
        if _take_end_of_range(tokens, said, number):
            numbers.pop()
        before = tokens.position
        if not tokens.take_separator():
            break
        tokens.take_word("the")
        if take_ordinal(tokens) is None:
            tokens.position = before
            break
        tokens.position -= 1
    return _take_what_is_counted(tokens, said, numbers, start, after_every=after_every)


def _take_end_of_range(tokens: Tokens, said: Said, first: int) -> bool:
    if tokens.peek().word not in _TO_OR_DASH:
        return False
    before = tokens.position
    tokens.take()
    tokens.take_word("the")
    last = take_ordinal(tokens)
    if last is None:
        tokens.position = before
        return False
    if said.day_range or first == _LAST:
        raise tokens.wrong('a range of days is written "the 1st to the 10th"')
    said.day_range = (first, 31 if last == _LAST else last)
    return True


def _take_what_is_counted(
    tokens: Tokens,
    said: Said,
    numbers: list[int],
    start: int,
    *,
    after_every: bool,
) -> bool:
    if not numbers and not said.day_range:
        raise tokens.wrong()
    counted = tokens.peek().word
    if counted in WEEKDAYS_IN_PHRASES and numbers:
        weekdays = _take_weekday_list(tokens)
        if not _take_of(tokens, said, []) and after_every:
            raise _unclear_ordinal(tokens, counted)
        _add_nth(tokens, said, weekdays, numbers)
        return True
    named_day = tokens.take_word("day", "days")
    if _take_of(tokens, said, numbers):
        return True
    if not after_every:
        _add_month_days(said, numbers)
        return True
    if named_day or counted in UNITS:
        raise _unclear_ordinal(tokens, counted)
    if numbers == [2] and not said.day_range and tokens.peek(-1).word == "second":
        tokens.position = start
        return False
    raise tokens.wrong('write "of the month" behind the day')


def _take_weekday_list(tokens: Tokens) -> set[int]:
    weekdays = take_weekdays(tokens)
    while True:
        before = tokens.position
        if not tokens.take_separator() or tokens.peek().word not in WEEKDAYS_IN_PHRASES:
            tokens.position = before
            return weekdays
        weekdays |= take_weekdays(tokens)


def _take_of(tokens: Tokens, said: Said, numbers: list[int]) -> bool:
    """Take "of the month", "of each month", "of january" or "january" behind ordinals."""
    before = tokens.position
    of = tokens.take_word("of")
    if (
        of
        and tokens.take_word("the", "each", "every", "a")
        and tokens.take_word("month", "months")
    ):
        _add_month_days(said, numbers)
        return True
    tokens.position = before + bool(of)
    if tokens.peek().word in MONTHS:
        add_date(tokens, said, MONTHS[tokens.take().word], numbers)
        return True
    tokens.position = before
    return False


def _add_month_days(said: Said, numbers: list[int]) -> None:
    said.last_day = said.last_day or _LAST in numbers
    said.month_days |= {number for number in numbers if number != _LAST}


def _add_nth(tokens: Tokens, said: Said, weekdays: set[int], numbers: list[int]) -> None:
    if said.day_range or any(number > 5 for number in numbers):
        raise tokens.wrong("a month has the first to the fifth of each weekday, and the last")
    said.nth_weekdays |= {(weekday, number) for weekday in weekdays for number in numbers}


def _unclear_ordinal(tokens: Tokens, counted: str) -> ScheduleError:
    hint = (
        f'write "every 2 {counted}s" or another number, or "… of the month"'
        if counted in UNITS
        else f'write "every first {counted} of the month", or a cron such as "0 0 * * mon%2"'
    )
    return ScheduleError(f"{quoted(tokens.text)} may mean two things", hint)
