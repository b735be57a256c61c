"""The one reader of the time, and the one reader of durations."""

import math
import re
import time
from datetime import UTC, datetime, timedelta

monotonic = time.monotonic
monotonic_ns = time.monotonic_ns

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhd])")
_DURATION = re.compile(rf"(?:{_PART.pattern}\s*)+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def utc_now() -> datetime:
    """Return the time by this machine's clock, aware, in UTC.

    Only to be shown to people: code that decides something compares the database's clock
    with itself, or `monotonic` with itself.
    """
    return datetime.now(UTC)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def moment_of(microseconds: int) -> datetime:
    """Return the moment this number of microseconds after the beginning of 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)


def microseconds_of(moment: datetime) -> int:
    """Return the number of microseconds from the beginning of 1970 to an aware moment."""
    return (moment - _EPOCH) // _MICROSECOND


def parse_duration(value: object) -> float:
    """Return the seconds of a number, a `timedelta`, or words such as "1h30m".

    Raises:
        ValueError: for any other value, and for negative or infinite durations.
    """
    seconds = _seconds(value)
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        raise ValueError(
            f"{value!r:.80} is not a duration; use seconds, or e.g. 250ms, 30s, 10m, 2h, 1d"
        )
    return seconds


def _seconds(value: object) -> float | None:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    return _worded(value.strip()) if isinstance(value, str) else None


def _worded(text: str) -> float | None:
    if _NUMBER.fullmatch(text):
        return float(text)
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
