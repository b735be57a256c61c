"""For how long a job may run, by its definition or the settings; by when it has to begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobsd.errors import Error

from .policy import bounded_duration_s, duration_s

if TYPE_CHECKING:
    from datetime import timedelta

LIMIT_MIN_S, LIMIT_MAX_S = 0.001, 86_400.0


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """When a job is interrupted."""

    timeout_s: float


@dataclass(slots=True)
class _Default:
    """What counts in this process for jobs that say nothing."""

    timeout_s: float | None = None


_default = _Default()


def set_default(timeout_s: float | None) -> None:
    """Say what counts for the jobs of this process that say nothing themselves."""
    _default.timeout_s = timeout_s


def timeout_s(limit: TimeLimit | None) -> float | None:
    """Return after how many seconds such a job is interrupted; None: never."""
    return _default.timeout_s if limit is None else limit.timeout_s


def read_time_limit(timeout: timedelta | float | str | None) -> TimeLimit | None:
    """Return what the options of a job say, None when they say nothing.

    Raises:
        Error: for what is no such time.
    """
    if timeout is None:
        return None
    seconds = duration_s("timeout", timeout)
    if LIMIT_MIN_S <= seconds <= LIMIT_MAX_S:
        return TimeLimit(seconds)
    raise Error(f"timeout: {timeout!r} is not from {LIMIT_MIN_S:g} seconds to a day")


def read_expiry(value: timedelta | float | str | None) -> float | None:
    """Return within how many seconds a job has to be begun; None: whenever.

    Raises:
        Error: for what is no such time.
    """
    if value is None:
        return None
    if seconds := bounded_duration_s("expires_in", value):
        return seconds
    raise Error("expires_in=0 is no time: such a job would never be begun")
