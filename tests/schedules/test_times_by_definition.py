"""Every run over a change of clocks, beside the definition worked out minute by minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from jobsd.schedules import parse
from jobsd.schedules.cron_parser import parse_cron_expression

if TYPE_CHECKING:
    from jobsd.schedules.cron_expression import CronExpression

ZONES = [
    "America/New_York",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/Havana",
    "America/St_Johns",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Kolkata",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "Europe/London",
    "Pacific/Apia",
    "Pacific/Chatham",
]
MINUTE = timedelta(minutes=1)
WIDEST_GAP = timedelta(hours=25)


@cache
def changes(zone: ZoneInfo) -> list[datetime]:
    """Return the days from 2005 to 2026 before a change of clocks, or one quiet day."""
    days = [datetime(2005, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(365 * 22)]
    found = [
        day
        for day in days
        if day.astimezone(zone).utcoffset() != (day + timedelta(1)).astimezone(zone).utcoffset()
    ]
    return found or [datetime(2026, 3, 1, tzinfo=UTC)]


def wall(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def matches(cron: CronExpression, time: datetime) -> bool:
    return (
        time.minute in cron.minutes.values
        and time.hour in cron.hours.values
        and cron.match_day(time.date())
    )


def instant_of(time: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant at which the wall shows `time` or, in a gap, is past it."""
    instant = time.replace(tzinfo=zone).astimezone(UTC)
    if wall(instant, zone) != time:
        while wall(instant - MINUTE, zone) >= time:
            instant -= MINUTE
    return instant


def by_definition(
    cron: CronExpression, zone: ZoneInfo, start: datetime, end: datetime
) -> list[datetime]:
    if cron.follows_elapsed_time:
        minutes = int((end - start) / MINUTE) + 1
        instants = [start + n * MINUTE for n in range(minutes)]
        return [instant for instant in instants if matches(cron, wall(instant, zone))]
    first = wall(start, zone) - WIDEST_GAP
    times = [first + n * MINUTE for n in range(int((end - start + 2 * WIDEST_GAP) / MINUTE))]
    runs = {instant_of(time, zone) for time in times if matches(cron, time)}
    return sorted(run for run in runs if start <= run <= end)


CRONS = st.builds(
    "{} {} {} * {}".format,
    st.sampled_from(["*/15", "0", "30", "17", "0,30", "45,47", "*/7"]),
    st.sampled_from(
        ["*", "*/2", "*/3", "0", "1", "2", "3", "1,2", "0-4", "0,12", "23,0", "22-2"]
    ),
    st.sampled_from(["*", "*", "*", "1-15", "L", "10-20"]),
    st.sampled_from(["*", "*", "*", "0", "6,0", "1-5", "0#2"]),
)


@st.composite
def nights(draw: st.DrawFn) -> tuple[str, ZoneInfo, datetime]:
    zone = ZoneInfo(draw(st.sampled_from(ZONES)))
    day = draw(st.sampled_from(changes(zone)))
    return draw(CRONS), zone, day - timedelta(hours=draw(st.integers(0, 30)))


@given(nights())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_the_runs_are_those_of_the_definition(night: tuple[str, ZoneInfo, datetime]) -> None:
    text, zone, start = night
    end = start + timedelta(days=3)
    schedule = parse(text, zone.key)
    expected = by_definition(parse_cron_expression(text, "")[0], zone, start, end)

    forwards = [start - MINUTE]
    while (run := schedule.next_after(forwards[-1])) <= end:
        forwards.append(run)
    backwards = [end + MINUTE]
    while (run := schedule.previous_at_or_before(backwards[-1] - MINUTE)) >= start:
        backwards.append(run)

    assert [run for run in forwards[1:] if run >= start] == expected
    assert [run for run in reversed(backwards[1:]) if run <= end] == expected
