"""Class (b) of docs/reference/schedules.md: what the original drops a part of, and we don't."""

from __future__ import annotations

import pytest

from jobsd.schedules import parse


def cron(text: str) -> str | None:
    return parse(text).cron


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("every hour on the hour", "0 * * * *"),
        ("on the hour", "0 * * * *"),
        ("every weekday on the hour", "0 * * * 1-5"),
        ("every hour, 9 to 17:00 on the hour", "0 9-17 * * *"),
        ("every hour from noon to midnight on the hour", "0 0,12-23 * * *"),
        ("every second from 9 to 17 on the hour", "* 0 9-17 * * *"),
    ],
)
def test_on_the_hour_is_minute_0(phrase: str, expected: str) -> None:
    assert cron(phrase) == expected


def test_on_the_minute_keeps_the_cadence() -> None:
    assert cron("every 15 minutes from 9 to 17 on the minute") == "*/15 9-16 * * *"


def test_every_ordinal_counts() -> None:
    assert cron("every 1st and 15th of the month at 9am") == "0 9 1,15 * *"


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("every second from 9am to 5pm", "* * 9-16 * * *"),
        ("every 10 seconds on monday", "*/10 * * * * 1"),
        ("every 10 seconds on the 1st", "*/10 * * 1 * *"),
    ],
)
def test_seconds_go_on_all_through_a_range(phrase: str, expected: str) -> None:
    assert cron(phrase) == expected


def test_a_cadence_of_hours_holds_within_a_range() -> None:
    assert cron("every 2 hours from 9am to 5pm") == "0 9-17/2 * * *"


def test_a_cadence_of_days_holds_within_a_range() -> None:
    assert cron("every 2 days from the 1st to the 15th") == "0 0 1-15/2 * *"


def test_every_range_counts() -> None:
    assert cron("every hour from 9am to noon and 2pm to 5pm") == "0 9-12,14-17 * * *"


def test_a_range_keeps_the_minute_of_its_ends() -> None:
    assert cron("every hour from 9:30 to 17:30") == "30 9-17 * * *"


def test_midnight_to_midnight_is_all_day() -> None:
    assert cron("from midnight to midnight") == "0 * * * *"


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("every day at hour 5", "0 5 * * *"),
        ("every day at hour 5 and minute 10", "10 5 * * *"),
        ("every minute at hour 5", "* 5 * * *"),
    ],
)
def test_at_hour_is_a_time(phrase: str, expected: str) -> None:
    assert cron(phrase) == expected


def test_weekdays_and_another_day_are_a_list() -> None:
    assert cron("every weekday and saturday") == "0 0 * * 1-6"


def test_a_list_with_a_star_is_a_star() -> None:
    assert cron("0 0 * * *,5") == "0 0 * * *"


def test_the_hash_is_the_same_on_every_host() -> None:
    first = parse("~ 10~20 * * *", key="report")

    assert parse("~ 10~20 * * *", key="report") == first
    assert len({parse("~ * * * *", key=f"task {n}").cron for n in range(50)}) > 20


@pytest.mark.parametrize(
    "phrase", ["on the 1st and monday", "every monday and 1st of the month"]
)
def test_a_date_and_a_weekday_in_one_list_are_either(phrase: str) -> None:
    assert cron(phrase) == "0 0 1 * 1"
