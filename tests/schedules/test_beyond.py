"""Class (c) of docs/reference/schedules.md: what a person would expect, beyond the original."""

from __future__ import annotations

import pytest

from jobsd.schedules import parse


def cron(text: str) -> str | None:
    return parse(text).cron


def test_times_of_different_minutes_are_a_union() -> None:
    schedule = parse("every day at 18:15, 20:45 and 6:15")

    assert schedule.crons == ("15 6,18 * * *", "45 20 * * *")
    assert schedule.cron is None


def test_times_that_share_a_cron_are_no_union() -> None:
    assert cron("every day at 8:00, 8:30, 9:00 and 9:30") == "0,30 8,9 * * *"


def test_hour_24_and_hour_0_are_one() -> None:
    assert cron("at 0:40 and 12 midnight and midnight") == "0,40 0 * * *"


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("every minute at noon", "* 12 * * *"),
        ("every 10 minutes at midnight and five", "*/10 0,5 * * *"),
    ],
)
def test_minutes_at_a_full_hour_fill_that_hour(phrase: str, expected: str) -> None:
    assert cron(phrase) == expected


def test_a_capitalised_weekday_is_no_zone() -> None:
    assert cron("every week on Tuesday at 5:59") == "59 5 * * 2"


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("every minute 9:00 to midnight", "* 9-23 * * *"),
        ("every monday 8am to midnight on minute 0 and 30", "0,30 8-23 * * 1"),
    ],
)
def test_a_range_to_midnight_ends_before_it(phrase: str, expected: str) -> None:
    assert cron(phrase) == expected


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("every 1week", "0 0 * * 0"),
        ("every monday noon to17:00", "0 12-17 * * 1"),
        ("every day at noonand five", "0 5,12 * * *"),
        ("every day at ten fifteenpm", "15 22 * * *"),
    ],
)
def test_a_missing_space_is_forgiven_if_the_meaning_is_unique(
    phrase: str,
    expected: str,
) -> None:
    assert cron(phrase) == expected


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("Every Day At NOON", "0 12 * * *"),
        ("every 5 MINS", "*/5 * * * *"),
        ("every 30 secs", "*/30 * * * * *"),
        ("every 2 hrs", "0 */2 * * *"),
        ("every 2 H", "0 */2 * * *"),
        ("every weds at 3am", "0 3 * * 3"),
        ("every tues and thurs", "0 0 * * 2,4"),
        ("every five minutes", "*/5 * * * *"),
        ("every twenty-five minutes", "*/25 * * * *"),
        ("at ten twenty five a.m.", "25 10 * * *"),
        ("each day at 9 P.M.", "0 21 * * *"),
        ("every day at sixteen", "0 16 * * *"),
        ("every day at midday", "0 12 * * *"),
        ("every twenty first of the month", "0 0 21 * *"),
    ],
)
def test_words_are_parsed_in_any_case_and_common_spelling(
    phrase: str,
    expected: str,
) -> None:
    assert cron(phrase) == expected


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("hourly", "0 * * * *"),
        ("daily", "0 0 * * *"),
        ("daily at 9am", "0 9 * * *"),
        ("weekly on mondays at 9am", "0 9 * * 1"),
        ("monthly on the 15th", "0 0 15 * *"),
        ("yearly", "0 0 1 1 *"),
        ("Annually in UTC", "0 0 1 1 *"),
    ],
)
def test_a_cadence_may_be_one_word(phrase: str, expected: str) -> None:
    assert cron(phrase) == expected


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("Mondays at 9am", "0 9 * * 1"),
        ("on mondays at 9am", "0 9 * * 1"),
        ("monday at 9am", "0 9 * * 1"),
        ("weekdays at 9", "0 9 * * 1-5"),
        ("every hour at minute 5 on weekdays", "5 * * * 1-5"),
        ("monday to friday at 9", "0 9 * * 1-5"),
        ("every mon and wed-fri", "0 0 * * 1,3-5"),
    ],
)
def test_weekdays_need_no_every(phrase: str, expected: str) -> None:
    assert cron(phrase) == expected


