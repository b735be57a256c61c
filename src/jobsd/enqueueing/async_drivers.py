"""Sends our statements through a caller's asynchronous connection, whatever its driver is."""

from collections.abc import Iterator
from typing import Any, Protocol, TypeVar, cast

import psycopg

from jobsd.database.statements import Statement
from jobsd.errors import Error

from .connections import PlainAsyncCursor, is_asyncpg, name_of, require_one
from .drivers import ForeignDriver, Parameters, Rows
from .steps import Ask, Copy, Steps

T = TypeVar("T")

_WANTED = (
    "give an AsyncConnection of psycopg, a connection of asyncpg, or an AsyncSession or"
    " AsyncConnection of SQLAlchemy"
)


class AsyncDriver(Protocol):
    """A caller's asynchronous connection, as the statements of an enqueue need it."""

    async def fetch(self, statement: Statement, parameters: Parameters) -> Rows:
        """Run one statement and return its rows."""
        ...


def async_driver_of(given: object, schema: str) -> AsyncDriver:
    """Return what sends statements through an asynchronous connection of a driver.

    Raises:
        Error: when it is none.
    """
    require_one(given)
    if isinstance(given, psycopg.AsyncConnection):
        return AsyncPsycopgDriver(given, schema)  # pyright: ignore[reportUnknownArgumentType]
    if is_asyncpg(given):
        return AsyncpgDriver(given, schema)
    raise Error(
        f"{name_of(given)} is not an asynchronous connection to PostgreSQL: {_WANTED}, or call"
        " enqueue, which waits for it"
    )


async def take(steps: Steps[T], driver: AsyncDriver) -> T:
    """Take all steps through a connection, as `steps.take` does."""
    try:
        step = next(steps)
        while True:
            try:
                rows = await _do(step, driver)
            except BaseException as error:  # noqa: BLE001 - the generator's to decide about
                step = steps.throw(error)
            else:
                step = steps.send(rows)
    except StopIteration as stop:
        done: T = stop.value
        return done


async def _do(step: Ask | Copy, driver: AsyncDriver) -> Rows:
    if isinstance(step, Ask):
        return await driver.fetch(step.statement, step.parameters)
    await cast("AsyncPsycopgDriver", driver).copy(step.statement, step.pieces)
    return ()


class AsyncPsycopgDriver:
    """Psycopg 3: rows, parameters and types as on our own connections."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], schema: str) -> None:
        self.connection = connection
        self.schema = schema

    async def fetch(self, statement: Statement, parameters: Parameters) -> Rows:
        """Run one statement and return its rows."""
        given = parameters if statement.has_placeholders else None
        cursor = PlainAsyncCursor(self.connection)
        return await (await cursor.execute(statement.render(self.schema), given)).fetchall()

    async def copy(self, statement: Statement, lines: Iterator[str]) -> None:
        """Run a COPY of these lines."""
        async with PlainAsyncCursor(self.connection).copy(
            statement.render(self.schema)
        ) as copy:
            for line in lines:
                await copy.write(line)


class AsyncpgDriver(ForeignDriver):
    """The driver asyncpg, which runs its statements prepared."""

    def __init__(self, connection: Any, schema: str) -> None:  # noqa: ANN401
        super().__init__(connection, schema, "numeric_dollar")

    async def fetch(self, statement: Statement, parameters: Parameters) -> Rows:
        """Run one statement and return its rows."""
        text, values = self.prepare(statement, parameters)
        rows = await self.connection.fetch(text, *values)
        return [tuple(row) for row in rows]
