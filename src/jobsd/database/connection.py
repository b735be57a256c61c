"""One connection to the queue's database, and what is certain about it.

Invariant: no wait for the server is without end. A frozen server fires no timeout of its
own, so each wait has a deadline on our side; when it passes, the socket is shut down and
the connection is of no more use. What was asked may have been done or not: who has to
know reads it back (`worker` does).

A connection of ours commits each statement by itself (`autocommit`); the statements of
one pipeline share a transaction and one round trip.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg import conninfo, errors

from jobsd.clock import monotonic
from jobsd.database.statements import channel, quote_identifier
from jobsd.errors import DatabaseUnreachableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg.abc import PQGen

    from jobsd.database.statements import Statement

CONNECT_TIMEOUT_S = 3
STATEMENT_TIMEOUT_S = 10.0

T = TypeVar("T")

# What a caller may wait out: the server is away, going away, full, or read-only (a
# standby that is not promoted yet). The last is no OperationalError for psycopg.
OUTAGES = (psycopg.OperationalError, psycopg.InterfaceError, errors.ReadOnlySqlTransaction)

# A plan made while a table was empty must not read or sort all of it once it is full: with
# these off, the planner walks an index even when its figures say that there is nothing.
_PLANS = (
    "enable_seqscan",
    "enable_bitmapscan",
    "enable_sort",
    "enable_hashjoin",
    "enable_mergejoin",
    "jit",
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where the queue lives: a URL, a schema, and how to be woken there.

    `listen_url` leads past a transaction pooler; `wakeups` is "auto" or "off".
    """

    url: str
    schema: str = "jobsd"
    listen_url: str | None = None
    wakeups: str = "auto"


class _Deadlined(psycopg.Connection[tuple[Any, ...]]):
    """A psycopg connection whose waits end."""

    deadline_s = STATEMENT_TIMEOUT_S

    def wait(self, gen: PQGen[T], interval: float = 0.0, timeout: float | None = None) -> T:
        """Run the generator's waits, together for at most `deadline_s` seconds."""
        del interval, timeout
        end = monotonic() + self.deadline_s
        poller = select.poll()
        try:
            wanted = next(gen)
            while True:
                poller.register(self.pgconn.socket, wanted & 1 | (wanted & 2) << 1)
                ready = poller.poll(max(0.0, end - monotonic()) * 1000)
                if not ready:
                    self._give_up()
                mask = ready[0][1] if ready else select.POLLIN
                wanted = gen.send(_ready(mask, wanted))
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _give_up(self) -> None:
        with contextlib.suppress(OSError), socket.socket(fileno=self.pgconn.socket) as wire:
            try:
                wire.shutdown(socket.SHUT_RDWR)
            finally:
                wire.detach()
        raise psycopg.OperationalError(
            f"the server has not answered for {self.deadline_s:g} s; connection given up",
        )


def _ready(mask: int, wanted: int) -> int:
    # An error or a hang-up is readable: libpq finds out what it is.
    ready = (1 if mask & ~select.POLLOUT else 0) | (2 if mask & select.POLLOUT else 0)
    return ready & wanted or wanted


