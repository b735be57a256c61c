"""The log of heartbeats answers what its operators ask."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.errors import Error
from jobsd.heartbeat.log import (
    ROWS_MAX,
    HeartbeatLog,
    HeartbeatLogs,
    clear,
    health_status,
)

if TYPE_CHECKING:
    from jobsd.database.connection import Session

    from .conftest import Beat


def _minutes_ago(row: HeartbeatLog) -> int:
    return round((datetime.now(UTC) - row.executed_at).total_seconds() / 60)


def _all_minutes_ago(rows: HeartbeatLogs) -> list[int]:
    return [_minutes_ago(row) for row in rows]


def test_the_latest_is_the_last_one(beat: Beat) -> None:
    beat(5)
    beat(1, "web-2")

    latest = HeartbeatLog.latest()

    assert latest is not None
    assert (latest.hostname, latest.environment, _minutes_ago(latest)) == ("web-2", "test", 1)


def test_without_heartbeats_there_is_no_latest() -> None:
    assert HeartbeatLog.latest() is None


def test_times_are_aware() -> None:
    from jobsd.heartbeat.job import HeartbeatJob

    HeartbeatJob.perform_now()

    latest = HeartbeatLog.latest()
    assert latest is not None
    assert latest.executed_at.utcoffset() == timedelta(0)


def test_recent_gives_the_newest_first_and_ten_at_most(beat: Beat) -> None:
    for minutes in range(12):
        beat(minutes)

    assert _all_minutes_ago(HeartbeatLog.recent()) == list(range(10))


def test_recent_can_be_limited_after_the_call(beat: Beat) -> None:
    for minutes in range(12):
        beat(minutes)

    assert _all_minutes_ago(HeartbeatLog.recent().limit(2)) == [0, 1]


@pytest.mark.parametrize(("asked", "rows"), [(-1, 0), (7, 7), (10**9, ROWS_MAX)])
def test_whatever_is_asked_for_a_query_has_a_bound(asked: int, rows: int) -> None:
    assert HeartbeatLogs().limit(asked).rows_max == rows


def test_recent_takes_limit_time_and_host_together(beat: Beat) -> None:
    for minutes in (1, 2, 3, 70):
        beat(minutes)
        beat(minutes, "web-2")

    found = HeartbeatLog.recent(limit=2, since="1h", hostname="web-2")

    assert [(row.hostname, _minutes_ago(row)) for row in found] == [("web-2", 1), ("web-2", 2)]


def test_the_heartbeats_of_one_host_can_be_narrowed_further(beat: Beat) -> None:
    beat(1)
    beat(2, "web-2")

    assert _all_minutes_ago(HeartbeatLog.by_hostname("web-1").recent()) == [1]


def test_the_last_hour_can_be_asked_for_in_words(beat: Beat) -> None:
    beat(59)
    beat(61)

    assert _all_minutes_ago(HeartbeatLog.since(hours=1)) == [59]


@pytest.mark.parametrize("since", ["1h", 3600, timedelta(hours=1)])
def test_a_time_ago_may_be_words_seconds_or_a_timedelta(beat: Beat, since: str) -> None:
    beat(59)
    beat(61)

    assert _all_minutes_ago(HeartbeatLog.recent(since=since)) == [59]


def test_since_takes_an_aware_datetime(beat: Beat) -> None:
    beat(1)
    beat(3)

    moment = datetime.now(UTC) - timedelta(minutes=2)
    assert _all_minutes_ago(HeartbeatLog.since(moment)) == [1]


def test_a_datetime_without_a_zone_is_refused() -> None:
    with pytest.raises(Error, match="aware"):
        HeartbeatLog.since(datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize("age", ["soon", -1, float("nan"), True])
def test_a_bad_age_is_refused_with_its_option(age: Any) -> None:
    for option, ask in (
        ("since", lambda: HeartbeatLog.recent(since=age)),
        ("within", lambda: HeartbeatLog.verify_recent(within=age)),
        ("within", lambda: health_status(within=age)),
        ("every", lambda: HeartbeatLog.gaps(every=age)),
    ):
        with pytest.raises(Error, match=f"{option}: .* is not a duration"):
            ask()
    with pytest.raises(Error, match="every: must be more than 0"):
        HeartbeatLog.gaps(every=0)


def test_an_age_beyond_all_time_means_all(beat: Beat) -> None:
    beat(1)

    assert len(HeartbeatLog.recent(since=1e300)) == 1
    assert HeartbeatLog.verify_recent(within=1e300)
    assert HeartbeatLog.gaps(every=1e300, since=1e300) == []


@pytest.mark.parametrize("name", ["a\0b", "\ud800", 7], ids=repr)
def test_a_bad_hostname_is_refused(name: Any) -> None:
    with pytest.raises(Error, match="hostname: "):
        HeartbeatLog.recent(hostname=name)


def test_the_answer_is_like_a_list(beat: Beat) -> None:
    beat(1)
    beat(2)

    logs = HeartbeatLog.recent()

    assert (len(logs), bool(logs), logs[:1]) == (2, True, [next(iter(logs))])


def test_an_answer_equals_the_list_of_its_rows(beat: Beat) -> None:
    beat(1)

    assert HeartbeatLog.recent() == list(HeartbeatLog.all())


def test_a_read_log_stays_unchanged(beat: Beat) -> None:
    logs = HeartbeatLog.recent()
    before = len(logs)
    beat(1)

    assert (before, len(logs), len(HeartbeatLog.recent())) == (0, 0, 1)


@pytest.mark.parametrize(("minutes", "recent"), [(9, True), (11, False)])
def test_recent_means_within_ten_minutes(beat: Beat, minutes: int, *, recent: bool) -> None:
    beat(minutes)

    assert HeartbeatLog.verify_recent() is recent
    assert HeartbeatLog.verify_recent(within=timedelta(minutes=10)) is recent


def test_nothing_is_recent_in_an_empty_log() -> None:
    assert HeartbeatLog.verify_recent(within="10m") is False


def test_regular_heartbeats_have_no_gaps(beat: Beat) -> None:
    for minutes in range(0, 60, 5):
        beat(minutes + 0.1)

    assert HeartbeatLog.gaps(every="5m", since="24h") == []


def test_a_gap_lies_between_two_heartbeats_and_counts_the_missing_ones(beat: Beat) -> None:
    for minutes in (0, 5, 20, 25):
        beat(minutes)

    (gap,) = HeartbeatLog.gaps(every="5m", since="24h")

    assert (round(gap.duration_s), gap.missed) == (15 * 60, 2)


def test_a_heartbeat_that_is_a_little_late_makes_no_gap(beat: Beat) -> None:
    for minutes in (0, 7, 12):
        beat(minutes)

    assert HeartbeatLog.gaps(every="5m") == []


def test_no_heartbeat_until_now_is_a_gap(beat: Beat) -> None:
    beat(20)
    beat(25)

    (gap,) = HeartbeatLog.gaps()

    assert round(gap.duration_s / 60) == 20


def test_a_gap_may_begin_before_the_window(beat: Beat) -> None:
    beat(100)
    beat(1)

    (gap,) = HeartbeatLog.gaps(every="5m", since="1h")

    assert round(gap.duration_s / 60) == 99


def test_an_empty_log_is_one_gap() -> None:
    (gap,) = HeartbeatLog.gaps(every="5m", since="1h")

    assert (round(gap.duration_s), gap.missed) == (3600, 11)


def test_health_is_a_recent_heartbeat(beat: Beat) -> None:
    beat(1)
    latest = HeartbeatLog.latest()
    assert latest is not None

    said = latest.executed_at.isoformat().replace("+00:00", "Z")
    assert health_status() == {"healthy": True, "last_heartbeat": said}


def test_an_old_heartbeat_is_shown_and_unhealthy(beat: Beat) -> None:
    beat(11)

    status = health_status(within="10m")

    assert (status["healthy"], status["last_heartbeat"] is not None) == (False, True)


def test_health_without_heartbeats_has_none() -> None:
    assert health_status() == {"healthy": False, "last_heartbeat": None}


def test_old_heartbeats_are_cleared_some_at_a_time(beat: Beat, session: Session) -> None:
    for minutes in (1, 70, 80, 90):
        beat(minutes)

    removed = [clear(session, 3600, 2), clear(session, 3600, 2), clear(session, 3600, 2)]

    assert (removed, _all_minutes_ago(HeartbeatLog.all())) == ([2, 1, 0], [1])


def test_the_last_heartbeat_is_never_cleared(beat: Beat, session: Session) -> None:
    beat(70)

    assert clear(session, 3600, 10) == 0
