"""Class (a) of docs/reference/schedules.md: what no reading is safe for, or no schedule."""

from __future__ import annotations

import pytest

from jobsd.errors import Error
from jobsd.schedules import ScheduleError, parse


def refusal(text: str, time_zone: str = "UTC") -> ScheduleError:
    with pytest.raises(ScheduleError) as refused:
        parse(text, time_zone)
    assert refused.value.hint
    return refused.value


@pytest.mark.parametrize(
    ("phrase", "instead"),
    [
        ("every 90 minutes", '"every: 90m"'),
        ("every 61 min", '"every: 61m"'),
        ("every 120 minutes", '"every 2 hours"'),
        ("every 48 hours", '"every 2 days"'),
        ("every 36h at minute 5", '"every: 36h"'),
        ("every 90 seconds", '"every: 90s"'),
        ("every 40 days", '"every month"'),
        ("every 31 days", '"every month"'),
        ("every 18 months", '"every year"'),
    ],
)
def test_a_count_beyond_its_unit_is_refused(phrase: str, instead: str) -> None:
    assert instead in refusal(phrase).hint


@pytest.mark.parametrize(
    ("phrase", "instead"),
    [
        ("every day starting at minute 9", "starting at day"),
        ("every hour from minute 7", '"every hour at minute 7"'),
        ("every day from hour 6", '"every day at 6:00"'),
        ("every month starting at day 3", '"every month on day 3"'),
        ("every 15 minutes starting at day 4", "starting at minute"),
        ("every second from month 7", "starting at second"),
        ("every hour starting at 9am", "starting at hour"),
    ],
)
def test_a_start_in_another_unit_is_refused(phrase: str, instead: str) -> None:
    assert instead in refusal(phrase).hint


@pytest.mark.parametrize("first", ["day 0", "day 32"])
def test_a_start_that_does_not_exist_is_refused(first: str) -> None:
    assert "there is no day" in refusal(f"every 5 days starting at {first}").message


@pytest.mark.parametrize(
    "phrase",
    [
        "every 5 minutes at minute 30",
        "every minute at min 0",
        "every 15 minutes from noon to 18 on minute 0 and 30",
        "every minute on the hour",
        "every 5 seconds at second 59",
        "every hour from 9am to 5pm on the minute",
        "every 2 hours at noon",
        "every 2 hours at hour 5",
    ],
)
def test_a_field_that_is_given_twice_is_refused(phrase: str) -> None:
    assert "twice" in refusal(phrase).message


@pytest.mark.parametrize("phrase", ["every 5 minutes at 17:59", "every minute at five thirty"])
def test_minutes_at_a_time_with_minutes_are_refused(phrase: str) -> None:
    assert "exclude each other" in refusal(phrase).message


@pytest.mark.parametrize(
    "phrase",
    ["every day at minute 30", "every year at mins 0 and 12", "on mondays at minute 5"],
)
def test_minutes_of_days_without_hours_are_refused(phrase: str) -> None:
    assert "may mean once, or in every hour" in refusal(phrase).message


@pytest.mark.parametrize(
    "phrase",
    [
        "every weekday from 9am to midnight",
        "every monday from 10pm to 2am",
        "every month from 22 to 2",
    ],
)
def test_hours_over_midnight_on_certain_days_are_refused(phrase: str) -> None:
    assert "next day" in refusal(phrase).message


@pytest.mark.parametrize(
    "phrase",
    [
        "every monday on the 1st",
        "every mon, wed and fri on the 1st, 2nd and 3rd",
        "every week on day 13",
        "every weekday on the 15th at noon",
        "every 2 days on monday",
        "every year on monday",
    ],
)
def test_a_date_and_a_weekday_are_refused(phrase: str) -> None:
    assert "cron would run on either" in refusal(phrase).message


