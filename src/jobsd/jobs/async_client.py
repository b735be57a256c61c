"""The connections of a program that enqueues from an event loop.

Each loop of each process has a pool of its own, whose connections are made when they are
needed: a connection belongs to the loop that waits for it, and to the process that opened it.
A coroutine may be cancelled wherever it awaits: what it was lent is then closed, unless the
answer to its statement has been read to the end.
"""

from __future__ import annotations

import asyncio
import os
import select
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg import errors

from jobsd.clock import monotonic
from jobsd.database.async_connection import AsyncDeadlineConnection, open_async_connection
from jobsd.database.connection import unreachable
from jobsd.errors import DatabaseUnreachableError, EnqueueError, SchemaError

from . import client, stand_in, submission
from .async_drivers import AsyncPsycopgDriver, async_driver_of, take
from .bulk import Bulk
from .connections import (
    PlainAsyncCursor,
    has_to_begin,
    is_asynchronous_sqlalchemy,
    run_sync,
)
from .enqueue import met_a_replacement, refusal, refused, reported, request, steps_within
from .finding import NOT_GIVEN
from .idle import ANSWER_S, READ_ONLY
from .steps import within_savepoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .bulk import EnqueuedJobs
    from .client import Client
    from .draft import Draft
    from .enqueue import EnqueuedJob

_WAIT_S = 30.0
_IDLE = psycopg.pq.TransactionStatus.IDLE


async def store(drafted: Draft, connection: object = NOT_GIVEN) -> EnqueuedJob:
    """Store one job: committed when this returns, or as part of `connection`'s transaction."""
    if stand_in.active is not None:
        return stand_in.active.enqueue(drafted)
    if connection is NOT_GIVEN:
        async with Loan(client.default_client()) as mine:
            return reported(drafted, await _store_alone(mine, drafted))
    if is_asynchronous_sqlalchemy(connection):
        within: EnqueuedJob = await run_sync(
            connection, lambda inner: client.enqueue(drafted, inner, surrounded=False)
        )
        return within
    schema = client.schema_of_tables()
    driver = async_driver_of(connection, schema)
    with refused():
        return await take(steps_within(drafted, schema), driver)


async def _store_alone(mine: AsyncDeadlineConnection, job: Draft) -> Sequence[Any]:
    try:
        return await _store_once(mine, job)
    except EnqueueError as error:
        if not met_a_replacement(error):
            raise
        return await _store_once(mine, job)


async def _store_once(mine: AsyncDeadlineConnection, job: Draft) -> Sequence[Any]:
    schema = client.schema_of_tables()
    statement, parameters = request(job, always=False)
    refused_by_tables: Exception | None = None
    try:
        if not submission.is_known(schema):
            try:
                (row,) = await mine.fetch_prepared(statement, parameters)
            except errors.InsufficientPrivilege as error:
                refused_by_tables = error
            else:
                return row
        try:
            (row,) = await mine.fetch_prepared(*submission.request([parameters]))
        except errors.InsufficientPrivilege:
            if refused_by_tables is None:
                raise
            raise refused_by_tables from None
    except (psycopg.Error, UnicodeEncodeError) as error:
        raise refusal(error, doubtful=True) from error
    submission.know(schema)
    return row


async def store_many(jobs: Iterable[Draft], connection: object = NOT_GIVEN) -> EnqueuedJobs:
    """Store many jobs, all or none: committed, or as part of `connection`'s transaction."""
    if stand_in.active is not None:
        return stand_in.active.enqueue_many(jobs)
    if connection is NOT_GIVEN:
        async with Loan(client.default_client()) as mine:
            return await _enqueue_all(mine, client.schema_of_tables(), jobs, owned=True)
    if is_asynchronous_sqlalchemy(connection):
        within: EnqueuedJobs = await run_sync(
            connection, lambda inner: client.store_many(jobs, inner)
        )
        return within
    driver = async_driver_of(connection, client.schema_of_tables())
    if isinstance(driver, AsyncPsycopgDriver):
        raw = driver.connection
        with refused():
            if has_to_begin(raw):
                await PlainAsyncCursor(raw).execute("SELECT")
        return await _enqueue_all(raw, client.schema_of_tables(), jobs, owned=False)
    bulk = Bulk(iter(jobs), client.schema_of_tables(), owned=False)
    with refused():
        await take(within_savepoint(bulk.steps(copies=False)), driver)
    return bulk.report()


async def _enqueue_all(
    connection: psycopg.AsyncConnection[Any],
    schema: str,
    jobs: Iterable[Draft],
    *,
    owned: bool,
) -> EnqueuedJobs:
    bulk = Bulk(iter(jobs), schema, owned=owned)
    commits = False
    try:
        async with connection.transaction():
            await take(bulk.steps(), AsyncPsycopgDriver(connection, schema))
            commits = owned
    except (psycopg.Error, OverflowError, UnicodeEncodeError) as error:
        raise refusal(error, doubtful=commits) from error
    return bulk.report()


