"""What becomes of a job that did not succeed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsd.errors import Error
from jobsd.jobs.policy import (
    Discard,
    Policy,
    Retry,
    Snooze,
    Verdict,
    constant,
    exponential,
    judge,
)
from jobsd.jobs.time_limits import WAIT_MAX_S

if TYPE_CHECKING:
    from collections.abc import Callable

_EAGER = Policy(3, (OSError,), (LookupError, FileNotFoundError), constant(7))


@pytest.mark.behaviour(58)
@pytest.mark.parametrize(
    ("error", "attempt", "verdict"),
    [
        (OSError(), 1, Verdict("retried", 7)),
        (ConnectionError(), 2, Verdict("retried", 7)),
        (OSError(), 3, Verdict("failed")),
        (ValueError(), 1, Verdict("failed")),
        (Retry(after="1m"), 1, Verdict("retried", 60)),
        (Retry(), 1, Verdict("retried", 7)),
        (Retry(after=0), 3, Verdict("failed")),
        (Discard("no use"), 1, Verdict("discarded")),
        (Snooze(timedelta(hours=1)), 3, Verdict("snoozed", 3600)),
        (SystemExit(1), 1, Verdict("failed")),
        (Snooze(1e15), 1, Verdict("snoozed", WAIT_MAX_S)),
        (Retry(after=1e15), 1, Verdict("retried", WAIT_MAX_S)),
        (Retry(after=timedelta(minutes=2)), 1, Verdict("retried", 120)),
        (KeyError(), 1, Verdict("discarded")),
        (FileNotFoundError(), 1, Verdict("discarded")),
    ],
)
def test_an_error_is_judged_by_its_class_and_the_attempt(
    error: BaseException, attempt: int, verdict: Verdict
) -> None:
    assert judge(_EAGER, error, attempt, 3) == verdict


def test_without_a_policy_the_first_error_is_the_last() -> None:
    assert judge(Policy(), OSError(), 1, 1) == Verdict("failed")


@pytest.mark.behaviour(64)
def test_a_verdict_raised_by_a_job_overrides_its_options() -> None:
    policy = Policy(3, (), (Exception,), constant(7))

    assert judge(policy, Retry(), 1, 3) == Verdict("retried", 7)
    assert judge(policy, Snooze(5), 3, 3) == Verdict("snoozed", 5)


def test_the_number_of_attempts_is_that_of_the_jobs_row() -> None:
    assert judge(_EAGER, OSError(), 3, 9) == Verdict("retried", 7)


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [(2, 2), (2.5, 2.5), (timedelta(hours=1), 3600), (-1, 0), (timedelta(-1), 0)],
)
def test_a_backoff_gives_seconds_or_a_timedelta(
    wait: float | timedelta, seconds: float
) -> None:
    policy = Policy(max_attempts=2, backoff=lambda _attempt: wait)

    assert judge(policy, OSError(), 1, 2) == Verdict("retried", seconds)


def test_a_backoff_is_given_the_number_of_the_attempt() -> None:
    policy = Policy(max_attempts=9, backoff=lambda attempt: attempt**2)

    assert [judge(policy, OSError(), n, 9).wait_s for n in (1, 2, 3)] == [1, 4, 9]


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), None, "soon", 10**400])
def test_a_backoff_that_gives_no_number_is_replaced_and_noted(nonsense: Any) -> None:
    policy = Policy(max_attempts=2, backoff=lambda _attempt: nonsense)
    error = OSError("mine")

    verdict = judge(policy, error, 1, 2)

    assert (verdict.outcome, 3 <= verdict.wait_s <= 3.45) == ("retried", True)
    assert "Its backoff failed" in error.__notes__[0]


def test_a_backoff_that_raises_is_replaced_and_noted() -> None:
    def broken(_attempt: int) -> float:
        raise ZeroDivisionError("no")

    error = OSError("mine")

    verdict = judge(Policy(max_attempts=2, backoff=broken), error, 1, 2)

    assert verdict.outcome == "retried"
    assert error.__notes__ == ["Its backoff failed: ZeroDivisionError: no"]


@pytest.mark.parametrize("option", ["retry_on", "discard_on"])
@pytest.mark.parametrize("kind", [OSError(), "OSError", int, None])
def test_an_option_that_is_no_exception_class_is_refused(option: str, kind: Any) -> None:
    with pytest.raises(Error, match=f"{option}: .* is not a class of exceptions"):
        _policy_with(option, kind)


def _policy_with(option: str, kind: Any) -> Policy:
    return Policy(retry_on=(kind,)) if option == "retry_on" else Policy(discard_on=(kind,))


@pytest.mark.parametrize(
    "make",
    [
        lambda: exponential(base=-1),
        lambda: exponential(factor=0.5),
        lambda: exponential(factor=float("inf")),
        lambda: exponential(jitter=-0.1),
        lambda: exponential(cap="soon"),
        lambda: constant(-1),
        lambda: constant(float("nan")),
    ],
)
def test_an_impossible_backoff_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(Error):
        make()


@pytest.mark.parametrize("wait", [-1, "soon", float("nan"), timedelta(-1), 10**400], ids=repr)
def test_an_impossible_wait_is_refused(wait: Any) -> None:
    with pytest.raises(Error, match=r"after: .* is not a duration"):
        Retry(after=wait)
    with pytest.raises(Error, match=r"wait: .* is not a duration"):
        Snooze(wait)


def test_a_steep_backoff_comes_to_its_cap() -> None:
    assert exponential(factor=1e9, cap=60, jitter=0)(5000) == 60


def test_exponential_backoff_doubles_and_is_lengthened_by_chance() -> None:
    waits = [[exponential()(attempt) for _ in range(200)] for attempt in (1, 2, 3)]

    for least, some in zip((3, 6, 12), waits, strict=True):
        assert all(least <= seconds <= least * 1.15 for seconds in map(_seconds, some))
        assert len(set(some)) > 1


def _seconds(wait: float | timedelta) -> float:
    assert isinstance(wait, float)
    return wait


@given(st.integers(1, 10_000))
def test_exponential_backoff_stays_below_its_cap(attempt: int) -> None:
    wait = exponential(cap="1h")(attempt)

    assert isinstance(wait, float)
    assert 3 <= wait <= 3600
