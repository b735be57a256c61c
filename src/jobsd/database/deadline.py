"""A psycopg connection with a deadline on every wait.

A frozen server fires no timeout of its own, so each wait has a deadline on our side; when it
passes, the socket is shut down and the connection is unusable.
"""

import contextlib
import json
import os
import re
import select
import socket
import threading
from collections.abc import Callable, Generator, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, NoReturn, Self, TypeVar, cast

import psycopg
from psycopg import capabilities, conninfo, errors, generators, pq
from psycopg.abc import Buffer, PQGen
from psycopg.adapt import Transformer
from psycopg.pq import DiagnosticField, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.json import set_json_loads

from jobsd.clock import monotonic

from . import names
from .hosts import are_several, awake, heard, note
from .in_time import SLICE_S, in_time, unhurried

CONNECT_TIMEOUT_S = 3
# A firewall drops an idle connection, after minutes at the earliest, and notifies neither end.
# A probe every half minute keeps the connection alive; and if the other end is gone, our kernel
# reports it within a minute, even if we send no data.
_TCP = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
STATEMENT_TIMEOUT_S = 10.0
CANCEL_SHARE = 0.1
"""The last part of a deadline, in which the server is asked to cancel, and may answer."""

T = TypeVar("T")

_DEPTH_MAX = 200
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_CANCELLED = b"57014"  # query_canceled
SUCCESS = {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK}
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}

# The outages that a caller may wait out: the server is down, shutting down, full, or read-only
# (a standby that is not promoted yet), or it has ended our session because we were suspended in
# a transaction. The last two are no OperationalError for psycopg.
OUTAGES = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.ReadOnlySqlTransaction,
    errors.IdleInTransactionSessionTimeout,
)


class DeadlineError(psycopg.OperationalError):
    """A statement has taken longer than its deadline."""


class DeadlineConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection in autocommit mode with a deadline of `deadline_s` for each statement.

    A process that is about to be killed has `left_s()` seconds left, and needs some of them to
    save what it knows: a statement takes at most half of them, even if it is under way.
    """

    deadline_s = STATEMENT_TIMEOUT_S
    left_s: Callable[[], float] = staticmethod(unhurried)
    carried: bytes | None = None
    """The query that is sent before each statement, in its transaction, behind a pooler."""
    _names: dict[bytes, bytes] | None = None
    _named = 0
    _readers: dict[bytes, Any] | None = None

    def fetch_prepared(
        self, text: bytes, values: Sequence[bytes | None]
    ) -> list[tuple[Any, ...]]:
        """Run a statement with `$1`, `$2`, … and return its rows; it is prepared once.

        For statements that are run over and over while a caller waits: for a small statement, a
        cursor takes as long as the server does.

        Raises:
            psycopg.Error: as a cursor does.
        """
        self.send_prepared(text, values)
        return self.receive_prepared(text, values)

    def send_prepared(self, text: bytes, values: Sequence[bytes | None]) -> None:
        """Send a prepared statement.

        Its answer must be received before the next one is sent.
        """
        refuse_nul(values)
        if self.carried is None:
            self.pgconn.send_query_prepared(self._prepare(text), values)
            return
        self.pgconn.enter_pipeline_mode()
        self.pgconn.send_query_params(self.carried, ())
        self.pgconn.send_query_params(text, values)
        self.pgconn.pipeline_sync()

    def receive_prepared(
        self, text: bytes, values: Sequence[bytes | None]
    ) -> list[tuple[Any, ...]]:
        """Wait for the answer to a prepared statement, and return its rows."""
        try:
            result = self._result() if self.carried is None else self._last_of_two()
        except errors.InvalidSqlStatementName:
            # Other code on this connection may deallocate our statements. It is sent again only
            # if it was alone in its transaction, so that no effect is repeated.
            alone = self.pgconn.transaction_status == TransactionStatus.IDLE
            if self.carried is not None or not alone:
                raise
            self._names = self._readers = None
            self.send_prepared(text, values)
            result = self._result()
        reader = self._reader(text, result)
        rows: list[tuple[Any, ...]] = reader.load_rows(0, result.ntuples, tuple)
        reader.set_pgresult(None, set_loaders=False)
        return rows

    def _reader(self, text: bytes, result: PGresult) -> Any:  # noqa: ANN401 - as psycopg says
        """Return the reader of a result: a prepared statement always has the same columns."""
        known = None if self._readers is None else self._readers.get(text)
        if known is not None:
            known.set_pgresult(result, set_loaders=False)
            return known
        reader: Any = Transformer(self)
        reader.set_pgresult(result)
        if self._readers is not None:
            self._readers[text] = reader
        return reader

    @contextlib.contextmanager
    def shorter_deadline(self, deadline_s: float) -> Generator[Self]:
        """Lower the deadline of statements to `deadline_s` until the end of the block."""
        usual, self.deadline_s = self.deadline_s, min(deadline_s, self.deadline_s)
        try:
            yield self
        finally:
            self.deadline_s = usual

    def _deallocate(self, name: bytes | None) -> PQGen[None]:
        # After each rollback psycopg deallocates all its prepared statements, including ours.
        if name is None:
            self._names = self._readers = None
        yield from super()._deallocate(name)

    def _prepare(self, text: bytes) -> bytes:
        if self._names is None:
            self._names, self._readers = {}, {}
        name = self._names.get(text)
        if name is None:
            # No name is used twice: a signal may interrupt us when only the server knows it.
            self._named += 1
            name = b"jobsd_%d" % self._named
            self.pgconn.send_prepare(name, text)
            self._result()
            self._names[text] = name
        return name

    def _result(self) -> PGresult:
        results: list[PGresult] = self.wait(generators.execute(self.pgconn))
        result = results[-1]
        if result.status not in SUCCESS:
            raise errors.error_from_result(result)
        return result

    def _last_of_two(self) -> PGresult:
        first, last = self.wait(_receive_two(self.pgconn))
        self.pgconn.exit_pipeline_mode()
        for result in (first, last):
            if result.status not in SUCCESS:
                raise errors.error_from_result(result)
        return last

    def wait(self, gen: PQGen[T], interval: float = 0.0, timeout: float | None = None) -> T:
        """Run the generator's waits, together for at most `deadline_s` seconds.

        Shortly before the deadline the server is asked to cancel; its answer to that counts.
        """
        del interval, timeout
        began, deadline_s, asked = monotonic(), self.deadline_s, False
        poller = select.poll()
        result: T | None = None
        cancelled = False
        try:
            wanted = next(gen)
            while True:
                poller.register(self.pgconn.socket, wanted & 1 | (wanted & 2) << 1)
                took_s = monotonic() - began
                deadline_s = min(deadline_s, took_s + self.left_s() / 2)
                until_s = deadline_s if asked else deadline_s * (1 - CANCEL_SHARE)
                ready = poller.poll(min(max(0.0, until_s - took_s), SLICE_S) * 1000)
                if ready:
                    wanted = gen.send(_ready(ready[0][1], wanted))
                elif asked and took_s >= deadline_s:
                    self._abandon(deadline_s)
                elif not asked and took_s >= until_s:
                    asked = True
                    self._request_cancel(deadline_s * CANCEL_SHARE / 2)
        except StopIteration as stop:
            result = stop.value
            cancelled = is_cancelled(result)
        except BaseException as error:
            # Otherwise the garbage collector closes it, and prints the error.
            with contextlib.suppress(psycopg.Error, RuntimeError):
                gen.close()
            cancelled = asked and isinstance(error, errors.QueryCanceled)
            if not cancelled:
                raise
        # Only here: the end of a pipeline raises the first error, which is neither a
        # StopIteration nor the server's error for a cancelled statement.
        if asked:
            self._abandon(deadline_s, cancelled=cancelled)
        return cast("T", result)

    def _request_cancel(self, within_s: float) -> None:
        """Ask the server, over a connection for this alone, to cancel the statement.

        Otherwise it goes on waiting for a lock after we are gone, and each process leaves a
        backend behind every few seconds. An older libpq waits without a bound for the answer.
        """
        if capabilities.has_cancel_safe():
            _cancel(self, within_s)
        else:
            thread = threading.Thread(target=_cancel, args=(self, within_s), daemon=True)
            # If no thread can be started, the server is not asked.
            with contextlib.suppress(RuntimeError):
                thread.start()
                thread.join(within_s)

    def _abandon(self, deadline_s: float, *, cancelled: bool = False) -> NoReturn:
        """Shut the connection down: an answer, or the end of a cancellation, may come late.

        The server may have executed a statement that was not cancelled, even if it now reports
        a cancellation: a commit that waits for a standby is cancelled by no longer waiting.
        """
        with contextlib.suppress(OSError), socket.socket(fileno=self.pgconn.socket) as shared:
            try:
                shared.shutdown(socket.SHUT_RDWR)
            finally:
                shared.detach()
        raise given_up(deadline_s, cancelled=cancelled)


def _receive_two(pgconn: pq.abc.PGconn) -> PQGen[list[PGresult]]:
    """Send the rest of a pipeline of two statements; return their results."""
    results: list[PGresult] = yield from generators.execute(pgconn)
    results += yield from generators.fetch_many(pgconn)
    yield from generators.fetch_many(pgconn)  # the end of the pipeline
    return results


def refuse_nul(values: Sequence[bytes | None]) -> None:
    """Check that the server can store all values: libpq would cut them at a NUL.

    Raises:
        psycopg.DataError: if it can't.
    """
    if b"\0" in b"".join(filter(None, values)):
        raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")


def given_up(deadline_s: float, *, cancelled: bool = False) -> psycopg.Error:
    """Return the error of a statement that has passed its deadline."""
    message = f"the server has not answered for {deadline_s:g} s; connection given up"
    if cancelled:
        return errors.QueryCanceled(f"{message}, nothing was done")
    return DeadlineError(message)


def _cancel(connection: DeadlineConnection, within_s: float) -> None:
    with contextlib.suppress(psycopg.Error, OSError):
        connection.cancel_safe(timeout=within_s)


def is_cancelled(result: object) -> bool:
    """Return whether the result of a wait shows that the server has cancelled the statement."""
    if isinstance(result, list):
        return any(map(is_cancelled, cast("list[object]", result)))
    return (
        isinstance(result, pq.PGresult)
        and result.error_field(DiagnosticField.SQLSTATE) == _CANCELLED
    )


def _ready(mask: int, wanted: int) -> int:
    # An error or a hang-up counts as readable: libpq finds the cause.
    ready = (1 if mask & ~select.POLLOUT else 0) | (2 if mask & select.POLLOUT else 0)
    return ready & wanted or wanted


def open_connection(
    url: str, name: str, deadline_s: float, left_s: Callable[[], float] = unhurried
) -> DeadlineConnection:
    """Return a new connection; it is made in at most half of the time that is left.

    Raises:
        psycopg.OperationalError: if the server can't be reached in time.
        psycopg.ProgrammingError: if the URL can't be read.
    """
    parameters = connect_parameters(url, name)
    connect = _connect_to_several if are_several(parameters) else _connect
    connection = in_time(lambda: connect(names.resolve(parameters)), left_s)
    connection.deadline_s, connection.left_s = deadline_s, left_s
    set_json_loads(_read_json, connection)
    connection.adapters.register_loader("timestamptz", _TimestampLoader)
    return connection


def _connect(parameters: dict[str, Any]) -> DeadlineConnection:
    return DeadlineConnection.connect(**parameters, autocommit=True)


def _connect_to_several(parameters: dict[str, Any]) -> DeadlineConnection:
    tried, began = heard(parameters), monotonic()
    try:
        return _connect(tried)
    except psycopg.OperationalError:
        others = awake(parameters)
        if others is None:
            raise
    finally:
        note(tried, monotonic() - began)
    return _connect(others)


class _TimestampLoader(TimestamptzLoader):
    """Reads timestamps; those beyond Python's calendar as its last or its first year."""

    def load(self, data: Buffer) -> datetime:
        try:
            return super().load(data)
        except psycopg.DataError:
            past = bytes(data).startswith(b"-") or bytes(data).endswith(b"BC")
            return datetime(1 if past else 9999, 6, 1, tzinfo=UTC)


