"""A small server that no client can bring down, or keep another one out of."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from jobsd.supervisor.monitor.http import CONNECTIONS_MAX, READ_TIMEOUT_S, Reply, Server
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from email.message import Message

    from harness.event_recorder import EventRecorder


def _hello(headers: Message) -> Reply:
    said = f"hello {headers.get('X-Name', 'you')}"
    return Reply(HTTPStatus.OK, "text/plain", said.encode())


def _broken(_: Message) -> Reply:
    raise ValueError("no way")


def _gone(_: Message) -> Reply:
    raise BrokenPipeError


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    before = set(threading.enumerate())
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(listener, {"/hello": _hello, "/broken": _broken, "/gone": _gone})
    server.start(poll_s=0.02)
    yield listener.getsockname()[1]
    server.shutdown()
    server.server_close()
    # Other tests fork, which no thread may be beside.
    wait_until(lambda: set(threading.enumerate()) <= before)


@contextlib.contextmanager
def _asked(
    port: int, method: str, path: str, **headers: str
) -> Generator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection):
        connection.request(method, path, headers=headers)
        yield connection.getresponse()


def test_a_page_is_served_by_its_path(port: int) -> None:
    with _asked(port, "GET", "/hello?x=1", **{"X-Name": "Ada"}) as reply:
        assert (reply.status, reply.read()) == (200, b"hello Ada")
        assert reply.getheader("Content-Type") == "text/plain"
        assert reply.getheader("Cache-Control") == "no-store"


def test_head_answers_without_a_body(port: int) -> None:
    with _asked(port, "HEAD", "/hello") as reply:
        assert (reply.status, reply.read()) == (200, b"")
        assert reply.getheader("Content-Length") == "9"
    with socket.create_connection(("127.0.0.1", port), timeout=5) as wire:
        wire.sendall(b"HEAD /hello HTTP/1.1\r\n\r\n")
        assert b"".join(iter(lambda: wire.recv(1000), b"")).endswith(b"\r\n\r\n")


@pytest.mark.parametrize("path", ["/", "/hello/", "/hello/../hello", "/favicon.ico", "*"])
def test_any_other_path_is_not_found(port: int, path: str) -> None:
    with _asked(port, "GET", path) as reply:
        assert reply.status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_nothing_but_reading_is_allowed(port: int, method: str) -> None:
    with _asked(port, method, "/hello") as reply:
        assert reply.status == 405
        assert reply.getheader("Allow") == "GET, HEAD"


def test_the_server_header_names_only_jobsd(port: int) -> None:
    with _asked(port, "GET", "/hello") as reply:
        assert (reply.getheader("Server") or "").strip() == "jobsd"


@pytest.mark.failure(
    "The port of the metrics receives garbage",
    "It is refused; the next request is served.",
)
def test_garbage_is_refused_and_the_next_request_is_served(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as wire:
        wire.sendall(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
        assert b"400" in wire.recv(1000)

    with _asked(port, "GET", "/hello") as reply:
        assert reply.status == 200


@pytest.mark.failure(
    "Clients connect to the port of the metrics and send nothing",
    "They block no other client: the oldest connections are closed.",
)
def test_silent_clients_keep_no_other_out(port: int) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(3 * CONNECTIONS_MAX):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))

        with _asked(port, "GET", "/hello") as reply:
            assert reply.status == 200


@pytest.mark.failure(
    "A client connects to the port of the metrics, sends half a request, and waits",
    "It is disconnected after a few seconds",
)
def test_a_client_that_dawdles_is_left(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as wire:
        wire.sendall(b"GET /hello HT")

        assert wire.recv(1) == b""


def test_the_oldest_open_connection_is_closed(port: int) -> None:
    # Sooner than its time to read is over, which would end it too.
    within_s = READ_TIMEOUT_S / 2
    with contextlib.ExitStack() as stack:
        first, *_ = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=within_s))
            for _ in range(CONNECTIONS_MAX + 1)
        ]

        assert first.recv(1) == b""


def test_a_page_that_fails_is_reported_and_a_client_that_goes_is_not(
    port: int, recorder: EventRecorder
) -> None:
    emitted = recorder.events()

    for path in ("/gone", "/broken"):
        with pytest.raises(http.client.HTTPException), _asked(port, "GET", path):
            pass

    ((event, facts),) = emitted
    assert (event, str(facts["error"])) == ("thread.failed", "no way")
    with _asked(port, "GET", "/hello") as reply:
        assert reply.status == 200


def _nothing(*_: object) -> None:
    pass


class Wire:
    """Stands for a connection; one that has `gone` can't be shut down."""

    def __init__(self, *, gone: bool = False) -> None:
        self.gone, self.is_shut = gone, False

    def shutdown(self, _: int) -> None:
        self.is_shut = True
        if self.gone:
            raise OSError


@pytest.fixture
def accepting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that serves nothing of what it accepts."""
    for name in ("process_request", "shutdown_request"):
        monkeypatch.setattr(ThreadingHTTPServer, name, _nothing)
    with Server(socket.create_server(("127.0.0.1", 0)), {}) as server:
        yield server


def test_connections_that_have_ended_put_no_other_out(accepting: Server) -> None:
    slow = Wire()
    accepting.process_request(slow, None)
    for _ in range(2 * CONNECTIONS_MAX):
        wire = Wire()
        accepting.process_request(wire, None)
        accepting.shutdown_request(wire)

    assert not slow.is_shut


def test_a_client_that_has_gone_is_put_out_like_any_other(accepting: Server) -> None:
    wires = [Wire(gone=True) for _ in range(CONNECTIONS_MAX + 1)]
    for wire in wires:
        accepting.process_request(wire, None)

    assert [wire.is_shut for wire in wires] == [True] + [False] * CONNECTIONS_MAX
