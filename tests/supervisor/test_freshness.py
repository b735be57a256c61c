"""A value that is read in the background, where even a thread may be refused."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg

from jobsd.supervisor.monitor import freshness
from jobsd.supervisor.monitor.freshness import SHARE, Fresh
from waiting import Stopwatch

if TYPE_CHECKING:
    import pytest


def test_a_reading_that_found_no_thread_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(freshness, "RETRY_S", 0.0)
    fresh = Fresh(lambda: 7)
    with monkeypatch.context() as refused:
        refused.setattr(threading.Thread, "start", refuse)
        assert fresh.get(max_age_s=1, wait_s=0.1) is None

    assert fresh.get(max_age_s=1, wait_s=5) == 7


def test_a_failed_reading_is_not_repeated_for_each_caller() -> None:
    tried: list[int] = []

    def fail() -> int:
        tried.append(1)
        raise psycopg.OperationalError("it is away")

    fresh = Fresh(fail)

    assert [fresh.get(max_age_s=0, wait_s=30) for _ in range(5)] == [None] * 5
    assert len(tried) == 1


def test_a_value_that_took_long_to_read_is_used_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, taken_s, times = 1000.0, 10.0, 0
    monkeypatch.setattr(freshness, "monotonic", lambda: now)

    def read() -> int:
        nonlocal now, times
        now += taken_s
        times += 1
        return times

    fresh = Fresh(read)
    assert fresh.get(max_age_s=0, wait_s=30) == 1

    now += taken_s * SHARE
    assert fresh.get(max_age_s=0, wait_s=30) == 1
    now += 0.1
    assert fresh.get(max_age_s=0, wait_s=30) == 2


def test_a_caller_waits_no_longer_than_wait_s_for_a_hung_reader() -> None:
    goes_on = threading.Event()
    fresh = Fresh(lambda: goes_on.wait(60))
    watch = Stopwatch()

    assert fresh.get(max_age_s=0, wait_s=0.05) is None
    goes_on.set()
    assert watch.took() < 30


def test_begin_starts_a_reading_without_waiting_for_it() -> None:
    goes_on = threading.Event()

    def read() -> int:
        fresh.asked.set()
        goes_on.wait(60)
        return 7

    fresh = Fresh(read)
    fresh.begin(max_age_s=60)

    assert fresh.asked.wait(30)
    assert fresh.last is None
    goes_on.set()
    assert fresh.get(max_age_s=60, wait_s=30) == 7
    fresh.begin(max_age_s=60)
    assert fresh.asked.is_set(), "nothing is read, so nothing is waited for"


def test_a_reader_that_fails_before_its_query_blocks_no_caller() -> None:
    def fail() -> int:
        raise psycopg.OperationalError("it is away")

    fresh = Fresh(fail)
    fresh.begin(max_age_s=60)

    assert fresh.asked.wait(30)
