"""The reads of the dashboard: few connections for pages, and a thread that checks for changes.

A page is read in one read-only transaction with one snapshot of the queue, so that its numbers
fit each other. Its time is bounded.

A stream to each open page names the parts of the queue that have changed. One thread reads the
database for that, at most once a second and only while a page is open; workers and NOTIFY are
not involved. After an event, a browser requests its page again, so rights and search are
handled as in any other request. A stream carries names of parts and nothing more.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Generator
from http import HTTPStatus

import psycopg

from jobsd import clock, errors
from jobsd.database.connection import OUTAGES, Session, Statements, Target
from jobsd.events.events import emit

from .http import RefusedRequest
from .streams import Stream

STATEMENTS = Statements("jobsd.web", "watching.sql")
STREAMS_MAX = 64
POLL_S = 1.0
PING_S = 5.0
"""How often to write to a stream, so that a lost client is noticed and no proxy closes it."""
NAMES = frozenset(("jobs", "queues", "processes", "recurring", "heartbeats", "history", "acts"))
Marks = dict[str, str]


class Watching:
    """The streams of one dashboard; a forked child leaves the parent's streams alone."""

    def __init__(self, target: Callable[[], Target]) -> None:
        self._target = target
        self._streams: set[Stream] = set()
        self._new: set[Stream] = set()
        self._thread: threading.Thread | None = None
        self._begin_anew()

    def enter(self) -> Stream:
        """Return a new stream, which gets events from now on.

        Raises:
            RefusedRequest: when `STREAMS_MAX` streams are open.
        """
        if self._pid != os.getpid():
            self._begin_anew()
        with self._lock:
            if len(self._streams) >= STREAMS_MAX:
                raise RefusedRequest(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    f"{STREAMS_MAX} pages are live already: this page polls instead.",
                    ("Retry-After", "30"),
                )
            stream = Stream(self._leave)
            self._streams.add(stream)
            self._new.add(stream)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
                self._thread.start()
        return stream

    def close(self) -> None:
        """End all streams."""
        for stream in self.streams():
            stream.end()

    @property
    def count(self) -> int:
        """The number of open streams."""
        return len(self._streams)

    def _leave(self, stream: Stream) -> None:
        with self._lock:
            self._streams.discard(stream)
            self._new.discard(stream)
            if not self._streams:
                self._left.set()

    def streams(self) -> list[Stream]:
        """Return all open streams."""
        with self._lock:
            return list(self._streams)

    def _run(self) -> None:
        """Check for changes and report them to the streams, until none is open."""
        try:
            with contextlib.closing(Session(self._target(), "jobsd web watch")) as session:
                self._watch(session)
        except Exception as error:  # noqa: BLE001 - browsers come again, or ask now and then
            emit("web.failed", path="/live", error=error)
            with self._lock:
                self._thread = None
            self.close()

    def _watch(self, session: Session) -> None:
        known: Marks | None = None
        pinged = clock.monotonic()
        while self._is_watched():
            # A page that was read before this check may lack changes since then, so a new
            # stream gets all names once.
            with self._lock:
                new = set(self._new)
                self._new.clear()
            marks = self._check(session)
            changed, known = differing(known, marks), marks
            is_due = clock.monotonic() - pinged > PING_S
            pinged = clock.monotonic() if is_due else pinged
            for stream in self.streams():
                reported = NAMES if stream in new else changed
                if reported or is_due:
                    stream.report(reported)

    def _is_watched(self) -> bool:
        """Rest until the next check; return whether a stream is still open."""
        self._left.wait(POLL_S)
        with self._lock:
            self._left.clear()
            if not self._streams:
                self._thread = None
            return bool(self._streams)

    def _check(self, session: Session) -> Marks | None:
        """Return the marks of all parts; None during an outage of the database."""
        try:
            found = session.fetch(STATEMENTS["marks"], {"schema": session.target.schema})
            return {str(part): str(mark) for part, mark in found}
        except (*OUTAGES, errors.Error):
            session.close()
        except Exception as error:  # noqa: BLE001 - pages still ask by themselves
            session.close()
            emit("web.failed", path="/live", error=error)
        return None

    def _begin_anew(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._left = threading.Event()
        self._streams.clear()
        self._new.clear()
        self._thread = None


def differing(before: Marks | None, now: Marks | None) -> frozenset[str]:
    """Return the parts whose marks differ; all at the start or end of an outage."""
    if before is None or now is None:
        return frozenset() if before is now else NAMES
    return frozenset(part for part, mark in now.items() if before.get(part) != mark)


CONNECTIONS_MAX = 4
WAIT_S = 5.0
PAGE_S = 5
_BEGIN = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_BOUND = f"SET LOCAL statement_timeout = '{PAGE_S}s'".encode()


def plan_each(session: Session) -> None:
    """Have each later statement of this transaction planned with its own parameters.

    For searches: they differ too much for one plan that would fit them all.
    """
    session.connection.execute(
        b"SET LOCAL plan_cache_mode = 'force_custom_plan'", prepare=False
    )


class Connections:
    """The connections of one dashboard; a forked child leaves those of its parent alone."""

    def __init__(self, target: Callable[[], Target]) -> None:
        self._target = target
        self._begin_anew()

    @contextlib.contextmanager
    def reading(self) -> Generator[Session]:
        """Lend a connection in a read-only transaction.

        Raises:
            RefusedRequest: when all connections are busy for too long.
        """
        with self.session() as session:
            session.connection.execute(_BEGIN, prepare=False)
            session.connection.execute(_BOUND, prepare=False)
            try:
                yield session
            finally:
                # Not a rollback: after one, psycopg forgets all prepared statements.
                with contextlib.suppress(psycopg.Error):
                    session.connection.execute(b"COMMIT", prepare=False)

    @contextlib.contextmanager
    def session(self) -> Generator[Session]:
        """Lend a connection that commits each statement by itself."""
        if self._pid != os.getpid():
            self._begin_anew()
        if not self._free.acquire(timeout=WAIT_S):
            raise RefusedRequest(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "All connections of the dashboard are busy: try again in a moment.",
                ("Retry-After", "5"),
            )
        try:
            session = self._take()
            try:
                yield session
            except psycopg.OperationalError:
                session.close()
                raise
            finally:
                # A closed connection connects again when it is lent next.
                self._idle.append(session)
        finally:
            self._free.release()

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> Session:
        if self._idle:
            return self._idle.pop()
        return Session(self._target(), "jobsd web")

    def _begin_anew(self) -> None:
        self._pid = os.getpid()
        self._idle: list[Session] = []
        self._free = threading.BoundedSemaphore(CONNECTIONS_MAX)
