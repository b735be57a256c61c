"""Streams and the thread that watches for them; the places of connections."""

from __future__ import annotations

import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.web import channels, reading, streams
from jobsd.web.reading import NAMES, Watching
from jobsd.web.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Target

ALL = streams.message(NAMES)
PING = streams.message(frozenset())


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "POLL_S", 0.01)


def _ignore(_: object) -> None:
    pass


def _first(stream: Iterator[bytes], wanted: bytes) -> bool:
    """Return whether a message comes before the stream ends, in twenty seconds."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: wanted in stream).result(20)


def test_a_report_to_a_stream_before_its_server_took_it_is_sent() -> None:
    stream, sent = Stream(_ignore), list[bytes]()
    stream.report(frozenset({"jobs"}))

    stream.hand_over(sent.append)
    stream.report(frozenset({"queues"}))

    assert sent == [streams.message(frozenset({each})) for each in ("jobs", "queues")]


def test_a_stream_that_has_ended_before_a_server_took_it_ends_there() -> None:
    left: list[object] = []
    stream, sent = Stream(left.append), list[bytes]()
    stream.end()
    stream.end()

    stream.hand_over(sent.append)

    assert (sent, left) == ([b""], [stream])


def test_everything_is_reported_once_to_each_stream_that_begins(target: Target) -> None:
    watching = Watching(lambda: target)
    with contextlib.closing(watching):
        assert _first(watching.enter(), ALL)
        assert _first(watching.enter(), ALL)


def test_a_quiet_stream_gets_a_sign_of_life(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PING_S", 0.01)
    watching = Watching(lambda: target)
    with contextlib.closing(watching):
        stream = watching.enter()
        assert _first(stream, ALL)
        assert _first(stream, PING)


def test_a_watch_that_has_failed_is_begun_again_for_the_next_stream(target: Target) -> None:
    fails = True

    def find() -> Target:
        if fails:
            raise ZeroDivisionError
        return target

    watching = Watching(find)
    with contextlib.closing(watching):
        ended = _first(watching.enter(), ALL)
        fails = False

        assert not ended
        assert _first(watching.enter(), ALL)


def _channel(host: str, last: float, **more: Any) -> Any:
    idle: dict[str, Any] = {
        "requests": [],
        "request": None,
        "stream": None,
        "began": 1.0,
        "will_close": False,
    }
    return SimpleNamespace(addr=(host, 1), last_activity=last, **{**idle, **more})


class _Admitted:
    def __init__(self, *_: object, **__: object) -> None:
        pass


def _admit(open_ones: list[Any], host: str, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Return what a new connection is answered; nothing where it is admitted."""
    monkeypatch.setattr(channels, "Channel", _Admitted)
    server = SimpleNamespace(active_channels=dict(enumerate(open_ones)))
    connection, client = socket.socketpair()
    with connection, client:
        client.settimeout(0.0)
        admit = channels.admitting(["10.0.0.0/8"])
        admitted = admit(server, connection, (host, 2), None, map={})
        return b"" if admitted else client.recv(1_000)


def test_the_connection_that_was_idle_for_longest_gives_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    busy = [_channel("192.0.2.1", 0.0, request=object()) for _ in range(14)]
    young, old = _channel("192.0.2.1", 9.0), _channel("192.0.2.1", 5.0)

    assert _admit([*busy, young, old], "192.0.2.1", monkeypatch) == b""
    assert (old.will_close, young.will_close) == (True, False)


def test_a_connection_whose_first_request_may_be_unread_does_not_give_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    busy = [_channel("192.0.2.1", 0.0, request=object()) for _ in range(15)]
    new = _channel("192.0.2.1", 5.0, began=None)

    assert _admit([*busy, new], "192.0.2.1", monkeypatch).startswith(b"HTTP/1.1 503 ")
    assert not new.will_close


@pytest.mark.parametrize(
    ("hosts", "host", "admitted"),
    [
        (["192.0.2.1"] * 16, "192.0.2.1", False),
        (["192.0.2.1"] * 16, "192.0.2.2", True),
        (["10.0.0.1"] * 127, "10.0.0.1", True),
        ([f"192.0.2.{n}" for n in range(128)], "192.0.2.200", False),
        (["10.0.0.1"] * 128, "10.0.0.1", False),
    ],
)
def test_connections_are_bounded_by_address_and_in_all(
    hosts: list[str], host: str, monkeypatch: pytest.MonkeyPatch, *, admitted: bool
) -> None:
    open_ones = [_channel(each, 0.0, request=object()) for each in hosts]

    answered = _admit(open_ones, host, monkeypatch)

    assert (answered == b"") == admitted
    assert admitted or b"Retry-After: 5" in answered


def test_streams_occupy_no_place_of_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [_channel(f"192.0.2.{n}", 0.0, request=object()) for n in range(127)]
    streams = [_channel("192.0.2.200", 0.0, stream=object()) for _ in range(64)]

    assert _admit([*pages, *streams], "192.0.2.200", monkeypatch) == b""