@pytest.mark.parametrize(
    "phrase",
    [
        "every 2 days on the 15th",
        "every weekday on monday",
        "every 2 months in june",
        "on january 1st and july 15th",
    ],
)
def test_repeated_days_are_refused(phrase: str) -> None:
    assert refusal(phrase).message


@pytest.mark.parametrize(
    "phrase",
    ["every day at 9am from 10am to 5pm", "every day at 9am on the hour", "at 9 at minute 5"],
)
def test_a_time_given_in_two_ways_is_refused(phrase: str) -> None:
    assert "in two ways" in refusal(phrase).message


@pytest.mark.parametrize(
    "phrase",
    [
        "every hour and 30 minutes",
        "every monday at 9 every tuesday at 10",
        "every hour hourly",
        "daily weekly",
    ],
)
def test_two_cadences_are_refused(phrase: str) -> None:
    assert refusal(phrase).message


@pytest.mark.parametrize(
    "phrase",
    [
        "every second monday to friday",
        "every third monday",
        "every second day",
        "every 5th day",
        "every 15th",
        "every first monday",
    ],
)
def test_an_ordinal_without_its_month_is_refused(phrase: str) -> None:
    assert refusal(phrase).message


@pytest.mark.parametrize("phrase", ["UTC", "Europe/Paris", "in +02:00"])
def test_a_zone_alone_is_refused(phrase: str) -> None:
    assert "names a zone, but no time" in refusal(phrase).message


@pytest.mark.parametrize("zone", ["GMT+2", "UTC-3", "utc+02", "GMT-3:30"])
@pytest.mark.parametrize("schedule", ["every day at 9am {}", "0 9 * * * {}", "{} daily"])
def test_an_offset_behind_a_name_is_refused(schedule: str, zone: str) -> None:
    assert "either side of Greenwich" in refusal(schedule.format(zone)).message


@pytest.mark.parametrize("point", ["hour 24", "minute 60", "second 60"])
def test_a_number_beyond_its_unit_is_refused(point: str) -> None:
    assert refusal(f"every day at {point}").message.startswith(f"{point} is out of range")


@pytest.mark.parametrize("time", ["13am", "5 noon", "10 midnight", "11:30 midday"])
def test_a_half_of_the_day_that_does_not_fit_is_refused(time: str) -> None:
    assert "there is no" in refusal(f"every day at {time}").message


def test_bare_hours_that_run_backwards_are_refused() -> None:
    assert '"9am to 5pm"' in refusal("every weekday from 9 to 5").hint


@pytest.mark.parametrize(
    "phrase",
    [
        "every 15 minutes from 9:30 to 17:30",
        "every hour from 9:15 to 17:30",
        "every hour from 9:30 to 17:30 on the hour",
        "every hour from 9am to 9am",
    ],
)
def test_a_range_that_does_not_fit_its_runs_is_refused(phrase: str) -> None:
    assert "range" in refusal(phrase).message


def test_a_bare_number_behind_days_is_refused() -> None:
    assert '"at" for a time' in refusal("every month on days 22 18").hint


@pytest.mark.parametrize("cron", ["0 0 * * 3/2", "0 0 * * */0", "*/0 * * * *", "0 0 25--2 * *"])
def test_a_step_with_several_readings_is_refused(cron: str) -> None:
    assert refusal(cron).message