class AsyncPool:
    """The connections of one loop to one target."""

    def __init__(self, owner: Client) -> None:
        self._target = owner.target
        self._size_max = owner.size_max
        self._quiet_s = owner.quiet_s
        self.idle: list[AsyncDeadlineConnection] = []
        self._permits = asyncio.Semaphore(owner.size_max)

    async def lend(self) -> AsyncDeadlineConnection:
        """Return a connection that no other coroutine has.

        Raises:
            DatabaseUnreachableError: when there is none yet and none can be made, or when
                all have been lent for half a minute.
        """
        if self._permits.locked():
            try:
                async with asyncio.timeout(_WAIT_S):
                    await self._permits.acquire()
            except TimeoutError:
                raise DatabaseUnreachableError(
                    f"all {self._size_max} connections of this event loop have been in use"
                    f" for {_WAIT_S:g} s",
                ) from None
        else:
            await self._permits.acquire()
        try:
            return await self._take()
        except BaseException:
            self._permits.release()
            raise

    def take_back(self, connection: AsyncDeadlineConnection) -> None:
        """Take a connection back, and keep it if it is idle."""
        if connection.pgconn.transaction_status == _IDLE:
            connection.idle_since = monotonic()
            self.idle.append(connection)
        else:
            connection.pgconn.finish()
        self._permits.release()

    def close_idle(self) -> None:
        """Close the connections that are idle; others are made when they are needed."""
        while self.idle:
            self.idle.pop().pgconn.finish()

    def _is_quiet(self, connection: AsyncDeadlineConnection) -> bool:
        return monotonic() - connection.idle_since >= self._quiet_s

    async def _take(self) -> AsyncDeadlineConnection:
        while self.idle:
            connection = self.idle.pop()
            if not _stands(connection):
                connection.pgconn.finish()
            elif monotonic() - connection.idle_since < self._quiet_s or await _takes_jobs(
                connection
            ):
                return connection
            else:
                # What has befallen one in silence has befallen all that were idle beside it.
                self.close_idle()
        try:
            return await open_async_connection(self._target, "jobsd client")
        except psycopg.Error as error:
            raise DatabaseUnreachableError(unreachable(self._target.url, error)) from error


class Loan:
    """A connection that is lent to the coroutine that enters this."""

    __slots__ = ("_connection", "_pool", "_schema")

    def __init__(self, owner: Client) -> None:
        self._pool = pool_of(owner)
        self._schema = owner.target.schema

    async def __aenter__(self) -> AsyncDeadlineConnection:
        self._connection = await self._pool.lend()
        return self._connection

    async def __aexit__(
        self, _kind: object, error: BaseException | None, _trace: object
    ) -> None:
        cause = error.__cause__ or error if error is not None else None
        if isinstance(cause, client.RECYCLE):
            self._connection.pgconn.finish()
        if isinstance(cause, errors.ReadOnlySqlTransaction):
            self._pool.close_idle()
        self._pool.take_back(self._connection)
        if isinstance(error, errors.UndefinedTable | errors.InvalidSchemaName):
            words = f"the tables in schema {self._schema!r} are missing: run `db migrate`"
            raise SchemaError(words) from error


_Loops = WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncPool]
_Pools = WeakKeyDictionary["Client", _Loops]
_pools = _Pools()
_pid = os.getpid()
_inherited: list[object] = []


def pool_of(owner: Client) -> AsyncPool:
    """Return the pool of the running loop, made now if there is none."""
    global _pools, _pid  # of each process
    if _pid != os.getpid():
        # What the parent has opened is never closed and never used here.
        _inherited.append(_pools)
        _pools, _pid = _Pools(), os.getpid()
    loops = _pools.get(owner)
    if loops is None:
        loops = _pools[owner] = _Loops()
    loop = asyncio.get_running_loop()
    pool = loops.get(loop)
    if pool is None:
        # Loops that have ended have left theirs open.
        for ended in [each for each in loops if each.is_closed()]:
            loops.pop(ended).close_idle()
        pool = loops[loop] = AsyncPool(owner)
    return pool


def _stands(connection: AsyncDeadlineConnection) -> bool:
    """Return whether an idle connection still stands, without asking the server."""
    if connection.closed:
        return False
    poller = select.poll()
    poller.register(connection.pgconn.socket, select.POLLIN)
    return not poller.poll(0)


async def _takes_jobs(connection: AsyncDeadlineConnection) -> bool:
    """Ask the server whether the connection leads to one that takes jobs: one round trip."""
    usual = connection.deadline_s
    connection.deadline_s = min(ANSWER_S, usual)
    try:
        ((read_only,),) = await connection.fetch_prepared(READ_ONLY, {})
    except psycopg.Error:
        connection.pgconn.finish()
        return False
    finally:
        connection.deadline_s = usual
    if read_only:
        connection.pgconn.finish()
    return not read_only
