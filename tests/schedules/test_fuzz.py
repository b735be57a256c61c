"""Whatever is written, a schedule is read or refused; nothing else is ever raised."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobsd.schedules import ScheduleError, parse, parse_every
from jobsd.schedules.vocabulary import KNOWN
from waiting import Stopwatch

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
NUMBERS = "0 1 2 5 9 12 17 24 31 60 99 1st 2nd 31st 9:30 24:00 5pm , - : &".split()
SPECIALS = ["Europe/Paris", "+02:00", "UTC", "*", "*/5", "L", "mon#1", "H", "~", "M"]
WORDS = st.sampled_from([*sorted(KNOWN), *NUMBERS, *SPECIALS])
PHRASES = st.lists(WORDS, min_size=1, max_size=9).map(" ".join)
FIELD_SIGNS = st.text("0123456789*/,-LW#%&~H? monfri", min_size=1, max_size=9)
CRONS = st.lists(FIELD_SIGNS, min_size=4, max_size=7).map(" ".join)


def require_read_or_refused(text: str, time_zone: str = "UTC") -> None:
    try:
        schedule = parse(text, time_zone)
    except ScheduleError as error:
        refusal = error
    else:
        assert schedule.next_after(NOW) > NOW
        return
    assert refusal.message.isprintable()
    assert refusal.hint
    assert len(refusal.message) < 300


@given(
    st.one_of(st.text(max_size=300), PHRASES, CRONS, PHRASES.map(lambda text: "every " + text))
)
@settings(max_examples=1500, deadline=None, derandomize=True)
def test_any_text_is_parsed_or_refused(text: str) -> None:
    require_read_or_refused(text)


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_zone_is_found_or_refused(zone: str) -> None:
    require_read_or_refused("every day at noon", zone)
    require_read_or_refused(f"every day at noon in {zone}")
    require_read_or_refused(f"0 9 * * * {zone}")


@pytest.mark.parametrize(
    "text",
    [
        "every " * 2000,
        "a" * 10_000,
        "9" * 10_000,
        "1," * 5000 + "1 * * * *",
        "every " + "9" * 200 + " minutes",
        "every day at " + "9" * 200,
        "every month on day " + "9" * 200,
        "every hour starting at hour " + "9" * 200,
        "mon" * 80 + " * * * *",
        "l" * 500 + "! * * * 1 1",
        "every day at noon\0",
        "*\0/5 * * * *",
        "every ⏰ minutes",
        "every\uff15minutes",
        "\u0660 \u0669 * * *",
        "\ud800 * * * *",
        "every day at noon in ../../etc/passwd",
        "every day at noon in America",
        "0 9 * * * posixrules",
        "every day\r\nat noon",
        "\x1b[31mred",
    ],
)
def test_a_hostile_text_is_parsed_or_refused(text: str) -> None:
    require_read_or_refused(text)


@pytest.mark.parametrize(
    "piece",
    ["every ", "monday and ", "a", "9", "1,", "* ", "l", "mon-", "9:30 ", "@", "a/", "+02:00 "],
)
def test_ten_thousand_characters_are_refused_at_once(piece: str) -> None:
    watch = Stopwatch()

    for length in (250, 1_000, 10_000):
        text = (piece * 10_000)[:length]
        for whole in (text, f"every day at {text}", f"0 9 * * {text}", f"{text} * * * *"):
            require_read_or_refused(whole)

    # Measured: 5 ms. The bound only tells of another order of magnitude.
    assert watch.took() < 1


@pytest.mark.parametrize("value", [None, 5, ["* * * * *"], b"* * * * *", object()])
def test_a_value_that_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(ScheduleError):
        parse(value)  # type: ignore[arg-type]


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_interval_is_parsed_or_refused(value: object) -> None:
    try:
        schedule = parse_every(value)
    except ScheduleError:
        return
    assert schedule.next_after(NOW) > NOW


@given(CRONS)
@settings(max_examples=500, deadline=None, derandomize=True)
def test_a_canonical_cron_is_parsed_as_itself(text: str) -> None:
    try:
        cron = parse(text).cron
    except ScheduleError:
        return
    assert cron is not None
    assert parse(cron).cron == cron
