from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest

from jobsd.schedules import ScheduleError, explain, parse

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_seeds_schedules() -> None:
    crons = {
        "every 5 minutes": "*/5 * * * *",
        "every hour": "0 * * * *",
        "every hour at minute 12": "12 * * * *",
        "at 5am every day": "0 5 * * *",
        "at 3am every day": "0 3 * * *",
        "*/15 * * * *": "*/15 * * * *",
    }

    assert {text: parse(text).cron for text in crons} == crons


def test_a_schedule_keeps_its_text() -> None:
    text = "  every day at noon in Europe/Paris "
    schedule = parse(text)

    assert (schedule.text, schedule.cron, schedule.time_zone) == (
        text,
        "0 12 * * *",
        "Europe/Paris",
    )


@pytest.mark.behaviour(83)
def test_a_schedules_own_zone_comes_before_the_given_one() -> None:
    assert parse("every day at noon", "Asia/Tokyo").time_zone == "Asia/Tokyo"
    assert parse("every day at noon UTC", "Asia/Tokyo").time_zone == "UTC"


def test_an_unknown_zone_is_refused_with_the_nearest() -> None:
    with pytest.raises(ScheduleError, match='there is no time zone "Europe/Pari"') as refused:
        parse("every day at noon", "Europe/Pari")

    assert "Europe/Paris" in refused.value.hint


def test_a_citys_zone_is_found_by_its_name_alone() -> None:
    with pytest.raises(ScheduleError) as refused:
        parse("0 9 * * * Berlin")

    assert "Europe/Berlin" in refused.value.hint


def test_two_zones_are_refused() -> None:
    for text in ("TZ=UTC 0 9 * * * Asia/Tokyo", "every day at 9 UTC Asia/Tokyo"):
        with pytest.raises(ScheduleError, match="names two time zones"):
            parse(text)


def test_the_next_run_is_later_than_the_instant_given() -> None:
    schedule = parse("0 9 * * *")
    nine = datetime(2026, 1, 1, 9, tzinfo=UTC)

    assert schedule.next_after(nine - timedelta(microseconds=1)) == nine
    assert schedule.next_after(nine) == nine + timedelta(days=1)
    assert schedule.next_after(nine + timedelta(microseconds=1)) == nine + timedelta(days=1)


def test_the_previous_run_may_be_the_instant_itself() -> None:
    schedule = parse("0 9 * * *")
    nine = datetime(2026, 1, 2, 9, tzinfo=UTC)

    assert schedule.previous_at_or_before(nine) == nine
    assert schedule.previous_at_or_before(nine - timedelta(microseconds=1)) == nine - timedelta(
        days=1,
    )


def test_instants_of_any_zone_are_taken_and_utc_is_given() -> None:
    east = datetime(2026, 1, 1, 9, tzinfo=timezone(timedelta(hours=9)))

    run = parse("0 9 * * *", "Asia/Tokyo").next_after(east)

    assert run == datetime(2026, 1, 2, tzinfo=UTC)
    assert run.tzinfo is UTC


def test_a_naive_instant_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        parse("0 9 * * *").next_after(datetime(2026, 1, 1))  # noqa: DTZ001


def test_a_union_runs_in_order_and_once_where_its_crons_meet() -> None:
    runs = parse("every day at 18:15 and 20:45").upcoming(3, NOW)

    assert [(run.day, run.hour, run.minute) for run in runs] == [
        (1, 18, 15),
        (1, 20, 45),
        (2, 18, 15),
    ]


@pytest.mark.parametrize(
    ("cron", "first"),
    [
        ("0 0 L * *", "2026-01-31"),
        ("0 0 -2 * *", "2026-01-30"),
        ("0 0 -3-L 2 *", "2026-02-26"),
        ("0 0 15W * *", "2026-01-15"),
        ("0 0 1W 2 *", "2026-02-02"),
        ("0 0 1W 8 *", "2026-08-03"),
        ("0 0 31W 5 *", "2026-05-29"),
        ("0 0 * * mon#1", "2026-01-05"),
        ("0 0 * * fri#-1", "2026-01-30"),
        ("0 0 * * thu#5", "2026-01-29"),
        ("0 0 * * mon%2", "2026-01-05"),
        ("0 0 * * mon%2+1", "2026-01-12"),
        ("0 0 13 * fri&", "2026-02-13"),
        ("0 0 13 * fri", "2026-01-02"),
        ("0 0 L * fri&", "2026-07-31"),
        ("0 0 L * fri", "2026-01-02"),
        ("0 0 29 2 *", "2028-02-29"),
        ("0 0 29 2 mon&", "2044-02-29"),
    ],
)
def test_days_that_cron_accepts_and_croniter_does_not(cron: str, first: str) -> None:
    assert parse(cron).next_after(NOW).date().isoformat() == first


def test_days_that_are_years_apart_are_found_in_both_directions() -> None:
    leap_days = parse("0 0 29 2 *")

    for year, before, after in ((2026, 2024, 2028), (2100, 2096, 2104), (2028, 2024, 2032)):
        instant = datetime(year, 2, 28, 23, tzinfo=UTC)
        assert leap_days.previous_at_or_before(instant).year == before
        assert leap_days.next_after(instant + timedelta(days=2)).year == after


def test_weeks_are_counted_from_the_last_monday_of_2018() -> None:
    schedule = parse("0 0 * * mon%2")

    runs = schedule.upcoming(2, datetime(2018, 12, 30, tzinfo=UTC))

    assert [run.date().isoformat() for run in runs] == ["2018-12-31", "2019-01-14"]


