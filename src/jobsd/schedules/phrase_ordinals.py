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
    from .phrase import Phrase
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


def add_date(tokens: Tokens, phrase: Phrase, month: int, days: list[int]) -> None:
    """Add a date; two dates with another month and another day can't share one cron."""
    other_month = phrase.months and month not in phrase.months
    if other_month and (phrase.has_month_days or days):
        known = [*sorted(phrase.month_days), *([_LAST] if phrase.last_day else [])]
        if sorted(days) != sorted(known):
            raise ScheduleError(
                f"{quoted(tokens.text)} names several dates",
                "write one task for each date",
            )
    phrase.months.add(month)
    add_month_days(phrase, days)


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


def take_ordinals(tokens: Tokens, phrase: Phrase, *, after_every: bool) -> bool:
    """Take ordinals and what they count; return False if "every" is followed by none."""
    start = tokens.position
    numbers, days = _take_list(tokens)
    counted = tokens.peek().word
    if counted in WEEKDAYS_IN_PHRASES and numbers and not days:
        weekdays = _take_weekday_list(tokens)
        if not _take_of(tokens, phrase, []) and after_every:
            raise _unclear_ordinal(tokens, counted)
        _add_nth(tokens, phrase, weekdays, numbers)
        return True
    named_day = tokens.take_word("day", "days")
    if not _take_of(tokens, phrase, numbers) and after_every:
        if named_day:
            raise _unclear_ordinal(tokens, counted)
        tokens.position = start
        return False
    add_month_days(phrase, numbers)
    phrase.day_range = days or phrase.day_range
    return True


def _take_list(tokens: Tokens) -> tuple[list[int], tuple[int, int] | None]:
    """Take "the 1st, 2nd and last", of which one may be a range."""
    numbers: list[int] = []
    days: tuple[int, int] | None = None
    while True:
        before = tokens.position
        separated = tokens.take_separator() if numbers or days else True
        tokens.take_word("the")
        number = take_ordinal(tokens) if separated else None
        if number is None:
            if not (numbers or days):
                raise tokens.wrong()
            tokens.position = before
            return numbers, days
        if (last := _take_end_of_range(tokens)) is None:
            numbers.append(number)
            continue
        if days or number == _LAST:
            raise tokens.wrong('a range of days is written "the 1st to the 10th"')
        days = (number, 31 if last == _LAST else last)


def _take_end_of_range(tokens: Tokens) -> int | None:
    before = tokens.position
    if tokens.take_word(*_TO_OR_DASH):
        tokens.take_word("the")
        if (last := take_ordinal(tokens)) is not None:
            return last
    tokens.position = before
    return None


def _take_weekday_list(tokens: Tokens) -> set[int]:
    weekdays = take_weekdays(tokens)
    while True:
        before = tokens.position
        if not tokens.take_separator() or tokens.peek().word not in WEEKDAYS_IN_PHRASES:
            tokens.position = before
            return weekdays
        weekdays |= take_weekdays(tokens)


def _take_of(tokens: Tokens, phrase: Phrase, numbers: list[int]) -> bool:
    """Take "of the month", "of each month", "of january" or "january" behind ordinals."""
    before = tokens.position
    of = tokens.take_word("of")
    if (
        of
        and tokens.take_word("the", "each", "every", "a")
        and tokens.take_word("month", "months")
    ):
        add_month_days(phrase, numbers)
        return True
    tokens.position = before + bool(of)
    if tokens.peek().word in MONTHS:
        add_date(tokens, phrase, MONTHS[tokens.take().word], numbers)
        return True
    tokens.position = before
    return False


def add_month_days(phrase: Phrase, numbers: list[int]) -> None:
    """Add days of the month, -1 for the last."""
    phrase.last_day = phrase.last_day or _LAST in numbers
    phrase.month_days |= {number for number in numbers if number != _LAST}


def _add_nth(tokens: Tokens, phrase: Phrase, weekdays: set[int], numbers: list[int]) -> None:
    if any(number > 5 for number in numbers):
        raise tokens.wrong("a month has the first to the fifth of each weekday, and the last")
    phrase.nth_weekdays |= {(weekday, number) for weekday in weekdays for number in numbers}


def _unclear_ordinal(tokens: Tokens, counted: str) -> ScheduleError:
    hint = (
        f'write "every 2 {counted}s" or another number, or "… of the month"'
        if counted in UNITS
        else f'write "every first {counted} of the month", or a cron such as "0 0 * * mon%2"'
    )
    return ScheduleError(f"{quoted(tokens.text)} may mean two things", hint)
