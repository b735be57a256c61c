from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobsd.schedules import ScheduleError, parse, parse_every

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 25, 12, 34, 56, 789, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("90m", 5400), ("1h30m", 5400), (5400, 5400), (timedelta(hours=1.5), 5400), ("1s", 1)],
)
def test_an_interval_is_a_duration(value: object, seconds: float) -> None:
    schedule = parse_every(value)

    assert schedule.interval_s == seconds
    assert schedule.cron is None
    assert schedule.crons == ()


@pytest.mark.parametrize("value", ["90m", "7s", "36h", 1.5])
def test_an_interval_is_counted_from_the_epoch(value: object) -> None:
    schedule = parse_every(value)
    assert schedule.interval_s

    run = schedule.next_after(NOW)

    assert NOW < run <= NOW + timedelta(seconds=schedule.interval_s)
    assert (run - EPOCH) % timedelta(seconds=schedule.interval_s) == timedelta(0)


def test_no_restart_shifts_an_interval() -> None:
    runs = {parse_every("90m").next_after(NOW + timedelta(minutes=n)) for n in range(60)}

    assert len(runs) == 2
    assert max(runs) - min(runs) == timedelta(minutes=90)


def test_the_run_after_a_run_is_one_interval_later() -> None:
    schedule = parse_every("90m")
    run = schedule.next_after(NOW)

    assert schedule.next_after(run) == run + timedelta(minutes=90)
    assert schedule.previous_at_or_before(run) == run
    assert schedule.previous_at_or_before(run - timedelta(seconds=1)) == run - timedelta(
        minutes=90,
    )


@pytest.mark.parametrize("value", ["0s", "250ms", "367d", "-5m", "soon", "", None, True])
def test_a_bad_interval_is_refused(value: object) -> None:
    with pytest.raises(ScheduleError) as refused:
        parse_every(value)

    assert refused.value.hint


def test_an_interval_may_be_written_as_a_schedule() -> None:
    assert parse("every: 90m") == parse_every("90m")
