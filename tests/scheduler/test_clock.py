"""The database's clock is known between two readings, and never thought to be ahead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobsd.clock import monotonic
from jobsd.scheduler.clock import DatabaseClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def _ahead_s(clock: DatabaseClock, instant: datetime) -> float:
    return (clock.now() - instant).total_seconds()


def test_it_goes_on_from_a_reading() -> None:
    clock = DatabaseClock()
    asked = monotonic()

    clock.measure(asked, NOON, asked)

    assert _ahead_s(clock, NOON) == pytest.approx(0, abs=0.05)


def test_a_slow_answer_does_not_make_it_run_ahead() -> None:
    clock = DatabaseClock()
    now = monotonic()

    clock.measure(now - 0.5, NOON, now)

    assert _ahead_s(clock, NOON) == pytest.approx(0, abs=0.05)


def test_the_best_reading_is_kept() -> None:
    clock = DatabaseClock()
    now = monotonic()
    clock.measure(now, NOON, now)

    clock.measure(now - 1, NOON - timedelta(seconds=0.8), now)

    assert _ahead_s(clock, NOON) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_was_set_is_followed(hours: int) -> None:
    clock = DatabaseClock()
    now = monotonic()
    clock.measure(now, NOON, now)

    clock.measure(now, NOON + timedelta(hours=hours), now)

    assert _ahead_s(clock, NOON) == pytest.approx(hours * 3600, abs=0.05)


def test_an_unread_clock_tells_nothing() -> None:
    with pytest.raises(RuntimeError):
        DatabaseClock().now()
