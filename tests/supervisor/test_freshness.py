"""A value that is read in the background, where even a thread may be refused."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg

from jobsd.supervisor.monitor import freshness
from jobsd.supervisor.monitor.freshness import Fresh
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


def test_a_reading_that_has_failed_is_not_tried_again_by_each_who_asks() -> None:
    tried: list[int] = []

    def fail() -> int:
        tried.append(1)
        raise psycopg.OperationalError("it is away")

    fresh = Fresh(fail)

    assert [fresh.get(max_age_s=0, wait_s=30) for _ in range(5)] == [None] * 5
    assert len(tried) == 1


def test_a_value_that_took_long_to_read_is_used_for_long() -> None:
    begun: list[threading.Event] = []

    def read() -> int:
        begun.append(threading.Event())
        begun[-1].wait(0.2)
        return len(begun)

    fresh = Fresh(read)
    assert fresh.get(max_age_s=0, wait_s=30) == 1

    # For four seconds, whoever asks.
    assert [fresh.get(max_age_s=0, wait_s=30) for _ in range(100)] == [1] * 100


def test_who_asks_waits_no_longer_than_said_for_a_reader_that_hangs() -> None:
    goes_on = threading.Event()
    fresh = Fresh(lambda: goes_on.wait(60))
    watch = Stopwatch()

    assert fresh.get(max_age_s=0, wait_s=0.05) is None
    goes_on.set()
    assert watch.took() < 30
