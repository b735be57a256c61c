"""Parses a phrase such as "every weekday at 9am and 5pm in Europe/Paris".

    phrase   := element { [ "," | "and" ] element }          in any order
    element  := every | range | at | on | zone | days | times | word
    every    := ( "every" | "each" ) object
    object   := days | [ count ] unit [ start ] | "quarter" [ "of an" ] "hour" | "half" [ "an" ] "hour"
    start    := ( "starting at" | "from" ) unit number
    range    := [ "from" ] span { and span } | "between" time "and" time
    span     := time to time | weekday to weekday | ordinal to ordinal | month to month
    at       := [ "at" ] ( time [ to time ] | point ) { and ( time | point ) }
    point    := ( "second" | "minute" | "hour" ) number { and number } | ":" number
    on       := ( "on" | "in" ) ( days | point | "the hour" | "the minute" | zone )
    word     := "hourly" | "daily" | "weekly" | "monthly" | "yearly" | …
    time     := H[:MM] [ half ] | number-word [ "dark" ] [ minute-word ] [ half ] | "noon" | "midnight"
    half     := "am" | "pm" | "noon" | "midday" | "midnight"
    and      := "," | "and" | "or" | ", and"

12am is midnight, 12pm and "12 noon" are noon, "12 midnight" and 24:00 are hour 0 of the
day itself, as in the original; 13pm is taken for 13:00, with a warning.

`phrase_parser_days` parses the days. The parts are only collected here: `phrase_compiler`
combines them and refuses contradictions.
"""  # noqa: E501 - a grammar reads best with one rule a line

from . import vocabulary
from .error import ScheduleError, quoted
from .phrase import Cadence, Clock, Phrase
from .phrase_parser_days import is_bare_number, starts_days, take_days, take_span_of_days
from .time_zones import find_zone, require_zone
from .tokenizer import Tokens
from .vocabulary import AND, CADENCES, POINTS, TO, UNITS

_MAX_LENGTH = 256
_UNITS_AND_DAYS = (
    "write a unit (seconds, minutes, hours, days, weeks, months, years), a weekday, or a day"
    ' of the month such as "the 1st of the month"'
)
_TO_OR_DASH = TO | {"-"}
_LIMITS = {"second": 59, "minute": 59, "hour": 23}


def parse_phrase(text: str) -> Phrase:
    """Return the parts of the phrase `text`.

    Raises:
        ScheduleError: when it is no phrase of the grammar above.
    """
    if len(text) > _MAX_LENGTH:
        raise ScheduleError(
            f"{quoted(text)} has {len(text)} characters; a phrase has at most {_MAX_LENGTH}"
        )
    tokens = Tokens(text)
    phrase = Phrase(text)
    if tokens.peek().kind == "end":
        raise ScheduleError("the schedule is empty", 'write "every 5 minutes", or a cron')
    _take_element(tokens, phrase)
    while tokens.peek().kind != "end":
        while tokens.take_word(",", *AND):
            pass
        _take_element(tokens, phrase)
    return phrase


def _take_element(tokens: Tokens, phrase: Phrase) -> None:
    token = tokens.peek()
    if tokens.take_word("every", "each"):
        _take_every(tokens, phrase)
    elif tokens.take_word("from"):
        _take_range(tokens, phrase)
    elif tokens.take_word("between"):
        _take_span(tokens, phrase, {"and"})
    elif tokens.take_word("at"):
        _take_at(tokens, phrase)
    elif tokens.take_word("on", "in"):
        _take_on(tokens, phrase)
    elif token.word in CADENCES:
        _set_cadence(tokens, phrase, Cadence(1, CADENCES[tokens.take().word]))
    elif _starts_point(tokens):
        _take_points(tokens, phrase)
    elif starts_days(tokens):
        take_days(tokens, phrase)
    elif _starts_time(tokens):
        _take_times(tokens, phrase)
    else:
        _take_zone(tokens, phrase)


