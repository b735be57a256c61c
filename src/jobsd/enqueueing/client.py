"""The connection pool of a program that enqueues jobs or queries the queue.

The pool opens connections when they are needed, survives a fork (each process has its own) and
does not lend a connection that the server has closed. A connection that was idle for a while
may be dead without a sign (a firewall drops idle connections), or lead to a server that has
become read-only: it is checked first, for a second at most.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterable
from queue import Empty, SimpleQueue
from typing import Any

import psycopg
from psycopg import errors

from jobsd.clock import monotonic
from jobsd.database.connection import Session, Target, unreachable
from jobsd.database.other_build import UNDEFINED, unlike_tables
from jobsd.database.url import UrlError, passwords, read_url
from jobsd.errors import ConfigurationError, DatabaseUnreachableError, Error, Fault
from jobsd.jobs import default_database, interrupts, middleware
from jobsd.jobs.default_database import NOT_GIVEN
from jobsd.jobs.draft import Draft, EnqueuedJob
from jobsd.logs import redaction

from . import backend, bulk, submission
from . import enqueue as storing
from .blocking import warn_of_blocking
from .bulk import EnqueuedJobs
from .connections import begin
from .drivers import PsycopgDriver, driver_of
from .idle import stands, takes_jobs

POOL_MAX = 10
QUIET_S = 10.0
"""The time for which a connection may be idle before it is checked when it is lent."""
KEEP_FINISHED_S = 86400.0
"""The age at which finished jobs may be cleared, unless a configuration has another."""
_WAIT_S = 30.0
_IDLE = psycopg.pq.TransactionStatus.IDLE


class Client:
    """A pool of sessions to one target, and the age at which jobs are cleared there."""

    def __init__(
        self,
        target: Target,
        *,
        size_max: int = POOL_MAX,
        quiet_s: float = QUIET_S,
        keep_finished_s: float = KEEP_FINISHED_S,
    ) -> None:
        self.target = target
        self.keep_finished_s = keep_finished_s
        self.size_max = size_max
        self.quiet_s = quiet_s
        self._closed = False
        self._reset()

    def _reset(self) -> None:
        self.idle: list[Session] = []
        """Sessions that stand, and that no thread uses now."""
        # A semaphore that is written in C: each enqueue passes it.
        self._permits: SimpleQueue[None] = SimpleQueue()
        for _ in range(self.size_max):
            self._permits.put(None)
        self._lent: dict[int, int] = {}
        # Last: another thread that sees this must not find the parent's connections.
        self._pid = os.getpid()

    def session(self) -> Loan:
        """Lend a session to one thread, for a `with`.

        Raises:
            DatabaseUnreachableError: when there is none yet and none can be made, or when
                all have been lent for half a minute.
        """
        return Loan(self)

    def lend(self) -> Session:
        """Lend a session, for `session` to do so when it is entered."""
        if self._pid != os.getpid():
            self._leave_to_parent()
        thread = threading.get_ident()
        self._permit(thread)
        try:
            return self._take()
        except BaseException:
            self._release(thread)
            raise

    def _permit(self, thread: int) -> None:
        # A thread that has one may have more: what its `enqueue_many` draws from may enqueue.
        if not (lent := self._lent.get(thread, 0)):
            try:
                self._permits.get(timeout=_WAIT_S)
            except Empty:
                raise DatabaseUnreachableError(
                    f"all {self.size_max} connections of this process have been in use"
                    f" for {_WAIT_S:g} s",
                ) from None
        self._lent[thread] = lent + 1

    def _release(self, thread: int) -> None:
        self._lent[thread] -= 1
        if not self._lent[thread]:
            del self._lent[thread]
            self._permits.put(None)

    def take_back(self, session: Session, lent_to: int, thread: int) -> None:
        """Take back a session that was lent to this process, or to its parent before a fork."""
        if lent_to != os.getpid():
            _inherited.append(session)
            return
        try:
            pgconn = session.connection.pgconn if session.connected else None
            if pgconn and pgconn.transaction_status == _IDLE and not self._closed:
                session.idle_since = monotonic()
                self.idle.append(session)
            else:
                session.close()
        finally:
            self._release(thread)

    def close(self) -> None:
        """Close the idle connections now, and the others when they are returned."""
        self._closed = True
        self.close_idle()

    def close_idle(self) -> None:
        """Close the connections that are idle; others are made when they are needed."""
        while self.idle and self._pid == os.getpid():
            with contextlib.suppress(IndexError):
                self.idle.pop().close()

    def _leave_to_parent(self) -> None:
        """Start with an empty pool: the parent's connections are never used or closed here."""
        with _lock:
            if self._pid != os.getpid():
                _inherited.extend(self.idle)
                self._reset()

    def _take(self) -> Session:
        while self.idle:
            try:
                session = self.idle.pop()
            except IndexError:
                break
            if not stands(session):
                session.close()
            elif monotonic() - session.idle_since < self.quiet_s or takes_jobs(session):
                return session
            else:
                # Whatever broke this connection silently has probably broken all idle ones.
                session.close()
                self.close_idle()
        session = Session(self.target, "jobsd client")
        try:
            _ = session.connection
        except psycopg.Error as error:
            raise DatabaseUnreachableError(unreachable(self.target.url, error)) from error
        return session


