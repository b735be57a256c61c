"""A small HTTP server for any number of clients that misbehave, and the monitor's few pages.

These are /metrics, /healthz, /livez and /readyz.

Each connection serves one request and has a thread for it. Three limits bound it: at most
`CONNECTIONS_MAX` connections at a time (a further one replaces the one that has been open for
longest, so that a slow client can't keep a health check out), a few seconds for each read, and
the library's limits on the size of a request.

No page uses the connection of the database thread. They read the database over connections of
their own, in the background and for a bounded time; otherwise they answer with the facts
already known.
"""

import contextlib
import json
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar, cast

from jobsd.configuration.options import Options
from jobsd.database.connection import Session, Target
from jobsd.events.events import emit
from jobsd.scoreboard.scoreboard import Scoreboard

from . import freshness, health, heartbeats, scraping
from .database_thread import DatabaseThread

Page = Callable[[Message], "Reply"]

CONNECTIONS_MAX = 16
READ_TIMEOUT_S = 5.0
POLL_S = 60.0
"""How often the server checks whether it is to stop: it stops with the process."""
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of a page."""

    status: HTTPStatus
    content_type: str
    body: bytes


class Server(ThreadingHTTPServer):
    """Serves `pages`, by path, on a socket that listens already."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, listener: socket.socket, pages: Mapping[str, Page]) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        # A client may be gone before we accept its connection.
        listener.settimeout(0)
        self.socket = listener
        self.pages = pages
        self._lock = threading.Lock()
        self._open: deque[socket.socket] = deque()

    def start(self, poll_s: float = POLL_S) -> None:
        """Serve in a thread that ends with the process."""
        threading.Thread(
            target=self.serve_forever, args=(poll_s,), name="http", daemon=True
        ).start()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Accept a connection; close the oldest one if there are too many."""
        with self._lock:
            self._open.append(request)
            evicted = self._open.popleft() if len(self._open) > CONNECTIONS_MAX else None
        if evicted is not None:
            with contextlib.suppress(OSError):
                evicted.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401
        """Close a connection."""
        with self._lock, contextlib.suppress(ValueError):
            self._open.remove(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Report an error of our own; errors of clients are not ours."""
        del request, client_address
        error = sys.exception()
        if not isinstance(error, OSError):
            emit("thread.failed", error=error)


class _Handler(BaseHTTPRequestHandler):
    timeout = READ_TIMEOUT_S
    protocol_version = "HTTP/1.1"
    server_version = "jobsd"
    sys_version = ""

    def handle(self) -> None:
        self.close_connection = True
        self.handle_one_request()

    def do_GET(self) -> None:
        page = cast("Server", self.server).pages.get(self.path.partition("?")[0])
        self._reply(page(self.headers) if page else _status_reply(HTTPStatus.NOT_FOUND))

    do_HEAD = do_GET  # noqa: N815 - the library's names

    def __getattr__(self, name: str) -> Callable[[], None]:
        if not name.startswith("do_"):
            raise AttributeError(name)
        # For any other method, including methods that do not exist.
        return lambda: self._reply(
            _status_reply(HTTPStatus.METHOD_NOT_ALLOWED), Allow="GET, HEAD"
        )

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log no line: a scrape is no event."""

    def _reply(self, reply: Reply, **headers: str) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)


def _status_reply(status: HTTPStatus) -> Reply:
    return Reply(status, TEXT, f"{status.phrase}\n".encode())


T = TypeVar("T")

JSON = "application/json"
DEADLINE_S = 2.0
HEALTH_WAIT_S = 0.06
"""A health check answers in a tenth of a second, whatever the database does."""
HEALTH_AGE_S = 1.0


class Pages:
    """Answers for one tree."""

    def __init__(
        self,
        scoreboard: Scoreboard,
        target: Target,
        options: Options,
        database_thread: DatabaseThread,
    ) -> None:
        self._scoreboard = scoreboard
        self._database_thread = database_thread
        self._options = options
        self._scraping = scraping.Scraping(
            target,
            scoreboard,
            database_thread.history,
            options.workers,
            targets_s=options.monitor.latency_targets_s,
            threshold_s=options.supervisor.process_alive_threshold_s,
        )
        self._heartbeat = freshness.Fresh(_reader(target, heartbeats.last_heartbeats))

    @cached_property
    def _expected(self) -> health.Expected:
        # Read at the first request: it copies a megabyte of memory shared with the supervisor.
        return health.Expected.by(self._options)

    def by_path(self) -> Mapping[str, Page]:
        """Return the pages by their paths."""
        return {
            "/metrics": self.metrics,
            "/healthz": self.healthz,
            "/livez": self.livez,
            "/readyz": self.readyz,
        }

    def metrics(self, headers: Message) -> Reply:
        """Return the exposition, in the form that the client accepts."""
        # Not loaded before: see `Scraping.answer`.
        from jobsd.metrics.metrics import accepts_openmetrics  # noqa: PLC0415

        openmetrics = accepts_openmetrics(headers.get("Accept", ""))
        body, kind = self._scraping.answer(openmetrics=openmetrics)
        return Reply(HTTPStatus.OK, kind, body)

    def healthz(self, _headers: Message) -> Reply:
        """Return whether jobs run."""
        self._heartbeat.get(max_age_s=HEALTH_AGE_S, wait_s=HEALTH_WAIT_S)
        return _reply(
            health.healthy(self._scoreboard, self._expected, self._latest_heartbeats())
        )

    def livez(self, _headers: Message) -> Reply:
        """Return whether the supervisor's loop ticks."""
        return _reply(health.alive(self._scoreboard))

    def readyz(self, _headers: Message) -> Reply:
        """Return whether the tree can run jobs."""
        return _reply(health.ready(self._scoreboard, self._expected))

    def _latest_heartbeats(self) -> heartbeats.LastHeartbeats:
        asked, seen = self._heartbeat.last, self._database_thread.heartbeats
        return seen if asked is None or seen.seen_at > asked.seen_at else asked


def _reader(target: Target, read: Callable[[Session], T]) -> Callable[[], T]:
    def read_with_own_session() -> T:
        session = Session(target, "jobsd monitor http", deadline_s=DEADLINE_S)
        with contextlib.closing(session):
            return read(session)

    return read_with_own_session


def _reply(answer: health.Answer) -> Reply:
    status = HTTPStatus.OK if answer.good else HTTPStatus.SERVICE_UNAVAILABLE
    return Reply(status, JSON, json.dumps(answer.facts).encode() + b"\n")
