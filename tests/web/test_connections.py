"""The places of the dashboard's connections: pages beside streams, and refused clients."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from dashboard.asking import made
from jobsd.daemon.tree.listener import bound
from jobsd.web import channels, reading
from jobsd.web.serving import Serving
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Target
    from jobsd.web.application import Application

ASKED = b"GET /assets/none HTTP/1.0\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def application(target: Target) -> Application:
    return made(target, live="sse")


@pytest.fixture
def port(application: Application) -> Iterator[int]:
    listener = bound("127.0.0.1:0")
    serving = Serving(application, listener)
    serving.start()
    yield listener.getsockname()[1]
    serving.stop()


def _connected(port: int, source: str = "127.0.0.2") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 30, (source, 0))


def _answer(client: socket.socket) -> bytes:
    """Return all that a client is sent until the server ends its answer."""
    with client.makefile("rb") as answer:
        return answer.read()


def _fill(port: int, opened: contextlib.ExitStack) -> None:
    """Occupy all places of an address by requests that don't end."""
    for _ in range(channels.OF_ADDRESS_MAX):
        opened.enter_context(_connected(port)).sendall(b"GET / HTTP/1.1\r\n")
    # Once another address is answered, what was sent before has been read.
    with _connected(port, "127.0.0.3") as other:
        other.sendall(ASKED)
        _answer(other)


def _refused(port: int, opened: contextlib.ExitStack) -> socket.socket:
    """Return a new connection once its refusal has come."""
    client = opened.enter_context(_connected(port))
    assert client.recv(1, socket.MSG_PEEK)
    return client


def _is_closed(client: socket.socket) -> bool:
    """Return whether the server has closed the connection, and not only its own half."""
    try:
        client.sendall(b"x")
    except ConnectionError:
        return True
    return False


@pytest.mark.failure(
    "All live pages that may stream come from one address, as through a proxy or a NAT",
    "A page from that address is answered: streams occupy no place of a page",
)
def test_a_page_comes_beside_all_streams_of_its_address(
    port: int, application: Application
) -> None:
    watching = application.watching
    with contextlib.ExitStack() as opened:
        for number in range(1, reading.STREAMS_MAX + 1):
            stream = opened.enter_context(_connected(port))
            stream.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert stream.recv(1_000).startswith(b"HTTP/1.1 200 ")
            assert watching.count == number
        client = opened.enter_context(_connected(port))
        client.sendall(ASKED)
        answer = _answer(client)

    assert answer.startswith(b"HTTP/1.0 404 ")


@pytest.mark.failure(
    "200 requests come at once from one address",
    "Each is answered, some with 503 and Retry-After; no connection is reset",
)
def test_each_of_many_requests_at_once_is_answered(port: int) -> None:
    with contextlib.ExitStack() as opened:
        clients = [opened.enter_context(_connected(port)) for _ in range(200)]
        for client in clients:
            with contextlib.suppress(ConnectionError):
                client.sendall(ASKED)
        answers = [_answer(client) for client in clients]

    assert {answer.split()[1] for answer in answers} <= {b"404", b"503"}


def test_a_refused_client_that_still_sends_reads_its_answer(port: int) -> None:
    with contextlib.ExitStack() as opened:
        _fill(port, opened)
        client = _refused(port, opened)
        for _ in range(100):
            client.sendall(bytes(10_000))
        answer = _answer(client)

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert answer.endswith(b"try again in 5 s.\r\n")


def test_a_refused_client_that_stays_is_closed(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "REFUSED_S", 0.2)
    with contextlib.ExitStack() as opened:
        _fill(port, opened)
        client = _refused(port, opened)
        wait_until(lambda: _is_closed(client), 30)


def test_refused_clients_are_bounded_and_the_oldest_gives_way(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "REFUSED_S", 60.0)
    monkeypatch.setattr(channels, "REFUSED_MAX", 2)
    with contextlib.ExitStack() as opened:
        _fill(port, opened)
        oldest, *others = [_refused(port, opened) for _ in range(3)]
        wait_until(lambda: _is_closed(oldest), 30)

        assert not any(_is_closed(each) for each in 3 * others)
