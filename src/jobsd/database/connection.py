"""One connection to the queue's database, and the guarantees that it gives.

Invariant: every wait for the server ends. A frozen server fires no timeout of its own, so each
wait has a deadline on our side (`deadline`); when it passes, the socket is shut down and the
connection is unusable. The server may or may not have executed a statement that was sent: a
caller that has to know reads it back (`worker` does). The next statement reconnects.

A connection of ours commits each statement by itself (`autocommit`); the statements of one
pipeline share a transaction and one round trip.
"""

import contextlib
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg
from psycopg import conninfo, errors

from jobsd.errors import DatabaseUnreachableError

from . import listener, names, session_settings, statements, steps
from .deadline import (
    OUTAGES,
    STATEMENT_TIMEOUT_S,
    DeadlineConnection,
    open_connection,
)
from .in_time import unhurried
from .statements import Bound, Plain, Statement, Statements, Topic, as_bytes, tables_are_at

Row = tuple[Any, ...]

__all__ = [
    "OUTAGES",
    "STATEMENT_TIMEOUT_S",
    "Bound",
    "Session",
    "Statement",
    "Statements",
    "Target",
    "any_server_will_do",
    "connect",
    "redact",
    "unreachable",
]


@dataclass(frozen=True, slots=True)
class Target:
    """The address of the queue: a URL, a schema, and how notifications come.

    `listen_url` leads past a transaction pooler; `wakeups` is "auto" or "off". A statement
    takes at most `deadline_s`.
    """

    url: str
    schema: str = "jobsd"
    listen_url: str | None = None
    wakeups: str = "auto"
    deadline_s: float = STATEMENT_TIMEOUT_S