def _take_every(tokens: Tokens, phrase: Phrase) -> None:
    if phrase.has_every:
        raise ScheduleError(f'{quoted(tokens.text)} has "every" twice', "write two tasks")
    phrase.has_every = True
    if tokens.take_word("other"):
        unit = UNITS.get(tokens.peek().word, "")
        instead = f'"every 2 {unit}s"' if unit else 'a cron such as "0 0 * * mon%2"'
        if unit == "week":
            instead = 'the cron "0 0 * * mon%2": Mondays of every other week'
        unsaid = f": it does not say which {unit or 'one'} to start with"
        raise tokens.refusal(f"is ambiguous{unsaid}", f"write {instead}")
    is_unit = tokens.peek().word in {"day", "days"}
    if not is_unit and starts_days(tokens) and take_days(tokens, phrase, after_every=True):
        return
    if (count := _take_part_of_an_hour(tokens)) is not None:
        _set_cadence(tokens, phrase, Cadence(count, "minute"))
        return
    if tokens.peek().word == "-":
        raise tokens.refusal("has a negative count", "a count is 1 or more: every 5 minutes")
    count = _take_count(tokens)
    unit = _take_unit(tokens, phrase)
    _set_cadence(tokens, phrase, Cadence(count, unit, _take_start(tokens, unit)))


def _take_part_of_an_hour(tokens: Tokens) -> int | None:
    for minutes, name in ((15, "quarter"), (30, "half")):
        for words in ("hour", "an hour", "of an hour", "- hour"):
            if tokens.take_words(f"{name} {words}"):
                return minutes
    return None


def _take_count(tokens: Tokens) -> int:
    token = tokens.peek()
    if token.kind == "number":
        return int(tokens.take().word[:9])
    if token.word in vocabulary.NUMBERS and tokens.peek(1).word in UNITS:
        return vocabulary.NUMBERS[tokens.take().word]
    return 1


def _take_unit(tokens: Tokens, phrase: Phrase) -> str:
    token = tokens.peek()
    if token.word not in UNITS:
        raise tokens.wrong(_UNITS_AND_DAYS)
    tokens.take()
    if token.text == "M":
        phrase.warnings.append("a capital M means months; write m for minutes")
        return "month"
    return UNITS[token.word]


def _take_start(tokens: Tokens, unit: str) -> int | None:
    """Take "starting at minute 5"; the unit named has to be the cadence's own."""
    word, named, number = (tokens.peek(ahead) for ahead in range(3))
    if word.word in {"starting", "beginning"}:
        named, number = tokens.peek(2), tokens.peek(3)
        if tokens.peek(1).word not in {"at", "from", "on", "with"} or named.word not in UNITS:
            raise _unclear_start(tokens, unit)
    elif word.word != "from" or named.word not in UNITS or number.kind != "number":
        return None
    if UNITS[named.word] != unit:
        raise _other_unit(tokens, unit, UNITS[named.word], number.word)
    if number.kind != "number":
        raise _unclear_start(tokens, unit)
    while tokens.peek() is not number:
        tokens.take()
    return int(tokens.take().word[:9])


def _take_range(tokens: Tokens, phrase: Phrase) -> None:
    if not _starts_time(tokens):
        take_span_of_days(tokens, phrase)
        return
    _take_span(tokens, phrase)
    while tokens.peek().word in AND and _starts_time(tokens, 1):
        tokens.take()
        _take_span(tokens, phrase)


def _take_at(tokens: Tokens, phrase: Phrase) -> None:
    if _starts_point(tokens):
        _take_points(tokens, phrase)
    elif _starts_time(tokens):
        _take_times(tokens, phrase)
    else:
        raise tokens.wrong('a time of day is written "9am", "16:30" or "noon"')


def _take_on(tokens: Tokens, phrase: Phrase) -> None:
    if tokens.take_words("the hour"):
        phrase.on_the = "hour"
    elif tokens.take_words("the minute"):
        phrase.on_the = "minute"
    elif _starts_point(tokens):
        _take_points(tokens, phrase)
    elif starts_days(tokens):
        take_days(tokens, phrase)
    else:
        _take_zone(tokens, phrase)


def _starts_point(tokens: Tokens, ahead: int = 0) -> bool:
    word, number = tokens.peek(ahead), tokens.peek(ahead + 1)
    return (word.word in POINTS or word.word == ":") and number.kind == "number"


