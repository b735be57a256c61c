"""Reads the durations that options of a job say, within what the database can add to a time."""

from datetime import timedelta

from jobsd.clock import parse_duration
from jobsd.errors import Error

WAIT_MAX_S = 100 * 365 * 86400.0
"""Longer waits are mistakes."""


def duration_s(option: str, value: float | timedelta | str) -> float:
    """Return the seconds that an option says.

    Raises:
        Error: for what is not a duration.
    """
    try:
        return parse_duration(value)
    except ValueError as error:
        raise Error(f"{option}: {error}") from None


def bounded_duration_s(option: str, value: float | timedelta | str) -> float:
    """Return the seconds that an option says, which the database can add to a time.

    Raises:
        Error: for what is not a duration, or longer than a hundred years.
    """
    seconds = duration_s(option, value)
    if seconds > WAIT_MAX_S:
        raise Error(f"{option}: {value!r} is longer than a hundred years")
    return seconds
