"""Streams that say what has changed: who is told, what it costs, and that it ends."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dashboard.asking import Browser, made
from enqueueing.placed import enqueue
from jobsd.acts import queues
from jobsd.daemon.tree.listener import bound
from jobsd.web import create_app, reading, streams
from jobsd.web.serving import Serving
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from jobsd.database.connection import Session, Target
    from jobsd.web.application import Application
    from rows import Rows

WATCHERS = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%%web watch%%'"
    " AND datname = current_database()"
)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "POLL_S", 0.05)


@pytest.fixture
def application(target: Target, default_client: object) -> Application:
    del default_client
    return made(target, live="sse")


@contextlib.contextmanager
def _served(application: Application) -> Generator[int]:
    listener = bound("127.0.0.1:0")
    serving = Serving(application, listener)
    serving.start()
    try:
        yield listener.getsockname()[1]
    finally:
        serving.stop()


class Watcher:
    """One who reads a stream, over a socket."""

    def __init__(self, port: int, source: str = "127.0.0.1", version: str = "1.1") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 60, (source, 0))
        self.socket.sendall(f"GET /live HTTP/{version}\r\nHost: localhost\r\n\r\n".encode())
        self.read = b""
        self.until(b"\r\n\r\n")

    def until(self, text: bytes) -> bytes:
        """Read until a text has come; return what came with it and before it."""
        while text not in self.read:
            got = self.socket.recv(65_536)
            assert got, self.read
            self.read += got
        before, found, self.read = self.read.partition(text)
        return before + found

    def reported(self) -> set[str]:
        """Return the parts of the next event."""
        self.until(b"data: ")
        return set(self.until(b"\n\n").decode().split())

    def close(self) -> None:
        self.socket.close()


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_watcher_is_sent_the_names_of_changed_parts(
    application: Application, session: Session, rows: Rows
) -> None:
    with _served(application) as port, contextlib.closing(Watcher(port)) as watcher:
        first = watcher.reported()
        enqueue()
        second = watcher.reported()
        queues.pause("mail", session=session)
        third = watcher.reported()
        rows("INSERT INTO jobsd.heartbeat_logs (environment, hostname) VALUES ('e', 'h')")
        fourth = watcher.reported()

    assert first == reading.NAMES
    assert "jobs" in second
    assert "queues" in third
    assert "heartbeats" in fourth


def test_nothing_is_read_without_a_watcher(application: Application, rows: Rows) -> None:
    # The server ends the session of an earlier watcher some time after its stream.
    wait_until(lambda: rows(WATCHERS) == [0], 30)
    with _served(application) as port:
        threads = set(threading.enumerate())
        assert rows(WATCHERS) == [0]
        watcher = Watcher(port)
        watcher.reported()
        during = rows(WATCHERS)
        watcher.close()
        wait_until(lambda: rows(WATCHERS) == [0], 30)
        wait_until(lambda: set(threading.enumerate()) <= threads, 30)
        again = Watcher(port)
        reported = again.reported()
        again.close()

    assert during == [1]
    assert reported == reading.NAMES


def test_many_watch_with_one_thread_and_one_connection(
    application: Application, rows: Rows
) -> None:
    with _served(application) as port, contextlib.ExitStack() as many:
        Watcher(port).close()
        # Its thread ends, and the server ends its session, some time after the stream.
        wait_until(lambda: all(each.name != "watch" for each in threading.enumerate()))
        wait_until(lambda: rows(WATCHERS) == [0])
        threads, descriptors = set(threading.enumerate()), _descriptors()
        watchers = [
            many.enter_context(contextlib.closing(Watcher(port, f"127.0.0.{2 + n // 15}")))
            for n in range(reading.STREAMS_MAX)
        ]
        reported = [watcher.reported() for watcher in watchers]
        during = len(set(threading.enumerate()) - threads), rows(WATCHERS)
        refused = socket.create_connection(("127.0.0.1", port), 60, ("127.0.0.9", 0))
        refused.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        busy = refused.recv(10_000)
        refused.close()
        for watcher in watchers:
            watcher.close()
        wait_until(lambda: application.watching.count == 0, 30)
        wait_until(lambda: set(threading.enumerate()) <= threads, 30)
        wait_until(lambda: _descriptors() <= descriptors + 1, 30)

    assert reported == [reading.NAMES] * reading.STREAMS_MAX
    assert during == (1, [1])
    assert busy.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 30" in busy


def test_ten_thousand_updates_leave_nothing_behind(application: Application) -> None:
    def report(watcher: Watcher, times: int) -> None:
        for _ in range(times):
            for stream in application.watching.streams():
                stream.report(frozenset({"jobs"}))
            watcher.reported()

    with _served(application) as port, contextlib.closing(Watcher(port)) as watcher:
        watcher.reported()
        report(watcher, 200)
        threads, descriptors = threading.active_count(), _descriptors()
        tracemalloc.start()
        report(watcher, 100)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        report(watcher, 10_000)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert threading.active_count() <= threads
        assert _descriptors() <= descriptors

    assert after - before < 200_000


def test_a_watcher_that_reads_nothing_is_dropped_and_blocks_no_other(
    application: Application,
) -> None:
    with _served(application) as port, contextlib.ExitStack() as both:
        both.enter_context(contextlib.closing(Watcher(port))).reported()
        wait_until(lambda: application.watching.count == 1)

        def is_dropped() -> bool:
            for stream in application.watching.streams():
                for _ in range(5_000):
                    stream.report(reading.NAMES)
            return application.watching.count == 0

        wait_until(is_dropped, 60)


def test_a_stream_needs_permission_and_does_not_answer_head(
    target: Target,
) -> None:
    closed = Browser(made(target, live="sse", open_role=None))
    open_to_all = Browser(made(target, live="sse"))

    assert closed.get("/live").status == 403
    assert open_to_all.ask("HEAD", "/live").status == 404
    assert Browser(made(target, live="sse"), host="evil.example").get("/live").status == 421


def test_mounted_pages_ask_unless_streams_are_wanted(target: Target) -> None:
    asking = create_app(authorize=lambda _: "viewer", target=target)
    reported = create_app(authorize=lambda _: "viewer", target=target, live="sse")
    with pytest.raises(ValueError, match="live is 'ws'; expected one of poll, sse"):
        create_app(live="ws")

    pages = [Browser(each).get("/").text for each in (asking, reported)]
    refused = Browser(asking).get("/live")
    asking.close()
    reported.close()

    assert ["hx-sse:connect" in page for page in pages] == [False, True]
    assert refused.status == 404


def test_any_other_server_iterates_a_stream_until_its_client_is_gone(
    application: Application,
) -> None:
    got: list[Any] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/live", "HTTP_HOST": "localhost"}

    def start(*given: Any) -> None:
        got.extend(given)

    answer: Any = application(environ, start)
    lines: Iterator[bytes] = iter(answer)
    first, second = next(lines), next(lines)
    during = application.watching.count
    answer.close()

    assert got[0] == "200 OK"
    assert dict(got[1])["Content-Type"] == streams.CONTENT_TYPE
    assert "Content-Length" not in dict(got[1])
    assert first == b":\n\n"
    assert second.startswith(b"event: changed\ndata: acts ")
    assert (during, application.watching.count) == (1, 0)
    assert list(lines) == []


def test_changes_between_two_reads_are_reported_once() -> None:
    stream = streams.Stream(lambda _: None)
    next(stream)

    for _ in range(1_000):
        stream.report(frozenset({"jobs"}))
    stream.report(frozenset({"acts"}))
    reported = next(stream)

    assert reported == b"event: changed\ndata: acts jobs\n\n"


def test_an_outage_is_reported_once_and_its_end_too() -> None:
    marks = {"jobs": "1", "acts": "1"}

    assert reading.differing(marks, None) == reading.NAMES
    assert reading.differing(None, None) == frozenset()
    assert reading.differing(None, marks) == reading.NAMES
    assert reading.differing(marks, {**marks, "acts": "2"}) == {"acts"}
    assert reading.differing(marks, marks) == frozenset()


def test_a_dashboard_that_goes_ends_its_streams(application: Application) -> None:
    with _served(application) as port:
        watcher = Watcher(port, version="1.0")
        watcher.reported()

    with contextlib.closing(watcher):
        while watcher.socket.recv(1_000):
            pass

    assert application.watching.count == 0
