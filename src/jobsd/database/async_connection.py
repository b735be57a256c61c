"""An asynchronous connection of ours with a deadline on every wait (see `deadline`).

It belongs to one event loop. A coroutine that is cancelled while it waits for the server leaves
the connection in the middle of a statement: then it is closed at once, so that no other
statement gets this one's answer. The server may or may not have executed the statement.
"""

import asyncio
import contextlib
import select
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg import errors, generators
from psycopg.abc import PQGen
from psycopg.adapt import Transformer
from psycopg.pq import ConnStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from jobsd.clock import monotonic

from . import names
from .connection import UNKNOWN, VERSION, Target
from .deadline import (
    CANCEL_SHARE,
    STATEMENT_TIMEOUT_S,
    SUCCESS,
    connect_parameters,
    given_up,
    is_cancelled,
    refuse_nul,
)
from .hosts import LONG_S, are_several, awake, heard, note
from .session_settings import CLIENT_CHECK, NOT_HERE, setting_query, settings
from .statements import Plain, Statement, as_bytes, tables_are_at
from .steps import latest_version, works_with_older

T = TypeVar("T")

_READ, _WRITE = 1, 2


class AsyncDeadlineConnection(psycopg.AsyncConnection[tuple[Any, ...]]):
    """A connection in autocommit mode with a deadline of `deadline_s` for each statement."""

    deadline_s = STATEMENT_TIMEOUT_S
    idle_since = 0.0
    """When it became idle (monotonic): written by the pool that keeps idle ones."""
    schema = ""
    """The schema of the tables, which each statement names."""
    names: dict[bytes, bytes]
    """The names of prepared statements by their texts."""
    _named = 0
    _reader: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - psycopg's
        super().__init__(*args, **kwargs)
        self.names = {}

    def __del__(self, _warn: object = None, /) -> None:
        # libpq closes a connection that its loop has abandoned, without a warning.
        pass

    async def fetch_prepared(
        self, statement: Statement, parameters: Mapping[str, Plain]
    ) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows; it is prepared once.

        Raises:
            psycopg.Error: as a cursor does.
        """
        text, names = statement.number(self.schema)
        values = [as_bytes(parameters[name]) for name in names]
        refuse_nul(values)
        if self.prepare_threshold is None:
            self.pgconn.send_query_params(text, values)
            result = await self._result()
        else:
            result = await self._run_prepared(text, values)
        if self._reader is None:
            self._reader = Transformer(self)
        self._reader.set_pgresult(result)
        rows: list[tuple[Any, ...]] = self._reader.load_rows(0, result.ntuples, tuple)
        return rows

    def stands(self) -> bool:
        """Return whether the idle connection still stands, without a round trip.

        No input is waiting: any input would be the server's goodbye, or a notice, and a new
        connection is the safe answer to both.
        """
        if self.pgconn.status != ConnStatus.OK:
            return False
        poller = select.poll()
        poller.register(self.pgconn.socket, select.POLLIN)
        return not poller.poll(0)

    def part(self) -> None:
        """Close the connection now, whatever statement is running."""
        self.pgconn.finish()

    def _part_if_lost(self) -> None:
        if self.pgconn.status != ConnStatus.OK:
            self.part()

    async def wait(
        self,
        gen: PQGen[T],
        interval: float = 0.0,
        timeout: float | None = None,  # noqa: ASYNC109 - psycopg's
    ) -> T:
        """Run the generator's waits, together for at most `deadline_s` seconds.

        Shortly before the deadline the server is asked to cancel; its answer to that counts.
        """
        del interval, timeout
        loop = asyncio.get_running_loop()
        end = loop.time() + self.deadline_s
        until = end - self.deadline_s * CANCEL_SHARE
        try:
            wanted = next(gen)
            while True:
                ready = await self._ready(loop, wanted, until)
                if ready:
                    wanted = gen.send(ready)
                elif until < end:
                    await self.request_cancel((end - until) / 2)
                    until = end
                else:
                    raise self._abandoned()  # noqa: TRY301 - the loop ends here
        except StopIteration as stop:
            result: T = stop.value
            if until == end:
                raise self._abandoned(cancelled=is_cancelled(result)) from None
            return result
        except psycopg.Error as error:
            if until == end and isinstance(error, errors.QueryCanceled):
                raise self._abandoned(cancelled=True) from error
            self._part_if_lost()
            raise
        except BaseException:
            self.part()
            with contextlib.suppress(psycopg.Error, RuntimeError):
                gen.close()
            raise

    def _abandoned(self, *, cancelled: bool = False) -> psycopg.Error:
        """Close the connection, on which an answer may come late; return the error to raise."""
        self.part()
        return given_up(self.deadline_s, cancelled=cancelled)

    async def request_cancel(self, within_s: float) -> None:
        """Ask the server to cancel its statement; wait at most `within_s` for the request."""
        with contextlib.suppress(psycopg.Error, OSError):
            await self.cancel_safe(timeout=within_s)

    async def _run_prepared(self, text: bytes, values: Sequence[bytes | None]) -> PGresult:
        try:
            self.pgconn.send_query_prepared(await self._prepare(text), values)
            return await self._result()
        except errors.InvalidSqlStatementName:
            # As in `DeadlineConnection`: sent again only if it was alone in its transaction.
            if self.pgconn.transaction_status != TransactionStatus.IDLE:
                raise
        self.names.clear()
        self.pgconn.send_query_prepared(await self._prepare(text), values)
        return await self._result()

    def _deallocate(self, name: bytes | None) -> PQGen[None]:
        # After each rollback psycopg deallocates all its prepared statements, including ours.
        if name is None:
            self.names.clear()
        yield from super()._deallocate(name)

    def new_name(self) -> bytes:
        """Return a name for a prepared statement; no name is used twice."""
        self._named += 1
        return b"jobsd_%d" % self._named

    async def _prepare(self, text: bytes) -> bytes:
        name = self.names.get(text)
        if name is None:
            name = self.new_name()
            self.pgconn.send_prepare(name, text)
            await self._result()
            self.names[text] = name
        return name

    async def _result(self) -> PGresult:
        results: list[PGresult] = await self.wait(generators.execute(self.pgconn))
        result = results[-1]
        if result.status not in SUCCESS:
            raise errors.error_from_result(result)
        return result

    async def _ready(self, loop: asyncio.AbstractEventLoop, wanted: int, until: float) -> int:
        """Wait for the socket; return the events that it is ready for, 0 at the deadline."""
        socket = self.pgconn.socket
        ready: asyncio.Future[int] = loop.create_future()
        timer = loop.call_at(until, _settle, ready, 0)
        if wanted & _READ:
            loop.add_reader(socket, _settle, ready, _READ)
        if wanted & _WRITE:
            loop.add_writer(socket, _settle, ready, _WRITE)
        try:
            return await ready
        finally:
            # Before libpq goes on: it may close the socket, whose number others then get.
            timer.cancel()
            loop.remove_reader(socket)
            loop.remove_writer(socket)


async def open_async_connection(target: Target, name: str) -> AsyncDeadlineConnection:
    """Return a new connection of the running loop.

    Raises:
        psycopg.OperationalError: if the server can't be reached in time.
        psycopg.ProgrammingError: if the URL can't be read.
    """
    parameters = connect_parameters(target.url, name)
    connect = _connect_to_several if are_several(parameters) else _connect
    connection = await connect(await names.resolve_async(parameters))
    connection.deadline_s = target.deadline_s
    connection.schema = target.schema
    try:
        pooled = await _is_pooled(connection)
        if works_with_older():
            await _ask_version(connection, target.schema)
    except BaseException:
        connection.part()
        raise
    connection.prepare_threshold = None if pooled else 0
    return connection


async def _connect(parameters: dict[str, Any]) -> AsyncDeadlineConnection:
    return await AsyncDeadlineConnection.connect(**parameters, autocommit=True)


async def _connect_to_several(parameters: dict[str, Any]) -> AsyncDeadlineConnection:
    tried, began = heard(parameters), monotonic()
    try:
        return await _connect(tried)
    except psycopg.OperationalError:
        others = await asyncio.to_thread(awake, parameters)
        if others is None:
            raise
    finally:
        if (took_s := monotonic() - began) >= LONG_S:
            await asyncio.to_thread(note, tried, took_s)
    return await _connect(others)


async def _ask_version(connection: AsyncDeadlineConnection, schema: str) -> None:
    """Find the version of the tables, for which statements are rendered."""
    with contextlib.suppress(*UNKNOWN):
        cursor = await connection.execute(VERSION.render(schema), prepare=False)
        row = await cursor.fetchone()
        if row is not None:
            tables_are_at(schema, row[0], latest_version())


async def _is_pooled(connection: AsyncDeadlineConnection) -> bool:
    """Return whether there is a pooler in between; configure the session if there is none."""
    wanted = settings(connection.deadline_s)
    try:
        return not await _configure(connection, wanted)
    except NOT_HERE:
        del wanted[CLIENT_CHECK]
        return not await _configure(connection, wanted)


async def _configure(connection: AsyncDeadlineConnection, wanted: Mapping[str, str]) -> bool:
    pid = connection.info.backend_pid
    cursor = await connection.execute(setting_query(wanted), (pid,), prepare=False)
    row = await cursor.fetchone()
    return row is not None and row[0] is not None


def _settle(ready: asyncio.Future[int], what: int) -> None:
    if not ready.done():
        ready.set_result(what)
