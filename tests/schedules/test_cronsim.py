"""Our times beside those of cronsim, an independent implementation of cron.

They differ by design in these; `test_a_known_difference` pins them, the property leaves
them out:
- fixed hours with `*` or `*/n` minutes: in a gap cronsim skips them, ours run once at its end;
- hours that are all listed (`0-23`): fixed for cronsim, elapsed time for us;
- a start within the second pass of an overlap: cronsim steps back into the first;
- `*/n` in a day field beside another: cronsim demands both, as Debian's cron does.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from jobsd.schedules import parse

ZONES = [
    "UTC",
    "America/New_York",
    "America/Santiago",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Europe/London",
    "Pacific/Apia",
]


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda ends: f"{min(ends)}-{max(ends)}")
    return st.lists(st.one_of(number.map(str), span), min_size=1, max_size=3).map(",".join)


# Hours up to 22: all of them listed are one of the known differences.
TIMES = st.one_of(
    st.tuples(field(0, 59), field(0, 22)),
    st.tuples(
        st.one_of(field(0, 59), st.sampled_from(["*", "*/5", "*/7"])),
        st.sampled_from(["*", "*/2", "*/5"]),
    ),
)
# Days up to 28: cronsim refuses more dates than we do.
DAYS = st.tuples(
    st.one_of(st.just("*"), field(1, 28), st.just("L")),
    st.one_of(st.just("*"), field(1, 12), st.just("*/3")),
    st.one_of(st.just("*"), field(0, 6), st.sampled_from(["1#1", "5#2", "5L"])),
)


def theirs(cron: str, after: datetime, count: int) -> list[datetime]:
    times = CronSim(cron, after)
    return [next(times).astimezone(UTC) for _ in range(count)]


@given(
    times=TIMES,
    days=DAYS,
    zone=st.sampled_from(ZONES),
    start=st.integers(0, 16 * 366 * 24 * 60),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_cronsim_agrees(
    times: tuple[str, str],
    days: tuple[str, str, str],
    zone: str,
    start: int,
) -> None:
    cron = " ".join((*times, *days))
    after = datetime(2010, 1, 1, tzinfo=UTC) + timedelta(minutes=start)
    local = after.astimezone(ZoneInfo(zone))
    if local.fold:
        local = (after + timedelta(hours=3)).astimezone(ZoneInfo(zone))

    runs = parse(cron, zone).upcoming(6, local)

    assert runs == theirs(cron, local, 6)


@pytest.mark.parametrize(
    ("cron", "after", "their_first", "our_first"),
    [
        ("*/15 2 * * *", "2026-03-08T00:00-05:00", "2026-03-09T02:00", "2026-03-08T03:00"),
        ("0 0-23 * * *", "2026-11-01T01:00-04:00", "2026-11-01T02:00", "2026-11-01T01:00"),
        ("30 1 * * *", "2026-11-01T01:10-05:00", "2026-11-01T01:30", "2026-11-02T01:30"),
        ("0 0 */2 * 1", "2026-11-01T12:00-05:00", "2026-11-09T00:00", "2026-11-02T00:00"),
    ],
)
def test_a_known_difference(cron: str, after: str, their_first: str, our_first: str) -> None:
    zone = ZoneInfo("America/New_York")
    start = datetime.fromisoformat(after).astimezone(zone)

    firsts = theirs(cron, start, 1) + parse(cron, zone.key).upcoming(1, start)

    assert [run.astimezone(zone).isoformat()[:16] for run in firsts] == [their_first, our_first]
