"""Sessions of SQLAlchemy over every driver of PostgreSQL that programs use."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from psycopg import conninfo
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Target

    Work = Callable[[Session], None]

ANY_DRIVER = pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pg8000", "asyncpg"])


def in_session(driver: str, target: Target, work: Work, **options: Any) -> None:
    """Do `work` with a Session over this driver; it begins and commits by itself.

    Over asyncpg it is the Session below an AsyncSession, as `run_sync` gives it.
    """
    url, arguments = address(driver, target.url)
    if driver != "asyncpg":
        engine = sa.create_engine(url, connect_args=arguments, pool_size=1, max_overflow=0)
        with Session(engine, **options) as session:
            work(session)
        engine.dispose()
        return

    async def run() -> None:
        engine = create_async_engine(url, connect_args=arguments, poolclass=NullPool)
        async with AsyncSession(engine, **options) as session:
            await session.run_sync(work)
        await engine.dispose()

    asyncio.run(run())


def address(driver: str, url: str) -> tuple[sa.URL, dict[str, Any]]:
    """Return what SQLAlchemy needs to reach a database over this driver."""
    parts = conninfo.conninfo_to_dict(url)
    host, port = str(parts.get("host") or "127.0.0.1"), int(parts.get("port") or 5432)
    user, password = str(parts.get("user") or ""), str(parts.get("password") or "")
    database = str(parts["dbname"])
    arguments: dict[str, Any] = {"host": host, "port": port}
    if driver == "pg8000" and host.startswith("/"):
        arguments = {"unix_sock": f"{host}/.s.PGSQL.{port}"}
    made = sa.URL.create(f"postgresql+{driver}", user or None, password or None)
    return made.set(database=database), arguments