class Session:
    """One connection of ours: connected at its first use, and reconnected after `close`.

    Not safe for use by two threads at once; never to be used on both sides of a fork.

    With `plan_once` a statement is planned at its first use and never again. By default the
    server finds that a claim of one job is cheaper when it is planned for its parameters, and
    plans it again each time: 0.2 ms, and several times that after a rest.
    """

    def __init__(  # noqa: PLR0913 - options of a session
        self,
        target: Target,
        name: str,
        *,
        deadline_s: float | None = None,
        listen: bool = False,
        plan_once: bool = False,
        topic: Topic = "wake",
        left_s: Callable[[], float] = unhurried,
    ) -> None:
        self.target = target
        self.name = name
        self.deadline_s = target.deadline_s if deadline_s is None else deadline_s
        self._plan_once = plan_once
        self._listener = listener.Listener(
            target.listen_url,
            statements.channel(target.schema, topic),
            name,
            self.deadline_s,
            left_s,
            wanted=listen and target.wakeups != "off",
        )
        self._left_s = left_s
        self._connection: DeadlineConnection | None = None
        self._sent: _Sent | None = None
        self.idle_since = 0.0
        """When it became idle (monotonic): written by the pool that keeps idle ones."""

    @property
    def connection(self) -> psycopg.Connection[tuple[Any, ...]]:
        """The connection itself; connects if there is none."""
        return self.reconnect()

    def reconnect(self) -> DeadlineConnection:
        """Connect if there is no connection: at first, and after each `close`.

        Raises:
            psycopg.OperationalError: if the server can't be reached in time.
        """
        if self._sent is not None:
            self._sent.settle()
            self._sent = None
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def require_names(self) -> None:
        """Check that a connect would not wait for the name of a host.

        Raises:
            StillLookingUpError: if it would. A loop tries again, and ticks in between.
        """
        names.require_settled(self.target.url, self._listener.url)

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as we know."""
        return self._connection is not None and not self._connection.broken

    def fetch_prepared(
        self,
        statement: Statement,
        parameters: Mapping[str, Plain],
        *,
        within_s: float | None = None,
    ) -> list[Row]:
        """The faster form of `fetch`, for parameters of a few simple types.

        `within_s` is a shorter deadline for this statement.
        """
        bound = self.bind(statement, parameters)
        if within_s is None:
            return self.fetch_bound(bound)
        with self.reconnect().shorter_deadline(within_s):
            return self.fetch_bound(bound)

    def bind(self, statement: Statement, parameters: Mapping[str, Plain]) -> Bound:
        """Return a statement with its parameters, in the form sent until we reconnect."""
        text, names = statement.number(self.target.schema)
        return Bound(text, names, [as_bytes(parameters[name]) for name in names])

    def fetch_bound(self, bound: Bound) -> list[Row]:
        """The form of `fetch_prepared` for a bound statement."""
        return self.reconnect().fetch_prepared(bound.text, bound.values)

    def send_bound(self, bound: Bound) -> Callable[[], list[Row]]:
        """Send a bound statement; return a function that waits for its rows, to be called once.

        Any other statement sent before that call waits for these rows first, and they are kept.
        """
        connection = self.reconnect()
        connection.send_prepared(bound.text, bound.values)
        self._sent = _Sent(partial(connection.receive_prepared, bound.text, bound.values))
        return self._sent

    def fetch(
        self,
        statement: Statement,
        parameters: Mapping[str, Any] | Sequence[Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows: one round trip, one commit."""
        connection = self.reconnect()
        if connection.carried is not None:
            return self.fetch_together([(statement, parameters)])[0]
        cursor = self._execute(connection.cursor(), statement, parameters)
        return cursor.fetchall() if cursor.description else []

    def fetch_together(
        self,
        statements: Sequence[tuple[Statement, Mapping[str, Any] | Sequence[Any] | None]],
        sent: Callable[[], None] | None = None,
    ) -> list[list[tuple[Any, ...]]]:
        """Run several statements in one round trip and one transaction; return each one's rows.

        Each sees the effects of the ones before it. If one fails, all are rolled back. `sent`
        is called while the server works on them, before we wait for it.
        """
        connection = self.reconnect()
        with _pipeline(connection):
            if connection.carried is not None:
                connection.execute(connection.carried)
            cursors = [
                self._execute(connection.cursor(), statement, parameters)
                for statement, parameters in statements
            ]
            if sent is not None:
                sent()
        return [cursor.fetchall() if cursor.description else [] for cursor in cursors]

    @property
    def listening(self) -> bool:
        """Whether notifications come: if not, a loop has to poll."""
        return self._listener.listening

    @property
    def listener_number(self) -> int:
        """The number of the listening connection, from 1; 0 while not listening."""
        return self._listener.number

    def fileno(self) -> int | None:
        """Return the socket to watch between statements, or None while not listening."""
        return self._listener.fileno()

    def notifications(self) -> list[str]:
        """Return the payloads received since the last call; never waits for them.

        Raises:
            psycopg.OperationalError: if the connection turns out to be broken.
        """
        return self._listener.drain() if self._connection is not None else []

    def close(self) -> None:
        """Close the connection, if there is one; the next statement reconnects."""
        self._listener.close()
        connection, self._connection, self._sent = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                connection.close()

    def _execute(
        self,
        cursor: psycopg.Cursor[tuple[Any, ...]],
        statement: Statement,
        parameters: Mapping[str, Any] | Sequence[Any] | None,
    ) -> psycopg.Cursor[tuple[Any, ...]]:
        rendered = statement.render(self.target.schema)
        return cursor.execute(rendered, parameters if statement.has_placeholders else None)

    def _open(self) -> DeadlineConnection:
        connection = open_connection(self.target.url, self.name, self.deadline_s, self._left_s)
        try:
            pooled = _is_pooled(connection, plan_once=self._plan_once)
            if pooled:
                connection.prepare_threshold = None
                connection.carried = session_settings.carrying_query(self.deadline_s)
            else:
                connection.prepare_threshold = 0
            if steps.works_with_older():
                _ask_version(connection, self.target.schema)
            self._listener.open(connection, pooled=pooled)
        except BaseException:
            self._listener.close()
            connection.close()
            raise
        return connection


