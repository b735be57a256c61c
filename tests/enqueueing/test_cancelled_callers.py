"""Coroutines that are cancelled anywhere while they enqueue in a transaction of their own."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from enqueueing.drivers import address
from enqueueing.given import asyncpg
from enqueueing.ways import note

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from enqueueing.ways import Stored
    from jobsd.database.connection import Session, Target

    Begun = Callable[[], AbstractAsyncContextManager[Any]]

pytestmark = pytest.mark.usefixtures("default_client")

FEW = 100
MANY = pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(1200)])


@pytest.fixture
def kept(session: Session) -> Iterator[Callable[[], set[int]]]:
    """A table of the callers' own, and what is in it."""
    session.connection.execute("CREATE TABLE IF NOT EXISTS cancelled_callers (n int)")
    rows = "SELECT n FROM cancelled_callers"
    yield lambda: {row[0] for row in session.connection.execute(rows)}
    session.connection.execute("DROP TABLE cancelled_callers")


@pytest.mark.failure(
    "a coroutine is cancelled anywhere while it enqueues in a transaction of its own",
    "job and data are both committed, or neither, with every asynchronous driver",
)
@pytest.mark.parametrize("points", [FEW, MANY])
@pytest.mark.parametrize(
    "library",
    [
        "psycopg",
        "asyncpg",
        "sqlalchemy psycopg",
        "sqlalchemy asyncpg",
        "AsyncConnection asyncpg",
    ],
)
def test_a_transaction_that_is_cancelled_anywhere_keeps_both_or_neither(
    library: str, points: int, target: Target, stored: Stored, kept: Callable[[], set[int]]
) -> None:
    draw = random.Random(library)  # noqa: S311 - no secret
    reported: list[int] = []

    async def work(begun: Begun, number: int) -> None:
        async with begun() as connection:
            await _insert(connection, number)
            await note.using(connection=connection).aenqueue(number)
        reported.append(number)

    async def run() -> None:
        async with _transactions(library, target.url) as begun:
            await work(begun, -1)
            for number in range(points):
                task = asyncio.create_task(work(begun, number))
                for _ in range(draw.randrange(8)):
                    await asyncio.sleep(0)
                if draw.random() < 0.7:
                    await asyncio.sleep(draw.random() * 0.01)
                if number % 5:
                    task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            # Whatever was cancelled, the next transaction is one like any other.
            await work(begun, points)

    asyncio.run(run())

    counts = Counter(stored())
    assert set(counts.values()) == {1}
    assert counts.keys() == kept()
    assert set(reported) <= counts.keys()
    assert {-1, points} <= set(reported)


async def _insert(connection: Any, number: int) -> None:
    words = f"INSERT INTO cancelled_callers VALUES ({number})"
    is_sqlalchemy = type(connection).__module__.startswith("sqlalchemy")
    await connection.execute(sa.text(words) if is_sqlalchemy else words)


@contextlib.asynccontextmanager
async def _transactions(library: str, url: str) -> AsyncGenerator[Begun]:
    """Give what begins a transaction, on connections that are used again where they live."""
    kind, _, driver = library.rpartition(" ")
    if kind:
        where, arguments = address(driver, url)
        engine = create_async_engine(where, connect_args=arguments, pool_size=2)

        @contextlib.asynccontextmanager
        async def in_session() -> AsyncGenerator[AsyncSession]:
            async with AsyncSession(engine) as opened, opened.begin():
                yield opened

        yield engine.begin if kind == "AsyncConnection" else in_session
        await engine.dispose()
        return

    if driver == "asyncpg":
        where, arguments = address(driver, url)
        parts = {"user": where.username, "password": where.password}
        given = {name: value for name, value in parts.items() if value} | arguments
        async with asyncpg.create_pool(
            database=where.database, min_size=1, max_size=2, **given
        ) as pool:

            @contextlib.asynccontextmanager
            async def lent() -> AsyncGenerator[Any]:
                async with pool.acquire() as connection, connection.transaction():
                    yield connection

            yield lent
        return

    opened: list[psycopg.AsyncConnection[Any]] = []

    @contextlib.asynccontextmanager
    async def in_transaction() -> AsyncGenerator[psycopg.AsyncConnection[Any]]:
        if not opened or opened[-1].closed:
            opened.append(await psycopg.AsyncConnection.connect(url, autocommit=True))
        async with opened[-1].transaction():
            yield opened[-1]

    yield in_transaction
    for each in opened:
        await each.close()