def _read_json(text: str | bytes) -> Any:  # noqa: ANN401 - any JSON
    """Return the value of JSON, or its text if Python can't parse it: a row stays readable.

    PostgreSQL stores longer numbers and deeper nesting than Python parses.
    """
    text = text if isinstance(text, str) else text.decode()
    try:
        return text if _is_deep(text) else json.loads(text)
    except (ValueError, RecursionError):
        return text


def _is_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= _DEPTH_MAX:
        return False
    steps = (_STEPS.get(token, 0) for token in _TOKEN.findall(text))
    return max(accumulate(steps), default=0) > _DEPTH_MAX


def connect_parameters(url: str, name: str) -> dict[str, Any]:
    """Return the parameters for a connection of ours under this name.

    Raises:
        psycopg.ProgrammingError: if the URL can't be read.
    """
    try:
        parameters: dict[str, Any] = dict(conninfo.conninfo_to_dict(url))
    except psycopg.ProgrammingError:
        # The message of libpq may contain a part of the password.
        raise psycopg.ProgrammingError("its URL can't be read") from None
    parameters.setdefault("connect_timeout", CONNECT_TIMEOUT_S)
    if "service" not in parameters and "PGSERVICE" not in os.environ:
        # The settings of a service file are not visible here, and would be overridden.
        parameters = _TCP | parameters
    parameters["application_name"] = name
    # Overrides the URL: our statements are in UTF-8, and other encodings lack characters.
    parameters["client_encoding"] = "UTF8"
    return parameters