class _Sent:
    """A statement that was sent; its answer is read later, once."""

    def __init__(self, receive: Callable[[], list[Row]]) -> None:
        self._receive: Callable[[], list[Row]] | None = receive
        self._rows: list[Row] = []
        self._error: psycopg.Error | None = None

    def settle(self) -> None:
        """Wait for the answer, if it has not been read."""
        receive, self._receive = self._receive, None
        if receive is not None:
            try:
                self._rows = receive()
            except psycopg.Error as error:
                self._error = error

    def __call__(self) -> list[Row]:
        """Return the rows, or raise the error that came instead."""
        self.settle()
        if self._error is not None:
            raise self._error
        rows, self._rows = self._rows, []
        return rows


@contextlib.contextmanager
def _pipeline(connection: psycopg.Connection[Row]) -> Generator[None]:
    """Send the block's statements together; of several errors, raise the first.

    The first error is hidden from psycopg, which would log a warning about the errors that the
    end of the pipeline adds: the first one suffices.
    """
    failed: psycopg.Error | None = None
    before = sys.exception()
    try:
        with connection.pipeline():
            try:
                yield
            except psycopg.Error as error:
                failed = error
    except psycopg.Error as error:
        raise failed or _first(error, before) from None
    if failed is not None:
        raise failed


def _first(error: BaseException, before: BaseException | None) -> BaseException:
    """Return the error that ended a pipeline; its end adds errors even after an interrupt.

    An error raised `before` the pipeline began is not part of it.
    """
    while error.__context__ is not None and error.__context__ is not before:
        error = error.__context__
    return error


def connect(target: Target, name: str) -> Session:
    """Return a session that is connected.

    Raises:
        DatabaseUnreachableError: naming the server, without its password, and the reason.
    """
    session = Session(target, name)
    try:
        _ = session.connection
    except OUTAGES as error:
        raise DatabaseUnreachableError(unreachable(target.url, error)) from error
    return session


def unreachable(url: str, error: BaseException) -> str:
    """Return a line that names the server that can't be reached, and the reason."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"can't reach the database {redact(url)}: {reason}"


def redact(url: str) -> str:
    """Return the parts of a URL that may be shown."""
    try:
        parts = conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        return "(a URL that can't be read)"
    shown = {key: parts[key] for key in ("host", "port", "dbname", "user") if key in parts}
    return " ".join(f"{key}={value}" for key, value in shown.items())


def any_server_will_do(url: str) -> bool:
    """Return whether a URL names several hosts, and lets a client connect to a standby."""
    try:
        parts = conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        return False
    several = "," in str(parts.get("host") or parts.get("hostaddr") or "")
    return several and parts.get("target_session_attrs") not in {"read-write", "primary"}


VERSION = Statement("version", "SELECT coalesce(max(version), 0) FROM jobsd.schema_migrations")
UNKNOWN = (errors.UndefinedTable, errors.InvalidSchemaName, errors.InsufficientPrivilege)
"""Raised if there are no tables, or this role may not read their version."""


def _ask_version(connection: DeadlineConnection, schema: str) -> None:
    """Find the version of the tables, for which statements are rendered."""
    with contextlib.suppress(*UNKNOWN):
        row = connection.execute(VERSION.render(schema), prepare=False).fetchone()
        if row is not None:
            tables_are_at(schema, row[0], steps.latest_version())


def _is_pooled(connection: DeadlineConnection, *, plan_once: bool) -> bool:
    """Return whether there is a pooler in between; configure the session if there is none.

    A pooler invents the process id that it sends to its clients. A setting on its connections
    would stay for other clients, and a statement prepared there is not ours.
    """
    wanted = session_settings.settings(connection.deadline_s, plan_once=plan_once)
    try:
        return not _configure(connection, wanted)
    except session_settings.NOT_HERE:
        del wanted[session_settings.CLIENT_CHECK]
        return not _configure(connection, wanted)


def _configure(connection: DeadlineConnection, wanted: Mapping[str, str]) -> bool:
    row = connection.execute(
        session_settings.setting_query(wanted), (connection.info.backend_pid,), prepare=False
    ).fetchone()
    return row is not None and row[0] is not None