@pytest.mark.parametrize(
    "schedule",
    [
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *",
        "0 0 30,31 feb *",
        "0 0 31 2 1&",
        "0 0 1 * mon#2&",
        "0 0 29 2 mon#1&",
        "on february 30th",
        "every year on the 31st of april",
    ],
)
def test_a_day_that_never_comes_is_refused(schedule: str) -> None:
    assert "no day" in refusal(schedule).message


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("60 * * * *", "minute 60 is out of range (0-59)"),
        ("0 25 * * *", "hour 25 is out of range (0-23)"),
        ("0 0 0 * *", "day 0 is out of range (1-31)"),
        ("0 0 * 13 *", "month 13 is out of range (1-12 or jan-dec)"),
        ("0 0 * * 8", "weekday 8 is out of range (0-7 or sun-sat)"),
        ("-5 * * * *", "minute -5 is out of range (0-59)"),
        ("*/-5 * * * *", '"*/-5" is not a valid minute (0-59)'),
        ("? * * * *", '"?" is not a valid minute (0-59)'),
        ("*/100 * * * *", "a step of 100 minutes is more than there are"),
        ("0 0 * * mon%0", "every 0th week is no week"),
        ("* * * *", '"* * * *" has 4 fields'),
        ("0 0 0 1 1 * *", '"0 0 0 1 1 * *" has 7 fields'),
        ("0 0 1 1 * 2030", '"0 0 1 1 * 2030" names a year'),
        ("@fortnightly", 'there is no "@fortnightly"'),
        ("every 0 minutes", '"every 0 minutes" counts in steps of 0'),
        ("every -5 minutes", '"every -5 minutes" has a negative count'),
        ("every day at 25:00", '"every day at 25:00": there is no time of day 25:00'),
        ("every day at minute 75", "minute 75 is out of range (0-59)"),
        (
            "every other week",
            '"every other week" is ambiguous: it does not say which week to start with',
        ),
        (
            "every other monday",
            '"every other monday" is ambiguous: it does not say which one to start with',
        ),
        ("every 32nd of the month", '"every 32nd of the month" is not understood at "32nd"'),
        ("every month on day 40", '"every month on day 40" is not understood at "40"'),
        (
            "every month on the the 3rd",
            '"every month on the the 3rd" is not understood at "the"',
        ),
        ("", "the schedule is empty"),
        (" \t\n", "the schedule is empty"),
        ("every", '"every" is incomplete'),
    ],
)
def test_a_refusal_names_the_fault(schedule: str, said: str) -> None:
    assert refusal(schedule).message == said


@pytest.mark.parametrize(
    ("schedule", "hint"),
    [
        ("every 2 weeks", '"0 0 * * mon%2"'),
        ("every other week", '"0 0 * * mon%2"'),
        ("every other day", '"every 2 days"'),
        ("every 2 years", "every year"),
        ("in 5 minutes", "--in 5m"),
        ("tomorrow at noon", "--at"),
        ("2026-12-25 09:00", "--at"),
        ("in 3 months", "--at"),
        ("5m", '"every 5 minutes"'),
        ("90m", '"every: 90m"'),
        ("every 1.5 hours", '"every: 1.5h"'),
        ("every 1.5 months", '"every day at 9am"'),
        ("every day at 5:30:15", '"15 30 5 * * *"'),
        ("every day at 5h30", '"5:30"'),
        ("@reboot", "run_at_start"),
        ("evry day at noon", '"every"'),
        ("every mnday", "a weekday"),
        ("every day at noon in Europe/Pariss", "Europe/Paris"),
        ("nada", '"every day at 9am"'),
    ],
)
def test_a_refusal_hints_at_the_correct_phrase(schedule: str, hint: str) -> None:
    assert hint in refusal(schedule).hint


def test_a_phrase_and_a_cron_have_a_longest_length() -> None:
    assert "at most 256" in refusal("every day at noon and " + "noon, " * 50 + "five").message
    assert "at most 1024" in refusal("0" + ",0" * 5000 + " * * * *").message


def test_a_refusal_is_an_error_of_ours_with_its_parts() -> None:
    error = ScheduleError("wrong", "write right")

    assert isinstance(error, Error)
    assert (str(error), error.message, error.hint) == ("wrong", "wrong", "write right")


def test_a_number_out_of_range_gets_a_hint_about_it() -> None:
    hint = 'write "at minute 0", or a number up to 59'
    assert refusal("every day at minute 75").hint == hint
    assert refusal("75 * * * *").hint.startswith("the fields are minute hour")
    assert "every day at 9am" in refusal("whenever").hint
