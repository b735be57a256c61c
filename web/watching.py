"""Live pages: a stream to each browser that watches says which parts of the queue have changed.

One thread reads the database, at most once a second and only while a page is open; workers and
NOTIFY are not involved. After an event, a browser requests its page again, so rights and
search are handled as in any other request. A stream carries names of parts and nothing else.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from http import HTTPStatus

from jobsd.clock import monotonic
from jobsd.database.connection import OUTAGES, Session, Target
from jobsd.database.statements import Statements
from jobsd.errors import Error
from jobsd.instruments.events import emit

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
        pinged = monotonic()
        while self._is_watched():
            # A page that was read before this check may lack what changed in between: so a new
            # stream gets all names once.
            with self._lock:
                new = set(self._new)
                self._new.clear()
            marks = self._check(session)
            changed, known = differing(known, marks), marks
            is_due = monotonic() - pinged > PING_S
            pinged = monotonic() if is_due else pinged
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
        except (*OUTAGES, Error):
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
