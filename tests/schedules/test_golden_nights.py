"""The nights on which clocks change, as they must come out, in the local time of each zone."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from jobsd.schedules import parse

TABLE = Path(__file__).with_name("golden_nights.tsv").read_text(encoding="utf-8")
NIGHTS = [line.split("\t") for line in TABLE.splitlines() if not line.startswith("#")]


@pytest.mark.behaviour(83)
@pytest.mark.parametrize(("zone", "cron", "after", "expected"), NIGHTS)
def test_a_golden_night(zone: str, cron: str, after: str, expected: str) -> None:
    clock = ZoneInfo(zone)
    wanted = expected.split()

    runs = parse(cron, zone).upcoming(
        len(wanted),
        datetime.fromisoformat(after).replace(tzinfo=clock),
    )

    assert [run.astimezone(clock).isoformat(timespec="minutes") for run in runs] == wanted


def test_the_golden_nights_are_of_at_least_twelve_zones() -> None:
    assert len({zone for zone, *_ in NIGHTS}) >= 12


def test_all_times_of_one_gap_and_those_on_its_end_are_one_run() -> None:
    schedule = parse("0,20,40 2 * * *", "America/New_York")
    also_on_its_end = parse("0 2,3 * * *", "America/New_York")
    before = datetime(2026, 3, 8, 1, tzinfo=ZoneInfo("America/New_York"))
    gap_ends = datetime(2026, 3, 8, 3, tzinfo=ZoneInfo("America/New_York"))

    for each in (schedule, also_on_its_end):
        first, second = each.upcoming(2, before)
        assert first == gap_ends
        assert second.day == 9


def test_hours_that_are_all_listed_follow_elapsed_time() -> None:
    listed = parse("0 0-23 * * *", "America/New_York")
    before = datetime(2026, 11, 1, 0, 30, tzinfo=ZoneInfo("America/New_York"))

    first, second, _ = listed.upcoming(3, before)

    assert (second - first).total_seconds() == 3600


def test_a_start_within_the_second_pass_does_not_repeat_the_first() -> None:
    schedule = parse("30 1 * * *", "America/New_York")
    second_pass = datetime(2026, 11, 1, 1, 10, tzinfo=ZoneInfo("America/New_York"), fold=1)

    assert schedule.next_after(second_pass).day == 2
    assert (
        schedule.previous_at_or_before(second_pass).isoformat() == "2026-11-01T05:30:00+00:00"
    )