class Session:
    """One connection of ours, made when it is first needed, and made anew after `close`.

    Not safe for use by two threads at once; never to be used on both sides of a fork.
    """

    def __init__(
        self,
        target: Target,
        name: str,
        *,
        deadline_s: float = STATEMENT_TIMEOUT_S,
        listen: bool = False,
    ) -> None:
        self.target = target
        self.name = name
        self.deadline_s = deadline_s
        self.listening = False
        self._wants_to_listen = listen and target.wakeups != "off"
        self._heard: list[str] = []
        self._connection: _Deadlined | None = None

    @property
    def connection(self) -> psycopg.Connection[tuple[Any, ...]]:
        """The connection itself, made now if there is none.

        Raises:
            psycopg.OperationalError: when the server can't be reached in time.
        """
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as we know."""
        return self._connection is not None and not self._connection.broken

    def fetch(
        self,
        statement: Statement,
        parameters: Mapping[str, Any] | Sequence[Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows: one round trip, one commit."""
        sql = statement.render(self.target.schema)
        cursor = self.connection.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []

    def fetch_together(
        self,
        statements: Sequence[tuple[Statement, Mapping[str, Any]]],
    ) -> list[list[tuple[Any, ...]]]:
        """Run several statements in one round trip and one transaction; return each one's rows.

        Each sees what those before it have done. When one fails, none has done anything.
        """
        connection = self.connection
        with connection.pipeline():
            cursors = [
                connection.cursor().execute(statement.render(self.target.schema), parameters)
                for statement, parameters in statements
            ]
        return [cursor.fetchall() if cursor.description else [] for cursor in cursors]

    def fileno(self) -> int | None:
        """Return the socket to watch while nothing is asked, or None without a connection."""
        return self._connection.pgconn.socket if self._connection and self.listening else None

    def notifications(self) -> list[str]:
        """Return the payloads that have come since the last call; never waits.

        Raises:
            psycopg.OperationalError: when the connection turns out to be broken.
        """
        if self._connection is not None and self.listening:
            wire = self._connection.pgconn
            wire.consume_input()
            while notification := wire.notifies():
                self._heard.append(notification.extra.decode(errors="replace"))
        # Those that came while a statement ran are here already.
        heard, self._heard = self._heard, []
        return heard

    def close(self) -> None:
        """Close the connection, if there is one; the next statement makes a new one."""
        connection, self._connection, self.listening = self._connection, None, False
        if connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                connection.close()

    def _connect(self) -> _Deadlined:
        connection = _Deadlined.connect(
            **_parameters(self.target.url, self.name), autocommit=True
        )
        connection.deadline_s = self.deadline_s
        try:
            pooled = _is_pooled(connection)
            connection.prepare_threshold = None if pooled else 0
            if self._wants_to_listen and not pooled:
                name = quote_identifier(channel(self.target.schema))
                connection.add_notify_handler(lambda notify: self._heard.append(notify.payload))
                connection.execute(f"LISTEN {name}".encode())
                self.listening = True
        except BaseException:
            connection.close()
            raise
        return connection


def connect(target: Target, name: str) -> Session:
    """Return a session that is connected.

    Raises:
        DatabaseUnreachableError: saying which server, without its password, and why.
    """
    session = Session(target, name)
    try:
        _ = session.connection
    except OUTAGES as error:
        raise DatabaseUnreachableError(unreachable(target.url, error)) from error
    return session


def unreachable(url: str, error: BaseException) -> str:
    """Return one line that says which server can't be reached, and why."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"can't reach the database {redact(url)}: {reason}"


def redact(url: str) -> str:
    """Return the URL without its password."""
    try:
        parts = conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        return re.sub(r"(:)[^:@/]*(@)|(password=)\S+", r"\1\3***\2", url)
    shown = {key: parts[key] for key in ("host", "port", "dbname", "user") if key in parts}
    return " ".join(f"{key}={value}" for key, value in shown.items())


def _parameters(url: str, name: str) -> dict[str, Any]:
    parameters: dict[str, Any] = dict(conninfo.conninfo_to_dict(url))
    parameters.setdefault("connect_timeout", CONNECT_TIMEOUT_S)
    parameters["application_name"] = name
    parameters.setdefault("client_encoding", "UTF8")
    return parameters


def _is_pooled(connection: _Deadlined) -> bool:
    """Return whether a pooler stands between, and settle the plans when none does.

    A pooler invents the process id that it tells its clients. What is set on its
    connections would stay for other clients, and what is prepared there is not ours.
    """
    settings = ", ".join(f"set_config('{name}', 'off', false)" for name in _PLANS)
    row = connection.execute(
        f"SELECT CASE WHEN pg_backend_pid() = %s THEN ARRAY[{settings}] END".encode(),
        (connection.info.backend_pid,),
        prepare=False,
    ).fetchone()
    return row is None or row[0] is None
