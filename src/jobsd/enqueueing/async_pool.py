"""The connections of each event loop: lent to one coroutine at a time, and kept when idle.

Each loop of each process has a pool of its own, whose connections are made when they are
needed: a connection belongs to the loop that waits for it, and to the process that opened it.
A coroutine may be cancelled at each await: its connection is then closed, unless the answer to
its statement has been read to the end.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import psycopg
from psycopg import errors

from jobsd.clock import monotonic
from jobsd.database.async_connection import AsyncDeadlineConnection, open_async_connection
from jobsd.database.connection import unreachable
from jobsd.database.other_build import UNDEFINED, unlike_tables
from jobsd.errors import DatabaseUnreachableError

from . import client
from .idle import takes_jobs_async

if TYPE_CHECKING:
    from .client import Client

_WAIT_S = 30.0
_IDLE = psycopg.pq.TransactionStatus.IDLE


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
        try:
            async with asyncio.timeout(_WAIT_S):
                await self._permits.acquire()
        except TimeoutError:
            raise DatabaseUnreachableError(
                f"all {self._size_max} connections of this event loop have been in use"
                f" for {_WAIT_S:g} s",
            ) from None
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
            connection.part()
        self._permits.release()

    def close_idle(self) -> None:
        """Close the connections that are idle; others are made when they are needed."""
        while self.idle:
            self.idle.pop().part()

    async def _take(self) -> AsyncDeadlineConnection:
        while self.idle:
            connection = self.idle.pop()
            if not connection.stands():
                connection.part()
            elif monotonic() - connection.idle_since < self._quiet_s or await takes_jobs_async(
                connection
            ):
                return connection
            else:
                # If one idle connection was lost unnoticed, so were the others.
                self.close_idle()
        try:
            return await open_async_connection(self._target, "jobsd client")
        except psycopg.Error as error:
            raise DatabaseUnreachableError(unreachable(self._target.url, error)) from error


@asynccontextmanager
async def connection_of(owner: Client) -> AsyncGenerator[AsyncDeadlineConnection]:
    """Lend a connection of the running loop to the coroutine that enters this."""
    pool = pool_of(owner)
    connection = await pool.lend()
    try:
        yield connection
    except BaseException as error:
        cause = error.__cause__ or error
        if isinstance(cause, client.RECYCLE):
            connection.part()
        if isinstance(cause, errors.ReadOnlySqlTransaction):
            pool.close_idle()
        if isinstance(error, UNDEFINED):
            raise unlike_tables(owner.target.schema, error) from error
        raise
    finally:
        pool.take_back(connection)


_Loops = WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncPool]
_Pools = WeakKeyDictionary["Client", _Loops]
_pools = _Pools()
_pid = os.getpid()
_inherited: list[object] = []


def pool_of(owner: Client) -> AsyncPool:
    """Return the pool of the running loop, made now if there is none."""
    global _pools, _pid  # of each process
    if _pid != os.getpid():
        # Connections of the parent process are never closed and never used here.
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
