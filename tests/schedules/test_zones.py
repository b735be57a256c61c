"""Every zone of the database is found, wherever in a schedule it stands."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

import pytest

from jobsd.schedules import ScheduleError, parse

# Some systems keep the machine's own choice beside the zones.
ZONES = sorted(available_timezones() - {"localtime"})


@pytest.mark.parametrize(
    "schedule",
    [
        "every day at noon {}",
        "every day in {} at noon",
        "{} every day at noon",
        "0 12 * * * {}",
        "0 0 12 * * * {}",
        "@noon {}",
        "CRON_TZ={} 0 12 * * *",
    ],
)
def test_every_zone_is_found_in_every_place(schedule: str) -> None:
    found = {zone: parse(schedule.format(zone)) for zone in ZONES}

    assert {read.cron for read in found.values()} == {"0 12 * * *"}
    assert [zone for zone, read in found.items() if read.time_zone not in {zone, "UTC"}] == []


def test_a_zone_keeps_its_clock() -> None:
    found = {zone: parse(f"0 12 * * * {zone}").zone for zone in ("GB-Eire", "NZ-CHAT", "W-SU")}

    assert found == {zone: ZoneInfo(zone) for zone in found}


@pytest.mark.parametrize(("offset", "hour"), [("+02:00", 7), ("-05:00", 14), ("+00:00", 9)])
def test_a_plus_is_east_of_greenwich(offset: str, hour: int) -> None:
    new_year = datetime(2026, 1, 1, tzinfo=UTC)

    assert parse(f"0 9 * * * {offset}").next_after(new_year) == new_year.replace(hour=hour)


@pytest.mark.parametrize(
    ("zone", "nearest"),
    [
        ("Europe/Pari", "Europe/Paris"),
        ("Paris", "Europe/Paris"),
        ("America/NewYork", "America/New_York"),
        ("Asia/Kalkutta", "Asia/Calcutta"),
    ],
)
def test_an_unknown_zone_is_refused_with_the_nearest(zone: str, nearest: str) -> None:
    for schedule in (f"every day at noon in {zone}", f"0 12 * * * {zone}", f"@daily {zone}"):
        with pytest.raises(ScheduleError) as refused:
            parse(schedule)

        assert nearest in refused.value.hint
