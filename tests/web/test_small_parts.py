"""Parts of pages that need no database: strips of heartbeats, the facts of a job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from jobsd.heartbeat.log import HeartbeatLog
from jobsd.web import reading
from jobsd.web.job_facts import died
from jobsd.web.strips import CELLS, strips

NOW = datetime(2030, 1, 1, 12, 7, tzinfo=UTC)


def _beat(age: timedelta, host: str = "a") -> HeartbeatLog:
    return HeartbeatLog(1, NOW - age, "test", host)


def test_a_strip_counts_beats_by_cells_and_gaps_since_the_first() -> None:
    ages = [timedelta(minutes=-20), timedelta(minutes=1), timedelta(minutes=50)]

    (strip,) = strips([_beat(age) for age in ages], NOW)

    # One came by a clock that is ahead of ours.
    assert strip.cells[-1] == 2
    assert strip.last == NOW + timedelta(minutes=20)
    assert (strip.first_cell, strip.empty) == (CELLS - 4, 2)


def test_a_beat_before_the_day_is_in_no_cell() -> None:
    (strip,) = strips([_beat(timedelta(days=2))], NOW)

    assert (sum(strip.cells), strip.last) == (0, NOW - timedelta(days=2))


def test_beside_a_job_that_died_are_the_others_of_its_process() -> None:
    error = {"threads": {"1": 7, "2": 8, "900": 9, "3": "?"}, "rss_kib": "?"}

    assert died(error, 7).beside == [8, 9]


def test_the_begin_and_the_end_of_an_outage_change_everything() -> None:
    marks = {"jobs": "1", "queues": "2"}

    assert reading.differing(None, marks) == reading.NAMES
    assert reading.differing(marks, None) == reading.NAMES
    assert reading.differing(None, None) == frozenset()
    assert reading.differing(marks, {**marks, "jobs": "3"}) == {"jobs"}
