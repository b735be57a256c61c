"""Parses the days in a phrase: weekdays, days of the month, and dates.

    days     := day { and day }
    day      := "weekday" | "weekend" | weekday [ to weekday ] | "day" number { and number }
              | month [ to month ] | month ( ordinal | number ) | number month | ordinals
    ordinals := [ "the" ] ordinal { and ordinal } [ to ordinal ] [ weekday | "day" ] [ of ]
    ordinal  := "1st" … "31st" | "first" … "thirty-first" | "last"
    of       := "of" ( "the" | "each" | "every" ) "month" | [ "of" ] month
    and      := "," | "and" | "or" | ", and"

After "every" an ordinal needs its "of the month": "every second" is a cadence, and "every
third monday" may mean two things.
"""

from .cron_expression import MONTH, WEEKDAY
from .error import ScheduleError
from .phrase import Phrase
from .tokenizer import Tokens
from .vocabulary import MONTHS, ORDINALS, TO, UNITS, WEEKDAYS_IN_PHRASES

_GROUPS = {
    "weekday": range(1, 6),
    "weekdays": range(1, 6),
    "weekend": (0, 6),
    "weekends": (0, 6),
}
_LAST = -1
_SUFFIXES = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}
_TO_OR_DASH = TO | {"-"}


def starts_days(tokens: Tokens, ahead: int = 0) -> bool:
    """Return whether days come next, or after `ahead` tokens."""
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
        raise tokens.refusal("names weekdays twice", "write them in one list")
    phrase.days_joined |= phrase.has_weekdays and phrase.has_month_days and not had_month_days
    phrase.every_weekdays = phrase.every_weekdays or (after_every and phrase.has_weekdays)
    phrase.weekdays |= weekdays
    phrase.nth_weekdays |= nth_weekdays
    return found


def _take_list(tokens: Tokens, phrase: Phrase, *, after_every: bool) -> bool:
    def take_day() -> bool:
        return _take_day(tokens, phrase, after_every=after_every)

    found = take_day()
    while found and tokens.take_separator_before(lambda: starts_days(tokens) and take_day()):
        pass
    return found


def take_span_of_days(tokens: Tokens, phrase: Phrase) -> None:
    """Take "monday to friday", "the 1st to the 10th" or "january to march" after "from"."""
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
        phrase.weekdays |= _take_weekdays(tokens)
    elif word in {"day", "days"} and not after_every:
        tokens.take()
        _take_numbers(tokens, phrase)
    elif word in MONTHS or tokens.peek().kind == "number":
        _take_date(tokens, phrase)
    else:
        return _take_ordinals(tokens, phrase, after_every=after_every)
    return True


def _take_numbers(tokens: Tokens, phrase: Phrase) -> None:
    phrase.month_days.add(_take_number(tokens))
    while tokens.take_separator_before(lambda: is_bare_number(tokens)):
        phrase.month_days.add(_take_number(tokens))
    if is_bare_number(tokens):
        raise tokens.wrong(f'write ", {tokens.peek().word}" for a day, "at" for a time')


def is_bare_number(tokens: Tokens) -> bool:
    """Return whether a number comes next, and no time of day."""
    return tokens.peek().kind == "number" and tokens.peek(1).word not in {"am", "pm"}


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
        phrase.months |= set(MONTH.wrapped(first, MONTHS[tokens.take().word]))
        return
    tokens.take_word("the")
    if day is None and is_bare_number(tokens):
        day = _take_number(tokens)
    elif day is None and (ordinal := _take_ordinal(tokens)) is not None:
        day = ordinal
    _add_date(tokens, phrase, first, [] if day is None else [day])


def _take_weekdays(tokens: Tokens) -> set[int]:
    """Take a weekday, or a range of them."""
    first = WEEKDAYS_IN_PHRASES[tokens.take().word]
    if tokens.peek().word in _TO_OR_DASH and tokens.peek(1).word in WEEKDAYS_IN_PHRASES:
        tokens.take()
        return set(WEEKDAY.wrapped(first, WEEKDAYS_IN_PHRASES[tokens.take().word]))
    return {first}


def _add_date(tokens: Tokens, phrase: Phrase, month: int, days: list[int]) -> None:
    """Add a date; two dates with another month and another day can't share one cron."""
    other_month = phrase.months and month not in phrase.months
    if other_month and (phrase.has_month_days or days):
        known = [*sorted(phrase.month_days), *([_LAST] if phrase.last_day else [])]
        if sorted(days) != sorted(known):
            raise tokens.refusal("names several dates", "write one task for each date")
    phrase.months.add(month)
    _add_month_days(phrase, days)


def _take_ordinal(tokens: Tokens) -> int | None:
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


def _take_ordinals(tokens: Tokens, phrase: Phrase, *, after_every: bool) -> bool:
    """Take ordinals with their unit; return False if "every" is followed by none."""
    start = tokens.position
    numbers, days = _take_ordinal_list(tokens)
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
    _add_month_days(phrase, numbers)
    phrase.day_range = days or phrase.day_range
    return True


def _take_ordinal_list(tokens: Tokens) -> tuple[list[int], tuple[int, int] | None]:
    """Take "the 1st, 2nd and last", of which one may be a range."""
    numbers: list[int] = []
    days: tuple[int, int] | None = None
    while True:
        before = tokens.position
        separated = tokens.take_separator() if numbers or days else True
        tokens.take_word("the")
        number = _take_ordinal(tokens) if separated else None
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
        if (last := _take_ordinal(tokens)) is not None:
            return last
    tokens.position = before
    return None


def _take_weekday_list(tokens: Tokens) -> set[int]:
    weekdays = _take_weekdays(tokens)
    while tokens.take_separator_before(lambda: tokens.peek().word in WEEKDAYS_IN_PHRASES):
        weekdays |= _take_weekdays(tokens)
    return weekdays


def _take_of(tokens: Tokens, phrase: Phrase, numbers: list[int]) -> bool:
    """Take "of the month", "of each month", "of january" or "january" after ordinals."""
    before = tokens.position
    of = tokens.take_word("of")
    if (
        of
        and tokens.take_word("the", "each", "every", "a")
        and tokens.take_word("month", "months")
    ):
        _add_month_days(phrase, numbers)
        return True
    tokens.position = before + bool(of)
    if tokens.peek().word in MONTHS:
        _add_date(tokens, phrase, MONTHS[tokens.take().word], numbers)
        return True
    tokens.position = before
    return False


def _add_month_days(phrase: Phrase, numbers: list[int]) -> None:
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
    return tokens.refusal("is ambiguous", hint)
