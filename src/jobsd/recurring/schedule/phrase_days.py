"""Reads the days in a phrase.

    days     := day { and day }
    day      := "weekday" | "weekend" | weekday [ to weekday ]
              | "day" number { and number }
              | [ "the" ] ordinal { and ordinal } [ to ordinal ] [ weekday | "day" ] [ of ]
              | [ ordinal | number ] month [ ordinal | number ]
    ordinal  := "1st" … "31st" | "first" … "thirty-first" | "last"
    of       := "of" ( "the" | "each" | "every" ) "month" | [ "of" ] month
    and      := "," | "and" | "or" | ", and"

Behind "every" an ordinal needs its "of the month": "every second" is a cadence, and "every
third monday" may mean two things.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .error import ScheduleError, quoted
from .words import AND, MONTHS, ORDINALS, TO, UNITS, WEEKDAYS_IN_PHRASES

if TYPE_CHECKING:
    from .said import Said
    from .tokens import Tokens

_LAST = -1
_GROUPS = {
    "weekday": range(1, 6),
    "weekdays": range(1, 6),
    "weekend": (0, 6),
    "weekends": (0, 6),
}
_TO_OR_DASH = TO | {"-"}
_SUFFIXES = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}


def take_separator(tokens: Tokens) -> bool:
    """Step over ",", "and", "or" or ", and"; return whether there was one."""
    comma = tokens.take_word(",")
    return bool(tokens.take_word(*AND) or comma)


def starts_days(tokens: Tokens, separated: int = 0) -> bool:
    """Return whether days come next, or (with `separated`) behind a separator."""
    ahead = 0
    if separated:
        ahead += tokens.peek(ahead).word == ","
        ahead += tokens.peek(ahead).word in AND
        if not ahead:
            return False
    token = tokens.peek(ahead)
    if token.word == "the":
        token = tokens.peek(ahead + 1)
    if token.word in {"day", "days"}:
        return tokens.peek(ahead + 1).kind == "number"
    if token.kind == "number":
        return tokens.peek(ahead + 1).word in MONTHS
    return (
        token.kind == "ordinal"
        or token.word in WEEKDAYS_IN_PHRASES
        or token.word in _GROUPS
        or token.word in MONTHS
        or token.word in ORDINALS
        or token.word == "last"
    )


def take_days(tokens: Tokens, said: Said, *, after_every: bool = False) -> bool:
    """Take a list of days into `said`; return whether there was one after all."""
    if not _take_day(tokens, said, after_every=after_every):
        return False
    while starts_days(tokens, 1):
        before = tokens.position
        take_separator(tokens)
        said.days_joined = True
        if not _take_day(tokens, said, after_every=after_every):
            tokens.position = before
            break
    return True


def take_span_of_days(tokens: Tokens, said: Said) -> None:
    """Take "monday to friday", "the 1st to the 10th" or "january to march" behind "from"."""
    tokens.take_word("the")
    start = tokens.position
    if not (starts_days(tokens) and take_days(tokens, said)):
        raise tokens.wrong('a range is written "from monday to friday", or "from 9am to 5pm"')
    taken = range(start, tokens.position)
    if not any(tokens.peek(at - tokens.position).word in _TO_OR_DASH for at in taken):
        raise tokens.wrong('a range has an end: "from monday to friday"')


def _take_day(tokens: Tokens, said: Said, *, after_every: bool) -> bool:
    word = tokens.peek().word
    if word in _GROUPS:
        said.weekdays |= set(_GROUPS[tokens.take().word])
    elif word in WEEKDAYS_IN_PHRASES:
        said.weekdays |= _take_weekdays(tokens)
    elif word in {"day", "days"}:
        tokens.take()
        _take_numbers(tokens, said)
    elif word in MONTHS or tokens.peek().kind == "number":
        _take_date(tokens, said)
    else:
        return _take_ordinals(tokens, said, after_every=after_every)
    return True


def _take_weekdays(tokens: Tokens) -> set[int]:
    first = WEEKDAYS_IN_PHRASES[tokens.take().word]
    if tokens.peek().word in _TO_OR_DASH and tokens.peek(1).word in WEEKDAYS_IN_PHRASES:
        tokens.take()
        return set(_wrapped(first, WEEKDAYS_IN_PHRASES[tokens.take().word], 0, 7))
    return {first}


def _wrapped(first: int, last: int, low: int, size: int) -> list[int]:
    length = (last - first) % size + 1
    return [(first - low + step) % size + low for step in range(length)]


def _take_numbers(tokens: Tokens, said: Said) -> None:
    said.month_days.add(_take_number(tokens))
    while True:
        before = tokens.position
        if not take_separator(tokens) or tokens.peek().kind != "number" or _is_time(tokens):
            tokens.position = before
            break
        said.month_days.add(_take_number(tokens))
    if tokens.peek().kind == "number" and not _is_time(tokens):
        raise tokens.wrong(f'write ", {tokens.peek().word}" for a day, "at" for a time')


def _is_time(tokens: Tokens) -> bool:
    return tokens.peek(1).word in {"am", "pm"}


def _take_number(tokens: Tokens) -> int:
    number = int(tokens.peek().word[:9])
    if not 1 <= number <= 31:
        raise tokens.wrong("the days of a month are 1 to 31")
    tokens.take()
    return number


def _take_date(tokens: Tokens, said: Said) -> None:
    """Take "january", "january to march", "january 1st" or "1 january"."""
    day = _take_number(tokens) if tokens.peek().kind == "number" else None
    first = MONTHS[tokens.take().word]
    if tokens.peek().word in _TO_OR_DASH and tokens.peek(1).word in MONTHS:
        tokens.take()
        said.months |= set(_wrapped(first, MONTHS[tokens.take().word], 1, 12))
        return
    tokens.take_word("the")
    if day is None and tokens.peek().kind == "number" and not _is_time(tokens):
        day = _take_number(tokens)
    elif day is None and (ordinal := _take_ordinal(tokens)) is not None:
        day = ordinal
    _add_date(tokens, said, first, [] if day is None else [day])


def _add_date(tokens: Tokens, said: Said, month: int, days: list[int]) -> None:
    """Add a date; two dates with another month and another day can't share one cron."""
    other_month = said.months and month not in said.months
    if other_month and (said.has_month_days or days):
        known = said.month_days | ({_LAST} if said.last_day else set())
        if set(days) != known:
            raise ScheduleError(
                f"{quoted(tokens.text)} names several dates",
                "write one task for each date",
            )
    said.months.add(month)
    _add_month_days(said, days)


def _take_ordinal(tokens: Tokens) -> int | None:
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


def _take_ordinals(tokens: Tokens, said: Said, *, after_every: bool) -> bool:
    start = tokens.position
    tokens.take_word("the")
    numbers: list[int] = []
    while (number := _take_ordinal(tokens)) is not None:
        numbers.append(number)
        if _take_end_of_range(tokens, said, number):
            numbers.pop()
        before = tokens.position
        if not take_separator(tokens):
            break
        tokens.take_word("the")
        if _take_ordinal(tokens) is None:
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
    last = _take_ordinal(tokens)
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
    weekdays = _take_weekdays(tokens)
    while True:
        before = tokens.position
        if not take_separator(tokens) or tokens.peek().word not in WEEKDAYS_IN_PHRASES:
            tokens.position = before
            return weekdays
        weekdays |= _take_weekdays(tokens)


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
        _add_date(tokens, said, MONTHS[tokens.take().word], numbers)
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
