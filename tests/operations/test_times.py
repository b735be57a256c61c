"""The grammar of times: ages, times of day, instants and ranges of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobsd import errors
from jobsd.acts.periods import Lasting, Moment, Period
from jobsd.operations.times import period_text, read_length, read_period

NOW = datetime(2026, 3, 10, 9, 30, tzinfo=UTC)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _ago(**age: float) -> timedelta:
    return timedelta(**age)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1h", _ago(hours=1)),
        ("1h30m", _ago(minutes=90)),
        ("90", _ago(seconds=90)),
        ("03:00", _at("2026-03-10T03:00")),
        ("09:30", _at("2026-03-10T09:30")),
        ("09:31", _at("2026-03-09T09:31")),
        ("03:00:05", _at("2026-03-10T03:00:05")),
        ("03:00Z", _at("2026-03-10T03:00")),
        ("11:00+02:00", _at("2026-03-10T09:00")),
        ("today", _at("2026-03-10")),
        ("yesterday", _at("2026-03-09")),
        ("yesterday 03:00", _at("2026-03-09T03:00")),
        ("yesterdayT23:00", _at("2026-03-09T23:00")),
        ("today 23:00", _at("2026-03-10T23:00")),
        ("yesterday 01:00+12:00", _at("2026-03-08T13:00")),
        ("2026-03-01", _at("2026-03-01")),
        ("2026-03-01T12:00", _at("2026-03-01T12:00")),
        ("2026-03-01 12:00", _at("2026-03-01T12:00")),
        ("2026-03-01T12:00+01:00", _at("2026-03-01T11:00")),
        ("2026-03-01T12:00Z", _at("2026-03-01T12:00")),
        ("2100-01-01", _at("2100-01-01")),
    ],
)
def test_a_moment_begins_a_period_or_ends_it(text: str, moment: Moment) -> None:
    assert read_period(text, now=NOW) == Period(moment, None)
    assert read_period(f" {text} ", until=True, now=NOW) == Period(None, moment)
    assert read_period(f"{text}..", now=NOW) == Period(moment, None)
    assert read_period(f"..{text}", until=True, now=NOW) == Period(None, moment)


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("3h..1h", _ago(hours=3), _ago(hours=1)),
        ("03:00..03:05", _at("2026-03-10T03:00"), _at("2026-03-10T03:05")),
        ("03:00 .. 03:05", _at("2026-03-10T03:00"), _at("2026-03-10T03:05")),
        # An end that is still to come, and one on the next day.
        ("09:00..10:00", _at("2026-03-10T09:00"), _at("2026-03-10T10:00")),
        ("23:00..01:00", _at("2026-03-09T23:00"), _at("2026-03-10T01:00")),
        ("yesterday 03:00..03:05", _at("2026-03-09T03:00"), _at("2026-03-09T03:05")),
        ("yesterday..today", _at("2026-03-09"), _at("2026-03-10")),
        ("12h..03:00", _ago(hours=12), _at("2026-03-10T03:00")),
        ("2026-03-01..2026-03-02", _at("2026-03-01"), _at("2026-03-02")),
        ("1.5h..30m", _ago(hours=1.5), _ago(minutes=30)),
    ],
)
@pytest.mark.parametrize("only_end", [False, True])
def test_a_range_has_both_sides(
    text: str, since: Moment, until: Moment, *, only_end: bool
) -> None:
    assert read_period(text, until=only_end, now=NOW) == Period(since, until)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "soon",
            "25:00",
            "3:00",
            "-1h",
            "tomorrow",
            "yesterday 25:00",
            "03:00 04:00",
        ),
        *("2026-13-01", "0001-01-01T00:00+01:00", "1h..soon", "soon..1h", "1h..2h..3h", "\0"),
    ],
)
def test_another_text_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(errors.Error, match=r"is not a time; write how long ago .* a range"):
        read_period(text, now=NOW)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("..", "it has no beginning and no end"),
        ("1h..3h", "it ends before it begins"),
        ("1h..1h", "it ends before it begins"),
        ("2026-03-02..2026-03-01", "it ends before it begins"),
        ("yesterday 03:00..yesterday", "it ends before it begins"),
    ],
)
def test_a_range_that_holds_nothing_is_refused(text: str, fault: str) -> None:
    with pytest.raises(errors.Error, match=f"^'{text}' is not a range: {fault}$"):
        read_period(text, now=NOW)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        (">10s", Lasting(least_s=10)),
        ("> 1m30s", Lasting(least_s=90)),
        ("<250ms", Lasting(most_s=0.25)),
        ("10s..1m", Lasting(10, 60)),
        ("10s .. 10s", Lasting(10, 10)),
    ],
)
def test_a_length_of_time_has_a_bound(text: str, length: Lasting) -> None:
    assert read_length(text) == length


@pytest.mark.parametrize("text", ["", "10s", ">", ">soon", "=1s", "..", "10s..", "1s..2s..3s"])
def test_another_length_is_refused(text: str) -> None:
    with pytest.raises(errors.Error, match=r"is not a length of time; write >10s, <1m or"):
        read_length(text)


def test_a_length_that_no_time_has_is_refused() -> None:
    with pytest.raises(errors.Error, match="its end is less than its beginning"):
        read_length("2s..1s")


def test_an_age_beyond_all_time_is_one_of_a_hundred_years() -> None:
    long_ago = read_period("1e18".replace("e", "0" * 9), now=NOW)

    assert long_ago.at(NOW).since == NOW - timedelta(days=36_500)


def test_an_age_is_counted_from_the_given_now() -> None:
    found = Period(_ago(hours=2), _ago(hours=1)).at(NOW)

    assert tuple(found) == (_at("2026-03-10T07:30"), _at("2026-03-10T08:30"))
    moments = [_at(f"2026-03-10T{each}") for each in ("07:29", "07:30", "08:29", "08:30")]
    assert list(map(found.hold, moments)) == [False, True, True, False]
    assert Period(timedelta.max).at(NOW).hold(_at("0001-01-01"))
    assert Period().at(NOW).hold(NOW)


@pytest.mark.parametrize(
    "text",
    [
        *("1h", "90s", "90m", "1.5s", "2d", "0s", "..1h", "3h..1h", "2026-03-01T12:00Z"),
        *("..2026-03-01T12:00:05Z", "2026-03-01T03:00Z..2026-03-01T03:01Z"),
    ],
)
def test_a_period_is_written_as_it_is_read(text: str) -> None:
    assert period_text(read_period(text, now=NOW)) == text
