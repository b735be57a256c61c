"""Connections of the dashboard: few, and for pages only to read, for a bounded time.

A page is read in one transaction that can change nothing and sees one moment of the queue, so
that its numbers fit each other.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Generator
from http import HTTPStatus

import psycopg

from jobsd.database.connection import Session, Target

from .http import RefusedRequest

CONNECTIONS_MAX = 4
WAIT_S = 5.0
PAGE_S = 5
_BEGIN = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_BOUND = f"SET LOCAL statement_timeout = '{PAGE_S}s'".encode()


def plan_each(session: Session) -> None:
    """Have what is asked from now on in this transaction planned each time.

    For searches: they differ too much for one plan that would fit them all.
    """
    session.connection.execute(
        b"SET LOCAL plan_cache_mode = 'force_custom_plan'", prepare=False
    )


class Connections:
    """The connections of one dashboard; those of another process of a fork are left alone."""

    def __init__(self, target: Callable[[], Target]) -> None:
        self._target = target
        self._begin_anew()

    @contextlib.contextmanager
    def reading(self) -> Generator[Session]:
        """Lend a connection in a transaction that only reads.

        Raises:
            RefusedRequest: when all connections are busy for too long.
        """
        with self.session() as session:
            session.connection.execute(_BEGIN, prepare=False)
            session.connection.execute(_BOUND, prepare=False)
            try:
                yield session
            finally:
                # No rollback: behind each, psycopg forgets all that is prepared.
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
                # A closed one connects again when it is lent next.
                self._idle.append(session)
        finally:
            self._free.release()

    def close(self) -> None:
        """Close those that nobody uses."""
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
