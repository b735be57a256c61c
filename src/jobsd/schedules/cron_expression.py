"""Tells a cron expression from a phrase, and splits it into its fields and its zone.

cron  := field field field field field [ field ] [ zone ]       five, or seconds first
       | "@hourly" | "@daily" | "@midnight" | "@noon" | "@weekly" | "@monthly"
       | "@yearly" | "@annually"  [ zone ]
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .cron_fields import parse_fields
from .error import ScheduleError, quoted
from .words import MONTHS, WEEKDAYS

if TYPE_CHECKING:
    from .cron import Cron

_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@noon": "0 12 * * *",
    "@hourly": "0 * * * *",
}
_SHAPE = (
    "a cron has five fields: minute hour day-of-month month day-of-week; or six, seconds first"
)
_SIGNS = r"[\d*/,~#%&?+()-]"
_TIME_FIELD = re.compile(rf"(?:{_SIGNS}|h)+", re.ASCII | re.IGNORECASE)
_NAMES = "|".join(sorted([*MONTHS, *WEEKDAYS, "last", "l", "w", "h"], key=len, reverse=True))
_FIELD = re.compile(rf"(?:{_SIGNS}|{_NAMES})+", re.ASCII | re.IGNORECASE)
_OFFSET = re.compile(r"[+-]\d\d:?(?:\d\d)?", re.ASCII)
_YEAR = re.compile(r"(?:19|2\d)\d\d(?:[-/,].*)?", re.ASCII)


def is_cron_expression(text: str) -> bool:
    """Return whether the author meant `text` as a cron expression, right or wrong."""
    if "*" in text or text.lstrip().startswith("@"):
        return True
    words = text.split()
    return (
        len(words) >= 5
        and all(_TIME_FIELD.fullmatch(word) for word in words[:2])
        and all(_FIELD.fullmatch(word) for word in words[2:5])
    )


def parse_cron_expression(text: str, key: str) -> tuple[Cron, str]:
    """Return the cron and the name of its zone, which is empty where none is named.

    Raises:
        ScheduleError: when it is none, or never runs.
    """
    words = text.split()
    if words[0].startswith("@"):
        words[:1] = _named(words[0]).split()
    zone = words.pop() if len(words) > 5 and _is_zone(words[-1]) else ""
    if len(words) > 5 and _YEAR.fullmatch(words[-1]):
        raise ScheduleError(f"{quoted(text)} names a year", "a cron has no field for years")
    if len(words) not in {5, 6}:
        raise ScheduleError(f"{quoted(text)} has {len(words)} fields", _SHAPE)
    return parse_fields(words, key), zone


def _named(word: str) -> str:
    if named := _NAMED.get(word.lower()):
        return named
    if word.lower() == "@reboot":
        raise ScheduleError(
            '"@reboot" is no time', 'write "run_at_start: true" beside a schedule'
        )
    raise ScheduleError(f"there is no {quoted(word)}", "the names are " + ", ".join(_NAMED))


def _is_zone(word: str) -> bool:
    return bool(_OFFSET.fullmatch(word)) or not (
        _FIELD.fullmatch(word) or _YEAR.fullmatch(word)
    )
