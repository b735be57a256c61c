"""Connections and sessions of every library, as callers have them, to one database."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa
from psycopg import conninfo
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from enqueueing.drivers import address

# Not typed: asyncpg, pg8000, psycopg2.
asyncpg: Any = import_module("asyncpg")
pg8000: Any = import_module("pg8000.dbapi")
pg8000_native: Any = import_module("pg8000.native")
psycopg2: Any = import_module("psycopg2")
import_module("psycopg2.extras")

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator


@dataclass
class Given:
    """What a caller gives, and how its transaction is ended (an `await` where it is one)."""

    connection: Any
    commit: Any
    rollback: Any


@contextlib.contextmanager
def given(library: str, url: str) -> Generator[Given]:
    """Open a connection of a library that waits."""
    if library.startswith("sqlalchemy"):
        where, arguments = address(library.rpartition(" ")[2], url)
        engine = sa.create_engine(where, connect_args=arguments, poolclass=NullPool)
        opened: Any = Session(engine) if "session" in library else engine.connect()
        with opened:
            yield Given(opened, opened.commit, opened.rollback)
        return
    if library == "pg8000.native":
        native: Any = pg8000_native.Connection(**_pg8000(url))
        native.run("START TRANSACTION")
        with contextlib.closing(native):
            yield Given(native, partial(native.run, "COMMIT"), partial(native.run, "ROLLBACK"))
        return
    opens: dict[str, Callable[[], Any]] = {
        "psycopg": lambda: psycopg.connect(url),
        "psycopg2": lambda: psycopg2.connect(url),
        "pg8000": lambda: pg8000.connect(**_pg8000(url)),
    }
    with contextlib.closing(opens[library]()) as plain:
        yield Given(plain, plain.commit, plain.rollback)


@contextlib.asynccontextmanager
async def async_given(library: str, url: str) -> AsyncGenerator[Given]:
    """Open a connection of a library that awaits."""
    if library.startswith("sqlalchemy"):
        where, arguments = address(library.rpartition(" ")[2], url)
        engine = create_async_engine(where, connect_args=arguments, poolclass=NullPool)
        async with AsyncSession(engine) if "session" in library else engine.connect() as opened:
            yield Given(opened, opened.commit, opened.rollback)
        await engine.dispose()
    elif library == "asyncpg":
        raw: Any = await asyncpg.connect(**_asyncpg(url))
        transaction = raw.transaction()
        await transaction.start()
        yield Given(raw, transaction.commit, transaction.rollback)
        await raw.close()
    else:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            yield Given(connection, connection.commit, connection.rollback)


WAITING = [
    "psycopg",
    "psycopg2",
    "pg8000",
    "pg8000.native",
    "sqlalchemy session psycopg",
    "sqlalchemy session psycopg2",
    "sqlalchemy connection pg8000",
]
AWAITING = [
    "psycopg",
    "asyncpg",
    "sqlalchemy session asyncpg",
    "sqlalchemy connection asyncpg",
    "sqlalchemy session psycopg",
]


def _pg8000(url: str) -> dict[str, Any]:
    parts = conninfo.conninfo_to_dict(url)
    where, arguments = address("pg8000", url)
    user = parts.get("user") or "root"
    return {"user": user, "password": where.password, "database": where.database, **arguments}


def _asyncpg(url: str) -> dict[str, Any]:
    where, arguments = address("asyncpg", url)
    parts = {"user": where.username, "password": where.password, "database": where.database}
    return {name: value for name, value in parts.items() if value} | arguments
