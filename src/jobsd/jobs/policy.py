"""What becomes of a job that did not succeed: decided here, written elsewhere."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from jobsd.clock import parse_duration
from jobsd.errors import Error

if TYPE_CHECKING:
    from collections.abc import Callable

    Backoff = Callable[[int], float | timedelta]

WAIT_MAX_S = 100 * 365 * 86400.0
"""Longer waits are mistakes."""


def exponential(
    base: float = 3.0,
    *,
    factor: float = 2.0,
    cap: float | timedelta | str = "1d",
    jitter: float = 0.15,
) -> Backoff:
    """Return a backoff that waits `base` seconds, then `factor` times as long each time.

    At most `cap`; each wait is lengthened by a random share of up to `jitter`.
    """
    most_s = parse_duration(cap)

    def wait(attempt: int) -> float:
        # The exponent is bounded: beyond it the cap rules anyway, and a float overflows.
        plain_s = min(most_s, base * factor ** min(attempt - 1, 64))
        return min(most_s, plain_s * (1 + random.random() * jitter))  # noqa: S311 - no secret

    return wait


def constant(seconds: float | timedelta | str) -> Backoff:
    """Return a backoff that always waits as long."""
    wait_s = parse_duration(seconds)
    return lambda _attempt: wait_s


class Retry(Error):  # noqa: N818 - said to the queue, no error
    """Raised in a job: try again, in `after` seconds or as its backoff says.

    It counts as an attempt; when none is left, the job fails.
    """

    def __init__(self, after: float | timedelta | str | None = None, reason: str = "") -> None:
        self.after_s = None if after is None else parse_duration(after)
        super().__init__(reason or "the job asked to be retried")


class Discard(Error):  # noqa: N818
    """Raised in a job: drop it; nothing has failed."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "the job asked to be discarded")


class Snooze(Error):  # noqa: N818
    """Raised in a job: run it again after `wait`; it counts as no attempt."""

    def __init__(self, wait: float | timedelta | str) -> None:
        self.wait_s = parse_duration(wait)
        super().__init__(f"the job asked to be run again in {self.wait_s:g} s")


@dataclass(frozen=True, slots=True)
class Policy:
    """How often a job is tried, and what its exceptions mean."""

    max_attempts: int = 1
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    discard_on: tuple[type[BaseException], ...] = ()
    backoff: Backoff = field(default_factory=exponential)

    def retries(self, kind: type[BaseException]) -> bool:
        """Return whether this kind of failure may be tried again at all."""
        return self.max_attempts > 1 and issubclass(kind, self.retry_on)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a job: "failed", "retried", "discarded" or "snoozed", and when."""

    outcome: str
    wait_s: float = 0.0


def judge(policy: Policy, error: BaseException, attempt: int, attempts_max: int) -> Verdict:
    """Decide what becomes of a job whose attempt of this number (1, 2, …) raised `error`."""
    if isinstance(error, Snooze):
        return Verdict("snoozed", _bounded(error.wait_s))
    if isinstance(error, (Discard, *policy.discard_on)):
        return Verdict("discarded")
    wanted = isinstance(error, (Retry, *policy.retry_on))
    if not wanted or attempt >= attempts_max:
        return Verdict("failed")
    asked_s = error.after_s if isinstance(error, Retry) else None
    wait_s = _wait_s(policy, attempt) if asked_s is None else asked_s
    return Verdict("retried", _bounded(wait_s))


def _wait_s(policy: Policy, attempt: int) -> float:
    wait = policy.backoff(attempt)
    return wait.total_seconds() if isinstance(wait, timedelta) else float(wait)


def _bounded(wait_s: float) -> float:
    """Return a wait that the database can add to a time: what is no number waits not at all."""
    return min(wait_s, WAIT_MAX_S) if wait_s > 0 else 0.0
