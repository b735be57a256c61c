"""What becomes of a job that did not succeed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsd.jobs.policy import (
    WAIT_MAX_S,
    Discard,
    Policy,
    Retry,
    Snooze,
    Verdict,
    constant,
    exponential,
    judge,
)

_EAGER = Policy(max_attempts=3, retry_on=(OSError,), backoff=constant(7))


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
    ],
)
def test_an_error_is_judged_by_its_class_and_the_attempt(
    error: BaseException, attempt: int, verdict: Verdict
) -> None:
    assert judge(_EAGER, error, attempt, 3) == verdict


def test_without_a_policy_the_first_error_is_the_last() -> None:
    assert judge(Policy(), OSError(), 1, 1) == Verdict("failed")


@pytest.mark.behaviour(64)
def test_a_discarded_class_is_dropped_before_it_is_retried() -> None:
    policy = Policy(3, (Exception,), (KeyError,))

    assert judge(policy, KeyError(), 1, 3) == Verdict("discarded")


def test_a_backoff_that_is_no_number_waits_not_at_all() -> None:
    policy = Policy(max_attempts=2, backoff=lambda _attempt: float("nan"))

    assert judge(policy, OSError(), 1, 2) == Verdict("retried", 0)


@given(st.integers(1, 10_000))
def test_exponential_backoff_stays_below_its_cap(attempt: int) -> None:
    wait = exponential(cap="1h")(attempt)

    assert isinstance(wait, float)
    assert 3 <= wait <= 3600
