"""Connects of a process that is about to be killed."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.clock import monotonic
from jobsd.database.connection import Session, Target
from jobsd.database.deadline import DeadlineConnection, open_connection
from jobsd.database.in_time import in_time, unhurried
from jobsd.database.statements import Statement
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

_PING = Statement("ping", "SELECT 1")


@pytest.fixture
def silent_url() -> Iterator[str]:
    """The URL of a server that takes connections and says nothing; it may do so for 60 s."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        yield f"postgresql://user@127.0.0.1:{port}/away?connect_timeout=60"


def test_a_connect_under_way_takes_half_of_the_time_that_is_left(silent_url: str) -> None:
    began = monotonic()

    def left_s() -> float:
        took_s = monotonic() - began
        return math.inf if took_s < 0.3 else max(0.0, 4.3 - took_s)

    with pytest.raises(psycopg.OperationalError, match="the process is to end"):
        open_connection(silent_url, "hurried", 60.0, left_s)

    assert 1.5 < left_s() < math.inf


def test_all_hosts_of_a_url_together_take_half_of_the_time_that_is_left(
    silent_url: str,
) -> None:
    port = silent_url.partition("?")[0].rpartition(":")[2].partition("/")[0]
    hosts = ",".join([f"127.0.0.1:{port}"] * 3)
    began = monotonic()

    with pytest.raises(psycopg.OperationalError, match="the process is to end"):
        open_connection(
            f"postgresql://user@{hosts}/away?connect_timeout=2", "hurried", 60.0, lambda: 2.0
        )

    assert 0.9 < monotonic() - began < 2.0


def test_a_connect_has_as_long_as_it_takes_if_there_is_time_for_it(target: Target) -> None:
    asked = threading.Event()

    def left_s() -> float:
        if left_before:
            asked.set()
        left_before.append(100.0)
        return 100.0

    def connect() -> DeadlineConnection:
        assert asked.wait(30)
        return open_connection(target.url, "patient", 60.0)

    left_before: list[float] = []
    with contextlib.closing(in_time(connect, left_s)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_connection_that_comes_too_late_is_closed(target: Target) -> None:
    given_up = threading.Event()
    late: list[DeadlineConnection] = []

    def connect() -> DeadlineConnection:
        assert given_up.wait(30)
        late.append(open_connection(target.url, "late", 60.0))
        return late[0]

    with pytest.raises(psycopg.OperationalError, match="the process is to end"):
        in_time(connect, lambda: 0.2)
    given_up.set()

    wait_until(lambda: bool(late) and late[0].closed)


def test_the_error_of_a_connect_is_raised_as_it_is(target: Target) -> None:
    with pytest.raises(psycopg.OperationalError, match="refused"):
        open_connection("postgresql://user@127.0.0.1:1/away", "refused", 60.0, lambda: 60.0)

    with contextlib.closing(open_connection(target.url, "next", 60.0, lambda: 60.0)) as opened:
        assert opened.execute("SELECT 1").fetchone() == (1,)


def test_a_process_without_a_limit_connects_without_a_thread(target: Target) -> None:
    before = threading.active_count()
    counts: list[int] = []

    def connect() -> DeadlineConnection:
        counts.append(threading.active_count())
        return open_connection(target.url, "unhurried", 60.0)

    with contextlib.closing(in_time(connect, unhurried)):
        assert counts == [before]


def test_a_connect_that_gets_no_thread_is_tried_again_like_any_other(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    with pytest.raises(psycopg.OperationalError, match="can't start new thread"):
        open_connection(target.url, "crowded", 60.0, lambda: 60.0)


def test_the_way_past_a_pooler_takes_half_of_the_time_that_is_left(
    target: Target, silent_url: str
) -> None:
    past = Target(target.url, listen_url=silent_url)
    began = monotonic()

    with contextlib.closing(
        Session(past, "hurried", listen=True, left_s=lambda: 4.0)
    ) as session:
        assert session.fetch(_PING) == [(1,)]
        assert not session.listening

    assert monotonic() - began < 20.0