class Loan:
    """A session that is lent to the one thread that enters this."""

    __slots__ = ("_client", "_lent_to", "_session", "_thread")

    def __init__(self, client: Client) -> None:
        self._client = client

    def __enter__(self) -> Session:
        self._lent_to, self._thread = os.getpid(), threading.get_ident()
        self._session = self._client.lend()
        return self._session

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is not None and self._lent_to == os.getpid():
            self._part_with_what_is_spent(error.__cause__ or error)
        self._client.take_back(self._session, self._lent_to, self._thread)
        if isinstance(error, UNDEFINED):
            raise unlike_tables(self._client.target.schema, error) from error

    def _part_with_what_is_spent(self, cause: BaseException) -> None:
        if isinstance(cause, RECYCLE):
            self._session.close()
        if isinstance(cause, errors.ReadOnlySqlTransaction):
            # The server is or has become a standby, and the other connections lead there, too.
            self._client.close_idle()


# A prepared statement is gone, or belongs to tables that have changed, and stays so; or the
# server takes no writes for as long as this connection leads to it.
RECYCLE = (
    errors.FeatureNotSupported,
    errors.InvalidSqlStatementName,
    errors.ReadOnlySqlTransaction,
)


_inherited: list[Any] = []
_client: Client | None = None
_schema: str | None = None
_lock = threading.Lock()


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held it at the fork
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def configure(
    database_url: str | None = None,
    *,
    schema: str = "jobsd",
    client: Client | None = None,
) -> None:
    """Set the database of this program; by default it is the one of the commands.

    Safe at any time; an existing connection is closed once it is no longer in use.

    Raises:
        ConfigurationError: for an invalid URL; the message does not show it.
    """
    target = None if database_url is None else Target(_checked(database_url), schema)
    global _client, _schema  # noqa: PLW0603 - the program's one default
    with _lock:
        previous, _client, _schema = _client, client, None
        if target is not None:
            _client = Client(target)
        submission.forget_all()
    if previous is not None:
        previous.close()


def _checked(url: str) -> str:
    try:
        read = read_url(url)
    except UrlError as error:
        raise ConfigurationError((Fault(f"database_url {error}"),)) from None
    redaction.hide(passwords(read))
    return read


def keep_finished_s() -> float:
    """Return the age at which finished jobs are cleared: in the daemon, the configured one."""
    return KEEP_FINISHED_S if _client is None else _client.keep_finished_s


def configured_target() -> Target | None:
    """Return the database that was configured, or found already."""
    return default_database.chosen if _client is None else _client.target


def default_client() -> Client:
    """Return the program's client, made now if there is none.

    Raises:
        Error: if no database is configured, or a test replaces it.
    """
    global _client  # noqa: PLW0603
    if backend.active is not None:
        raise Error(
            "the test kit's queue in memory lacks this: test it with a database, without the"
            " fixtures jobs, jobs_inline and jobs_clock"
        )
    if _client is not None:
        return _client
    with _lock:
        if _client is None:
            target = default_database.chosen
            if target is None:
                if default_database.find_target is None:
                    raise Error("no database is configured: call jobsd.configure(database_url)")
                target = default_database.find_target()
            found = Client(target)
            if backend.framework is not None and backend.framework.is_in_test():
                # A connection that stays would keep the test's database from being dropped.
                found.close()
                return found
            _client = found
    return _client


