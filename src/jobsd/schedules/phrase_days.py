"""Reads the days in a phrase.

    days     := day { and day }
    day      := "weekday" | "weekend" | weekday [ to weekday ] | "day" number { and number }
              | month [ to month ] | month ( ordinal | number ) | number month | ordinals
    and      := "," | "and" | "or" | ", and"

The ordinals are read by `phrase_ordinals`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .error import ScheduleError, quoted
from .phrase_ordinals import add_date, take_ordinal, take_ordinals, take_weekdays, wrapped
from .words import MONTHS, ORDINALS, TO, WEEKDAYS_IN_PHRASES

if TYPE_CHECKING:
    from .phrase import Phrase
    from .tokens import Tokens

_GROUPS = {
    "weekday": range(1, 6),
    "weekdays": range(1, 6),
    "weekend": (0, 6),
    "weekends": (0, 6),
}
_TO_OR_DASH = TO | {"-"}


def starts_days(tokens: Tokens, ahead: int = 0) -> bool:
    """Return whether days come next, or `ahead` of what comes next."""
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


def take_days(tokens: Tokens, phrase: Phrase, *, after_every: bool = False) -> bool:
    """Take a list of days into `phrase`; return whether there was one after all."""
    weekdays, nth_weekdays = phrase.weekdays, phrase.nth_weekdays
    phrase.weekdays, phrase.nth_weekdays = set(), set()
    had_month_days = phrase.has_month_days
    found = _take_list(tokens, phrase, after_every=after_every)
    if phrase.every_weekdays and phrase.has_weekdays:
        raise ScheduleError(
            f"{quoted(tokens.text)} names weekdays twice",
            "write them in one list",
        )
    phrase.days_joined |= phrase.has_weekdays and phrase.has_month_days and not had_month_days
    phrase.every_weekdays = phrase.every_weekdays or (after_every and phrase.has_weekdays)
    phrase.weekdays |= weekdays
    phrase.nth_weekdays |= nth_weekdays
    return found


def _take_list(tokens: Tokens, phrase: Phrase, *, after_every: bool) -> bool:
    if not _take_day(tokens, phrase, after_every=after_every):
        return False
    while True:
        before = tokens.position
        starts = tokens.take_separator() and starts_days(tokens)
        if not (starts and _take_day(tokens, phrase, after_every=after_every)):
            tokens.position = before
            return True


def take_span_of_days(tokens: Tokens, phrase: Phrase) -> None:
    """Take "monday to friday", "the 1st to the 10th" or "january to march" behind "from"."""
    tokens.take_word("the")
    start = tokens.position
    if not (starts_days(tokens) and take_days(tokens, phrase)):
        raise tokens.wrong('a range is written "from monday to friday", or "from 9am to 5pm"')
    taken = range(start, tokens.position)
    if not any(tokens.peek(at - tokens.position).word in _TO_OR_DASH for at in taken):
        raise tokens.wrong('a range has an end: "from monday to friday"')


def _take_day(tokens: Tokens, phrase: Phrase, *, after_every: bool) -> bool:
    word = tokens.peek().word
    if word in _GROUPS:
        phrase.weekdays |= set(_GROUPS[tokens.take().word])
    elif word in WEEKDAYS_IN_PHRASES:
        phrase.weekdays |= take_weekdays(tokens)
    elif word in {"day", "days"} and not after_every:
        tokens.take()
        _take_numbers(tokens, phrase)
    elif word in MONTHS or tokens.peek().kind == "number":
        _take_date(tokens, phrase)
    else:
        return take_ordinals(tokens, phrase, after_every=after_every)
    return True


def _take_numbers(tokens: Tokens, phrase: Phrase) -> None:
    phrase.month_days.add(_take_number(tokens))
    while True:
        before = tokens.position
        if not tokens.take_separator() or tokens.peek().kind != "number" or _is_time(tokens):
            tokens.position = before
            break
        phrase.month_days.add(_take_number(tokens))
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


def _take_date(tokens: Tokens, phrase: Phrase) -> None:
    """Take "january", "january to march", "january 1st" or "1 january"."""
    day = _take_number(tokens) if tokens.peek().kind == "number" else None
    first = MONTHS[tokens.take().word]
    if tokens.peek().word in _TO_OR_DASH and tokens.peek(1).word in MONTHS:
        tokens.take()
        phrase.months |= set(wrapped(first, MONTHS[tokens.take().word], 1, 12))
        return
    tokens.take_word("the")
    if day is None and tokens.peek().kind == "number" and not _is_time(tokens):
        day = _take_number(tokens)
    elif day is None and (ordinal := take_ordinal(tokens)) is not None:
        day = ordinal
    add_date(tokens, phrase, first, [] if day is None else [day])