def _take_points(tokens: Tokens, phrase: Phrase) -> None:
    word = tokens.take().word
    unit = POINTS.get(word, "minute")
    points = {"second": phrase.seconds, "minute": phrase.minutes, "hour": phrase.hours}[unit]
    points.add(_take_point(tokens, unit))
    while tokens.take_separator_before(lambda: _starts_point(tokens) or is_bare_number(tokens)):
        if _starts_point(tokens):
            _take_points(tokens, phrase)
        else:
            points.add(_take_point(tokens, unit))


def _take_point(tokens: Tokens, unit: str) -> int:
    number = int(tokens.peek().word[:9])
    if number > _LIMITS[unit]:
        limit = _LIMITS[unit]
        # The hint for a time such as 5h30 depends on the whole phrase.
        hint = "" if unit == "hour" else f'write "at {unit} 0", or a number up to {limit}'
        raise ScheduleError(f"{unit} {number} is out of range (0-{limit})", hint)
    tokens.take()
    return number


def _take_zone(tokens: Tokens, phrase: Phrase) -> None:
    token = tokens.peek()
    is_one = token.kind in {"zone", "offset"} or (
        token.kind == "word" and find_zone(token.text)
    )
    if not is_one:
        raise _not_understood(tokens)
    if phrase.zone:
        raise tokens.refusal("names two time zones", "leave one of them out")
    phrase.zone = require_zone(token.text)[0]
    tokens.take()


def _set_cadence(tokens: Tokens, phrase: Phrase, cadence: Cadence) -> None:
    if phrase.cadence:
        raise tokens.refusal(
            "names two cadences", 'write two tasks, or one interval such as "every: 90m"'
        )
    phrase.cadence = cadence


def _not_understood(tokens: Tokens) -> ScheduleError:
    from .hints import nearest_word  # noqa: PLC0415 - only needed to be helpful

    token = tokens.peek()
    before = tokens.peek(-1).word
    if token.kind == "word" and before in {"in", "on"} and token.text[:1].isupper():
        require_zone(token.text)
    return tokens.wrong(nearest_word(token.word))


def _unclear_start(tokens: Tokens, unit: str) -> ScheduleError:
    return tokens.refusal(
        f"does not say at which {unit} it starts",
        f'write "starting at {unit} 3", or "at" and a time of day',
    )


def _other_unit(tokens: Tokens, unit: str, named: str, number: str) -> ScheduleError:
    hint = f'write "starting at {unit}" and a number'
    if (unit, named) in {("minute", "second"), ("hour", "minute"), ("hour", "second")}:
        hint = f'write "every {unit} at {named} {number}"'
    elif (unit, named) == ("day", "hour"):
        hint = f'write "every day at {number}:00"'
    elif (unit, named) == ("month", "day"):
        hint = f'write "every month on day {number}"'
    return tokens.refusal(f": the {unit}s can't start at one of the {named}s", hint)


def _starts_time(tokens: Tokens, ahead: int = 0) -> bool:
    token = tokens.peek(ahead)
    return token.kind in {"clock", "number"} or token.word in vocabulary.HOURS


def _take_times(tokens: Tokens, phrase: Phrase) -> None:
    first = _take_time(tokens, phrase)
    if tokens.peek().word in _TO_OR_DASH and _starts_time(tokens, 1):
        _take_end(tokens, phrase, first)
        return
    phrase.times.append(first)
    while tokens.take_separator_before(lambda: _starts_time(tokens)):
        phrase.times.append(_take_time(tokens, phrase))


def _take_span(
    tokens: Tokens, phrase: Phrase, to: frozenset[str] | set[str] = _TO_OR_DASH
) -> None:
    if not _starts_time(tokens):
        raise tokens.wrong('a range is written "9am to 5pm"')
    first = _take_time(tokens, phrase)
    if tokens.peek().word not in to or not _starts_time(tokens, 1):
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
        hour = vocabulary.HOURS[token.word]
        plain = token.word not in vocabulary.HALVES_OF_THE_DAY
        tokens.take_word("dark")
        minute = (
            vocabulary.MINUTES[tokens.take().word]
            if tokens.peek().word in vocabulary.MINUTES
            else 0
        )
    if hour > 24 or minute > 59:
        raise tokens.refusal(f": there is no time of day {hour}:{minute:02}")
    half = tokens.take_word(*vocabulary.HALVES_OF_THE_DAY)
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