def schema_of_tables() -> str:
    """Return the schema of the tables, which is all that an enqueue with a connection needs."""
    global _schema  # noqa: PLW0603
    if (configured := configured_target()) is not None:
        return configured.schema
    if _schema is None:
        _schema = (
            "jobsd" if default_database.find_schema is None else default_database.find_schema()
        )
    return _schema


def enqueue(
    drafted: Draft,
    connection: object = NOT_GIVEN,
    *,
    surrounded: bool = True,
    waits: bool = True,
) -> EnqueuedJob:
    """Enqueue one job: committed when this returns, or in the transaction of `connection`.

    The functions around enqueues are called, unless `surrounded` is false. A job that has
    waited for a commit (`waits` is false) waits for no other one.
    """
    if surrounded and middleware.ENQUEUES:
        return middleware.enqueue(
            drafted, lambda job: enqueue(job, connection, surrounded=False)
        )
    if backend.active is not None:
        return backend.active.enqueue(drafted)
    if connection is not NOT_GIVEN:
        return storing.enqueue_within(driver_of(connection, schema_of_tables()), drafted)
    if backend.framework is not None:
        placed = backend.framework.enqueue(drafted, waits=waits)
        if placed is not None:
            return placed
    if "asyncio" in sys.modules:
        warn_of_blocking()
    with default_client().session() as session:
        enqueued = storing.enqueue_alone(session, drafted)
    interrupts.deliver()
    return enqueued


def enqueue_many(jobs: Iterable[Draft], *, connection: object = NOT_GIVEN) -> EnqueuedJobs:
    """Enqueue all jobs of an iterable or none, in bounded memory.

    With `connection` they become part of that connection's transaction.

    Raises:
        EnqueueError: when the database refuses.
    """
    if middleware.ENQUEUES:
        jobs = map(middleware.enqueue_later, jobs)
    return store_many(jobs, connection)


def store_many(
    jobs: Iterable[Draft], connection: object = NOT_GIVEN, *, waits: bool = True
) -> EnqueuedJobs:
    """Enqueue many jobs without calling what surrounds enqueues."""
    if backend.active is not None:
        return backend.active.enqueue_many(jobs)
    if connection is not NOT_GIVEN:
        driver = driver_of(connection, schema_of_tables())
        if not isinstance(driver, PsycopgDriver):
            return bulk.enqueue_many_within(driver, jobs)
        begin(driver.connection)
        return bulk.enqueue_many(driver.connection, driver.schema, jobs, owned=False)
    if backend.framework is not None:
        placed = backend.framework.enqueue_many(jobs, waits=waits)
        if placed is not None:
            return placed
    if "asyncio" in sys.modules:
        warn_of_blocking()
    mine = default_client()
    with mine.session() as session:
        return bulk.enqueue_many(session.connection, mine.target.schema, jobs, owned=True)


async def aenqueue(drafted: Draft, connection: object = NOT_GIVEN) -> EnqueuedJob:
    """Do what `enqueue` does without blocking the running event loop, and without a thread."""
    from . import async_client  # noqa: PLC0415 - most programs need no event loop

    if not middleware.ENQUEUES:
        return await async_client.store(drafted, connection)
    return await middleware.aenqueue(drafted, lambda job: async_client.store(job, connection))


async def aenqueue_many(
    jobs: Iterable[Draft], *, connection: object = NOT_GIVEN
) -> EnqueuedJobs:
    """Enqueue all jobs of an iterable or none, without blocking the event loop.

    With `connection`, an asynchronous one, they become part of its transaction.

    Raises:
        EnqueueError: when the database refuses.
    """
    from . import async_client  # noqa: PLC0415

    if middleware.ENQUEUES:
        jobs = map(middleware.enqueue_later, jobs)
    return await async_client.store_many(jobs, connection)
