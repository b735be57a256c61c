"""What to write instead of a phrase that is no schedule."""

import re

from .vocabulary import KNOWN, MONTHS, UNITS

_ONCE_LATER = re.compile(r"in (\d+) ?([a-z]+)", re.IGNORECASE)
_ONCE = re.compile(r"(?:today|tonight|tomorrow|next|now)\b|\d{4}-\d\d?-\d\d?", re.IGNORECASE)
_DURATION = re.compile(r"(\d+) ?([a-z]+)", re.IGNORECASE)
_FRACTION = re.compile(r"every (\d+\.\d+) ?([a-z]+)", re.IGNORECASE)
_WITH_SECONDS = re.compile(r"(\d\d?):(\d\d):(\d\d)\b")
_WITH_H = re.compile(r"\b(\d\d?)h(\d\d)\b", re.IGNORECASE)
_YEAR = re.compile(r"(?<![:\d])(?:19|20|21)\d\d(?![:\d])")
_PHRASED = {"second": 60, "minute": 60, "hour": 24, "day": 30, "month": 12}
_INTERVALS = {"second", "minute", "hour", "day"}
_FIELDS = "the fields are minute hour day-of-month month day-of-week, or six with seconds first"
_EXAMPLES = 'write "every day at 9am", "every 5 minutes", or a cron such as "0 9 * * *"'


def hint_for(text: str) -> str:
    """Return a hint for a phrase that could not be parsed, by its appearance."""
    text = text.strip()
    if (found := _ONCE_LATER.match(text)) and found[2].lower() in UNITS:
        unit = UNITS[found[2].lower()]
        when = f"--in {found[1]}{unit[0]}" if unit in _INTERVALS else "--at"
        return f"that is one run, not a schedule: enqueue the job with {when}"
    if _ONCE.match(text):
        return "that is one run, not a schedule: enqueue the job with --at"
    for form in (_DURATION.fullmatch, _FRACTION.match):
        if (found := form(text)) and found[2].lower() in UNITS:
            return _every(found[1], UNITS[found[2].lower()])
    if found := _WITH_H.search(text):
        return f'write "{found[1]}:{found[2]}"'
    if "*" in text:
        return _FIELDS
    if found := _WITH_SECONDS.search(text):
        hour, minute, second = (int(number) for number in found.groups())
        return f'write the cron "{second} {minute} {hour} * * *", which has the seconds first'
    if _YEAR.search(text):
        return "a schedule names no year: it goes on year after year"
    return _EXAMPLES


def _every(number: str, unit: str) -> str:
    """Return how to write a cadence: as a phrase, an interval or a cron."""
    if number.isdecimal() and int(number) <= _PHRASED.get(unit, 1):
        return f'write "every {number} {unit}s"'
    if unit in _INTERVALS:
        return f'write "every: {number}{unit[0]}" for a true interval'
    if unit == "week" and number.isdecimal():
        return f'write the cron "0 0 * * mon%{number}": Mondays, every {number} weeks'
    return _EXAMPLES


def nearest_word(word: str) -> str:
    """Return the known word that is most like `word`, or nothing."""
    if word in KNOWN:
        return ""
    from difflib import get_close_matches  # noqa: PLC0415 - only needed to be helpful

    near = get_close_matches(word[:60], sorted(KNOWN | set(MONTHS)), n=1, cutoff=0.75)
    return f'did you mean "{near[0]}"?' if near else ""