def test_there_is_no_run_beyond_the_calendar() -> None:
    for text in ("0 9 1 1 *", "every: 90m", "* * * * * Asia/Tokyo"):
        with pytest.raises(ScheduleError):
            parse(text).next_after(datetime.max.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        (
            "every 7 hours",
            "every 7 hours means hour 0, 7, 14, 21 of each day: the last gap is 3 hours; a ",
        ),
        (
            "* * * */11 *",
            "every 11 months means month 1, 12 of each year: the last gap is 1 month",
        ),
        (
            "every 45 minutes",
            "every 45 minutes means minute 0, 45 of each hour: the last gap is 15 minutes",
        ),
        (
            "every 3 days",
            "every 3 days means day 1, 4, 7, … 31 of each month: each month starts again",
        ),
        (
            "*/61 * * * *",
            "every 61 minutes means minute 0 of each hour: the last gap is 60 minutes",
        ),
        ("every 5 M", "a capital M means months"),
        ("every hour at 12", "a time is one run a day"),
        ("every day at 13pm", "13pm is taken for 13:00"),
    ],
)
def test_a_surprising_schedule_is_accepted_with_a_warning(text: str, warned: str) -> None:
    assert any(warning.startswith(warned) for warning in parse(text).warnings)


def test_a_step_that_divides_its_hour_or_day_has_no_warning() -> None:
    for text in ("every 15 minutes", "every 6 hours", "*/30 */12 * */3 *", "every day at 5pm"):
        assert parse(text).warnings == ()


def test_crons_are_written_as_a_careful_person_writes_them() -> None:
    crons = {
        "0,5,10,15,20,25,30,35,40,45,50,55 * * * *": "*/5 * * * *",
        "0 9 * * MON,TUE,WED,THU,FRI": "0 9 * * 1-5",
        "*/1 0-23 1-31 1-12 *": "* * * * *",
        "00 09 01 01 *": "0 9 1 1 *",
        "0 22-2 * * 5-1": "0 0-2,22,23 * * 0,1,5,6",
        "0 24 * * 7": "0 0 * * 0",
        "5/15 * * * *": "5,20,35,50 * * * *",
        "1-59/2 * * * *": "1-59/2 * * * *",
        "30,0 * * * *": "0,30 * * * *",
        "0 8-18/2 * * *": "0 8-18/2 * * *",
        "0 0 0 * * *": "0 0 * * *",
        "30 0 9 * * *": "30 0 9 * * *",
        "0 0 last,-2,-3 * *": "0 0 -3-L * *",
        "0 0 * jan,feb,mar mon": "0 0 * 1-3 1",
        "0 0 1-7 * mon&": "0 0 1-7 * 1&",
        "0 0 1 * 0-6": "0 0 * * *",
    }

    assert {text: parse(text).cron for text in crons} == crons


def test_explain_prints_an_accepted_schedule() -> None:
    assert explain("at 5am every day", "UTC", 2, NOW) == {
        "accepted": True,
        "schedule": "at 5am every day",
        "cron": "0 5 * * *",
        "time_zone": "UTC",
        "next": ["2026-01-01T05:00:00+00:00", "2026-01-02T05:00:00+00:00"],
    }


def test_explain_gives_the_runs_in_the_schedules_zone() -> None:
    explained = explain("every day at 9am America/New_York", "UTC", 1, NOW)

    assert explained["next"] == ["2026-01-01T09:00:00-05:00"]


def test_explain_gives_the_crons_of_a_union_and_none_of_an_interval() -> None:
    union = explain("every day at 18:15 and 20:45", "UTC", 1, NOW)
    interval = explain("every: 90m", "UTC", 1, NOW)

    assert (union["cron"], union["crons"]) == (None, ["15 18 * * *", "45 20 * * *"])
    assert (interval["cron"], interval["crons"]) == (None, [])


def test_explain_has_the_warnings_that_check_has() -> None:
    [warning] = explain("every 7 minutes", "UTC", 0, NOW)["warnings"]

    means, gap = "every 7 minutes means minute 0, 7, 14, … 56", "the last gap is 4 minutes"
    assert warning == f"{means} of each hour: {gap}; a true interval is `every: 7m`"


def test_explain_has_the_reason_of_a_refusal() -> None:
    assert explain("every 90 minutes", "UTC", 2, NOW) == {
        "accepted": False,
        "error": 'cron cannot express "every 90 minutes": it restarts the count with each'
        " hour, which has 60 minutes",
        "hint": 'write "every: 90m" for a true interval, or "every hour"',
    }


def test_the_first_import_leaves_croniter_out() -> None:
    program = (
        "import sys; from jobsd.schedules import parse; parse('every 5 minutes');"
        " print('croniter' in sys.modules)"
    )

    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert printed.stdout.strip() == b"False"


def test_a_schedule_costs_the_same_however_many_were_parsed_before() -> None:
    _calls("0 0 * * *")  # imports croniter
    calls = [_calls(f"{n % 60} {n // 60 % 24} * * {n // 1440}") for n in range(0, 10_000, 50)]

    # Measured: 360 calls on average.
    assert sum(calls[100:]) < 1.1 * sum(calls[:100]) < 1.1 * 100 * 500


def _calls(text: str) -> int:
    """Return how many Python functions are called to parse a schedule and plan its next run."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        parse(text, key=text).next_after(NOW)
    finally:
        sys.setprofile(None)
    return calls
