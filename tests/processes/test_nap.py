"""A rest that ends early for a reason, and never too early without one."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from jobsd.processes.nap import Nap
from waiting import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def nap() -> Iterator[Nap]:
    with closing(Nap()) as taken:
        yield taken


def test_a_nap_lasts_its_time(nap: Nap) -> None:
    watch = Stopwatch()

    woken = nap.take(0.05)

    assert (woken, watch.took() >= 0.05) == ([], True)


def test_a_nap_of_half_a_millisecond_is_not_cut_to_nothing(nap: Nap) -> None:
    for _ in range(100):
        watch = Stopwatch()

        nap.take(0.0005)

        assert watch.took() >= 0.0005


def test_no_nap_is_longer_than_the_limit_of_the_hang_check(nap: Nap) -> None:
    nap.longest_s = 0.05
    watch = Stopwatch()

    woken = nap.take(60)

    assert (woken, watch.took() < 30) == ([], True)


def test_a_nap_of_no_time_ends_at_once(nap: Nap) -> None:
    watch = Stopwatch()

    nap.take(0)
    nap.take(-1)

    assert watch.took() < 5


def test_a_thread_ends_a_nap(nap: Nap) -> None:
    threading.Timer(0.02, nap.wake).start()
    watch = Stopwatch()

    woken = nap.take(30)

    assert (bool(woken), watch.took() < 25) == (True, True)


def test_a_wake_before_the_nap_is_not_lost(nap: Nap) -> None:
    nap.wake()

    assert nap.take(30)


def test_many_wakes_end_one_nap(nap: Nap) -> None:
    for _ in range(100_000):
        nap.wake()
    nap.take(30)

    assert not nap.take(0)


def test_a_socket_that_becomes_readable_ends_a_nap(nap: Nap) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"x")

    woken = nap.take(30, [reader])

    os.close(reader)
    os.close(writer)
    assert woken == [reader]


def test_a_socket_with_a_closed_other_end_ends_a_nap(nap: Nap) -> None:
    reader, writer = os.pipe()
    os.close(writer)

    woken = nap.take(30, [reader])

    os.close(reader)
    assert woken


def test_a_socket_is_not_watched_in_the_next_nap(nap: Nap) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"x")
    nap.take(0, [reader])

    woken = nap.take(0)

    os.close(reader)
    os.close(writer)
    assert not woken


def test_a_signal_that_came_just_before_the_nap_ends_it(nap: Nap) -> None:
    before = signal.signal(signal.SIGUSR1, lambda _number, _frame: None)
    nap.wake_on_signals()
    try:
        os.kill(os.getpid(), signal.SIGUSR1)

        woken = nap.take(30)
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGUSR1, before)

    assert woken


def test_yield_gil_returns_a_wake_by_a_thread(nap: Nap) -> None:
    nap.wake()
    woken = nap.yield_gil(30)

    assert woken
    assert not nap.take(0)


def test_a_signal_during_yield_gil_ends_the_next_nap(nap: Nap) -> None:
    before = signal.signal(signal.SIGUSR1, lambda _number, _frame: None)
    nap.wake_on_signals()
    try:
        nap.wake()
        os.kill(os.getpid(), signal.SIGUSR1)
        woken = nap.yield_gil(30)
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGUSR1, before)

    assert not woken
    assert nap.take(30)


def test_yield_gil_ends_after_its_timeout(nap: Nap) -> None:
    assert not nap.yield_gil(0.001)
