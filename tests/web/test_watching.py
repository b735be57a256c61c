"""Streams and the thread that watches for them; the places of connections."""

from __future__ import annotations

import contextlib
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
        "will_close": False,
    }
    return SimpleNamespace(addr=(host, 1), last_activity=last, **{**idle, **more})


class _Refused:
    def __init__(self) -> None:
        self.sent = b""

    def send(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        pass


class _Admitted:
    def __init__(self, *_: object, **__: object) -> None:
        pass


def _admit(open_ones: list[Any], host: str, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Return what a new connection is answered; nothing where it is admitted."""
    monkeypatch.setattr(channels, "Channel", _Admitted)
    server = SimpleNamespace(active_channels=dict(enumerate(open_ones)))
    connection: Any = _Refused()
    admitted = channels.admitting(["10.0.0.0/8"])(server, connection, (host, 2), None)
    assert (admitted is None) == bool(connection.sent)
    return bytes(connection.sent)


def test_the_connection_that_was_idle_for_longest_gives_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    busy = [_channel("192.0.2.1", 0.0, request=object()) for _ in range(14)]
    young, old = _channel("192.0.2.1", 9.0), _channel("192.0.2.1", 5.0)

    assert _admit([*busy, young, old], "192.0.2.1", monkeypatch) == b""
    assert (old.will_close, young.will_close) == (True, False)


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