@pytest.mark.parametrize("phrase", ["every weekend", "weekends", "on weekends"])
def test_the_weekend_is_saturday_and_sunday(phrase: str) -> None:
    assert cron(phrase) == "0 0 * * 0,6"


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("every quarter hour", "*/15 * * * *"),
        ("every quarter of an hour from 9 to 17", "*/15 9-16 * * *"),
        ("every half hour", "*/30 * * * *"),
        ("every half an hour on mondays", "*/30 * * * 1"),
    ],
)
def test_parts_of_an_hour(phrase: str, expected: str) -> None:
    assert cron(phrase) == expected


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("every 15 minutes between 9am and 5pm", "*/15 9-16 * * *"),
        ("every hour between 9 and 17", "0 9-17 * * *"),
        ("every hour 9am-5pm", "0 9-17 * * *"),
        ("every hour from 9 until 17", "0 9-17 * * *"),
        ("every hour from 9am through 5pm", "0 9-17 * * *"),
    ],
)
def test_between_is_a_range(phrase: str, expected: str) -> None:
    assert cron(phrase) == expected


@pytest.mark.parametrize(
    "phrase",
    [
        "every last day of the month at 9am",
        "every month on the last day at 9am",
        "last day of each month at 9am",
        "every last of the month at 9am",
        "at 9am on the last of the month",
    ],
)
def test_the_last_day_of_the_month(phrase: str) -> None:
    assert cron(phrase) == "0 9 L * *"


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("every first monday of the month at 9am", "0 9 * * 1#1"),
        ("every month on the first monday", "0 0 * * 1#1"),
        ("first and third tuesday of the month", "0 0 * * 2#1,2#3"),
        ("last friday of each month at noon", "0 12 * * 5#-1"),
        ("the 2nd sunday of march at 2am", "0 2 * 3 0#2"),
    ],
)
def test_the_nth_weekday_of_the_month(phrase: str, expected: str) -> None:
    assert cron(phrase) == expected


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("every january 1st at midnight", "0 0 1 1 *"),
        ("every year on jan 1 at noon", "0 12 1 1 *"),
        ("every year on the 1st of march", "0 0 1 3 *"),
        ("on the 1st of january every year", "0 0 1 1 *"),
        ("1 may at 9:30", "30 9 1 5 *"),
        ("every january", "0 0 1 1 *"),
        ("every day in june at 9", "0 9 * 6 *"),
        ("every monday in june and july", "0 0 * 6,7 1"),
        ("every hour from june to august", "0 * * 6-8 *"),
        ("on january 1st and july 1st", "0 0 1 1,7 *"),
    ],
)
def test_dates_and_months(phrase: str, expected: str) -> None:
    assert cron(phrase) == expected


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("every day at 9am utc", "UTC"),
        ("every day at 9am europe/paris", "Europe/Paris"),
        ("CRON_TZ=America/New_York 0 9 * * *", "America/New_York"),
        ("TZ=America/New_York every day at 9am", "America/New_York"),
        ("0 9 * * * +02", "+02:00"),
        ("0 9 * * * europe/paris", "Europe/Paris"),
    ],
)
def test_zones_in_any_case_and_place(text: str, zone: str) -> None:
    schedule = parse(text)

    assert (schedule.cron, schedule.time_zone) == ("0 9 * * *", zone)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 9 * * Monday", "0 9 * * 1"),
        ("0 9 * january-march *", "0 9 * 1-3 *"),
        ("0 0 * * 5L", "0 0 * * 5#-1"),
        ("0 0 * * L5", "0 0 * * 5#-1"),
        ("0 0 * * friL", "0 0 * * 5#-1"),
        ("0 0 15W * *", "0 0 15W * *"),
        ("0 0 ? * mon", "0 0 * * 1"),
        ("@Daily", "0 0 * * *"),
    ],
)
def test_cron_forms_of_other_systems(text: str, expected: str) -> None:
    assert cron(text) == expected


def test_a_hash_is_a_value_within_its_bounds() -> None:
    minutes = {
        int((parse("H(10-19) * * * *", key=str(n)).cron or "").split()[0]) for n in range(99)
    }

    assert minutes == set(range(10, 20))


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("every day at 5 o'clock", "0 5 * * *"),
        ("every hour at :12", "12 * * * *"),
        ("every hour at :12 and :42", "12,42 * * * *"),
    ],
)
def test_more_phrases_of_a_time(phrase: str, expected: str) -> None:
    assert cron(phrase) == expected


def test_an_interval_is_a_schedule() -> None:
    schedule = parse("every: 90m")

    assert (schedule.crons, schedule.interval_s) == ((), 5400)
