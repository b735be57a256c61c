"""Reads the durations of a job's options: `timeout`, `kill_after`, `expires_in`, `result_ttl`.

The database must be able to add each of them to a time.
"""

from dataclasses import dataclass
from datetime import timedelta

from jobsd import errors
from jobsd.clock import parse_duration

WAIT_MAX_S = 100 * 365 * 86400.0
"""Longer waits are mistakes."""


def duration_s(option: str, value: float | timedelta | str) -> float:
    """Return the seconds of an option.

    Raises:
        Error: if the value is not a duration.
    """
    try:
        return parse_duration(value)
    except ValueError as error:
        raise errors.Error(f"{option}: {error}") from None


def bounded_duration_s(option: str, value: float | timedelta | str) -> float:
    """Return the seconds of an option, which the database can add to a time.

    Raises:
        Error: if the value is not a duration, or longer than a hundred years.
    """
    seconds = duration_s(option, value)
    if seconds > WAIT_MAX_S:
        raise errors.Error(f"{option}: {value!r} is longer than a hundred years")
    return seconds


LIMIT_MIN_S, LIMIT_MAX_S = 0.001, 86_400.0


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """When a job is interrupted, and how much later its process ends it; None: as usual."""

    timeout_s: float | None
    kill_after_s: float | None = None


@dataclass(slots=True)
class _Default:
    """The defaults of this process for jobs without options of their own."""

    timeout_s: float | None = None
    kill_after_s: float = 10.0
    hang_timeout_s: float = 40.0


DEFAULT = _Default()
"""Read by itself where a call for each job would count."""


def set_default(
    timeout_s: float | None, kill_after_s: float = 10.0, hang_timeout_s: float = 40.0
) -> None:
    """Set the defaults for the jobs of this process that have no options of their own."""
    DEFAULT.timeout_s, DEFAULT.kill_after_s = timeout_s, kill_after_s
    DEFAULT.hang_timeout_s = hang_timeout_s


def hang_timeout_s() -> float:
    """Return for how long a job may block the event loop before its process is ended."""
    return DEFAULT.hang_timeout_s


def timeout_s(limit: TimeLimit | None) -> float | None:
    """Return the seconds after which a job of this limit is interrupted; None: never."""
    own_s = None if limit is None else limit.timeout_s
    return DEFAULT.timeout_s if own_s is None else own_s


def kill_after_s(limit: TimeLimit | None) -> float:
    """Return how many seconds later its process ends it, if it still runs."""
    own_s = None if limit is None else limit.kill_after_s
    return DEFAULT.kill_after_s if own_s is None else own_s


def read_bound(option: str, value: timedelta | float | str) -> float:
    """Return the seconds of `timeout` or `kill_after`.

    Raises:
        Error: if a value is not a valid time.
    """
    seconds = duration_s(option, value)
    if LIMIT_MIN_S <= seconds <= LIMIT_MAX_S:
        return seconds
    raise errors.Error(f"{option}: {value!r} is not from {LIMIT_MIN_S:g} seconds to a day")


def read_expiry(value: timedelta | float | str | None) -> float | None:
    """Return within how many seconds a job has to be begun; None: whenever.

    Raises:
        Error: if the value is not a valid time.
    """
    if value is None:
        return None
    if seconds := bounded_duration_s("expires_in", value):
        return seconds
    raise errors.Error("expires_in=0 is too short: the job would never start")


def read_result_ttl(value: timedelta | float | str | None) -> float | None:
    """Return the seconds for which a job's result is kept; None: not at all.

    Raises:
        Error: if the value is not a valid time.
    """
    if value is None:
        return None
    if seconds := bounded_duration_s("result_ttl", value):
        return seconds
    raise errors.Error("result_ttl=0 keeps nothing: leave it out")
