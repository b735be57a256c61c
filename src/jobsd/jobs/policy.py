"""The policy of a job: decides whether an attempt that did not succeed is retried."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple, cast

from jobsd.errors import Cancelled, Error, TimeLimitExceeded

from .time_limits import WAIT_MAX_S, duration_s

Backoff = Callable[[int], float | timedelta]


FAILURES = (Exception, TimeLimitExceeded)
"""The exceptions that are retried, unless a job has other options."""


def exponential(
    base: float = 3.0,
    *,
    factor: float = 2.0,
    cap: float | timedelta | str = "1d",
    jitter: float = 0.15,
) -> Backoff:
    """Return a backoff that waits `base` seconds, then `factor` times as long each time.

    At most `cap`; each wait is lengthened by a random share of up to `jitter`.

    Raises:
        Error: for negative numbers, or a factor below 1.
    """
    most_s = duration_s("cap", cap)
    least_s = duration_s("base", base)
    if not 1 <= factor < math.inf or not 0 <= jitter < math.inf:
        raise Error(f"exponential: factor={factor!r} and jitter={jitter!r}: from 1, and from 0")

    def wait(attempt: int) -> float:
        try:
            plain_s = min(most_s, least_s * float(factor) ** (attempt - 1))
        except OverflowError:
            plain_s = most_s
        return min(most_s, plain_s * (1 + _chance() * jitter))

    return wait


def check_backoff(given: object) -> Backoff:
    """Return a backoff, the default one for None.

    Raises:
        Error: if it is not a function.
    """
    if given is None:
        return exponential()
    if not callable(given):
        raise Error(f"backoff: {given!r} is not a function; constant({given!r}) makes one")
    return cast("Backoff", given)


def _draw() -> float:
    import random  # noqa: PLC0415 - a command loads policies and draws nothing

    return random.random()  # noqa: S311 - spreads retries, and keeps nothing secret


_chance: Callable[[], float] = _draw


def chance_by(chance: Callable[[], float]) -> Callable[[], float]:
    """Set the function that draws the share of the jitter; return the previous one."""
    global _chance
    before, _chance = _chance, chance
    return before


def constant(seconds: float | timedelta | str) -> Backoff:
    """Return a backoff that always waits for the same time.

    Raises:
        Error: for an invalid duration.
    """
    wait_s = duration_s("constant", seconds)
    return lambda _attempt: wait_s


class Retry(Error):  # noqa: N818 - said to the queue, no error
    """Raised in a job: try again, in `after` seconds or after its backoff.

    It counts as an attempt; when none is left, the job fails.
    """

    def __init__(self, after: float | timedelta | str | None = None, reason: str = "") -> None:
        self.after_s = None if after is None else duration_s("after", after)
        super().__init__(reason or "the job asked to be retried")


class Discard(Error):  # noqa: N818
    """Raised in a job: drop it, without a failure."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "the job asked to be discarded")


class Snooze(Error):  # noqa: N818
    """Raised in a job: run it again after `wait`, without counting an attempt."""

    def __init__(self, wait: float | timedelta | str) -> None:
        self.wait_s = duration_s("wait", wait)
        super().__init__(f"the job asked to be run again in {self.wait_s:g} s")


@dataclass(frozen=True, slots=True)
class Policy:
    """How often a job is tried, and what its exceptions mean."""

    max_attempts: int = 1
    retry_on: tuple[type[BaseException], ...] = FAILURES
    discard_on: tuple[type[BaseException], ...] = ()
    backoff: Backoff = field(default_factory=exponential)

    def __post_init__(self) -> None:
        for option, kinds in (("retry_on", self.retry_on), ("discard_on", self.discard_on)):
            for kind in kinds:
                if not (isinstance(kind, type) and issubclass(kind, BaseException)):  # pyright: ignore[reportUnnecessaryIsInstance]
                    raise Error(f"{option}: {kind!r} is not a class of exceptions")

    def retries(self, kind: type[BaseException]) -> bool:
        """Return whether this kind of failure may be tried again at all."""
        return self.max_attempts > 1 and issubclass(kind, self.retry_on)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of an attempt ("failed", "retried", "discarded", "snoozed") and its time."""

    outcome: str
    wait_s: float = 0.0


class Ending(NamedTuple):
    """The verdict on one claimed job, and the type of the error that it raised."""

    job_id: int
    claim_id: int
    outcome: str
    wait_s: float
    error_type: str
    error: dict[str, Any] | None = None
    """The whole error, if it is known."""


def judge(policy: Policy, error: BaseException, attempt: int, attempts_max: int) -> Verdict:
    """Decide the outcome of a job whose attempt of this number (1, 2, …) raised `error`.

    An exception of the queue (such as `Retry`) beats the job's options, and `discard_on` beats
    `retry_on`. When the backoff raises or gives no number, the default one is taken, and
    `error` bears a note.
    """
    if isinstance(error, Snooze):
        return Verdict("snoozed", _bounded(error.wait_s))
    if isinstance(error, Discard | Cancelled):
        return Verdict("discarded")
    asked = isinstance(error, Retry)
    if not asked and isinstance(error, policy.discard_on):
        return Verdict("discarded")
    if attempt >= attempts_max or not (asked or isinstance(error, policy.retry_on)):
        return Verdict("failed")
    asked_s = error.after_s if isinstance(error, Retry) else None
    return Verdict("retried", _bounded(_wait_s(policy, error, attempt, asked_s)))


def drawn_wait_s(policy: Policy, attempt: int) -> float:
    """Return the pause before the next attempt of a job; each call draws its jitter."""
    try:
        seconds = _seconds(policy.backoff(attempt))
    except Exception:  # noqa: BLE001 - as below; `judge` has told of it
        seconds = _seconds(_DEFAULT_BACKOFF(attempt))
    return _bounded(seconds)


def _wait_s(policy: Policy, error: BaseException, attempt: int, asked_s: float | None) -> float:
    if asked_s is not None:
        return asked_s
    try:
        return _seconds(policy.backoff(attempt))
    except Exception as broken:  # noqa: BLE001 - the author's own function
        error.add_note(f"Its backoff failed: {type(broken).__name__}: {broken}")
        return _seconds(_DEFAULT_BACKOFF(attempt))


def _seconds(wait: float | timedelta) -> float:
    seconds = wait.total_seconds() if isinstance(wait, timedelta) else float(wait)
    if not math.isfinite(seconds):
        raise ValueError(f"{wait!r} is not a finite number of seconds")
    return seconds


def _bounded(wait_s: float) -> float:
    """Return a wait that the database can add to a time."""
    return min(max(wait_s, 0.0), WAIT_MAX_S)


_DEFAULT_BACKOFF = exponential()
