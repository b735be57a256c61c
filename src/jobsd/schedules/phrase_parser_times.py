"""Parses the times of day in a phrase.

    times   := time { and time }
    span    := time ( "to" | "-" ) time
    time    := H[:MM] [ half ] | number-word [ "dark" ] [ minute-word ] [ half ] | "noon" | "midnight"
    half    := "am" | "pm" | "noon" | "midday" | "midnight"
    and     := "," | "and" | "or" | ", and"

12am is midnight, 12pm and "12 noon" are noon, "12 midnight" and 24:00 are hour 0 of the
day itself, as in the original; 13pm is taken for 13:00, with a warning.
"""  # noqa: E501 - a grammar reads best with one rule a line

from .phrase import Clock, Phrase
from .tokenizer import Tokens
from .vocabulary import HALVES_OF_THE_DAY, HOURS, MINUTES, TO

_TO_OR_DASH = TO | {"-"}


def starts_time(tokens: Tokens, ahead: int = 0) -> bool:
    """Return whether a time of day comes next."""
    token = tokens.peek(ahead)
    return token.kind in {"clock", "number"} or token.word in HOURS


def take_times(tokens: Tokens, phrase: Phrase) -> None:
    """Take one or several times, or a span of hours, into `phrase`."""
    first = _take_time(tokens, phrase)
    if tokens.peek().word in _TO_OR_DASH and starts_time(tokens, 1):
        _take_end(tokens, phrase, first)
        return
    phrase.times.append(first)
    while tokens.take_separator_before(lambda: starts_time(tokens)):
        phrase.times.append(_take_time(tokens, phrase))


def take_span(
    tokens: Tokens, phrase: Phrase, to: frozenset[str] | set[str] = _TO_OR_DASH
) -> None:
    """Take a span of hours such as "9am to 5pm" into `phrase`."""
    if not starts_time(tokens):
        raise tokens.wrong('a range is written "9am to 5pm"')
    first = _take_time(tokens, phrase)
    if tokens.peek().word not in to or not starts_time(tokens, 1):
        raise tokens.wrong('a range has an end: "from 9am to 5pm"')
    _take_end(tokens, phrase, first)


def _take_end(tokens: Tokens, phrase: Phrase, first: Clock) -> None:
    tokens.take()
    last = _take_time(tokens, phrase)
    if first.plain and last.plain and 0 < last.hour < first.hour:
        raise tokens.refusal(
            f": {first.hour} to {last.hour} may mean the day or the night",
            f'write "{first.hour}am to {last.hour}pm", or the hours from 0 to 24',
        )
    phrase.hour_ranges.append((first, last))


def _take_time(tokens: Tokens, phrase: Phrase) -> Clock:
    token = tokens.take()
    if token.kind == "clock":
        hour, minute = (int(number) for number in token.word.split(":"))
        plain = False
    elif token.kind == "number":
        hour, minute, plain = int(token.word[:9]), 0, True
        tokens.take_word("o'clock", "oclock")
    else:
        hour = HOURS[token.word]
        plain = token.word not in HALVES_OF_THE_DAY
        tokens.take_word("dark")
        minute = MINUTES[tokens.take().word] if tokens.peek().word in MINUTES else 0
    if hour > 24 or minute > 59:
        raise tokens.refusal(f": there is no time of day {hour}:{minute:02}")
    half = tokens.take_word(*HALVES_OF_THE_DAY)
    hour24 = _hour_of_day(tokens, phrase, hour, half) % 24 if half else hour % 24
    return Clock(hour24, minute, plain=plain and not half and 0 < hour <= 12)


def _hour_of_day(tokens: Tokens, phrase: Phrase, hour: int, half: str) -> int:
    if half == "pm" and hour > 12:
        phrase.warnings.append(f"{hour}pm is taken for {hour}:00")
        return hour
    if half in {"am", "pm"} and hour <= 12:
        return hour % 12 + (12 if half == "pm" else 0)
    if half in {"noon", "midday"} and hour == 12:
        return 12
    if half == "midnight" and hour in {0, 12, 24}:
        return 0
    raise tokens.refusal(f": there is no {hour} {half}")
