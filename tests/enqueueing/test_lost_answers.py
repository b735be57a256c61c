"""An answer that is lost on the caller's connection: what is known of its job."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from enqueueing.cut_off import cut_off_once_it_waits
from enqueueing.drivers import address
from enqueueing.given import asyncpg, psycopg2
from enqueueing.ways import note, within
from jobsd import enqueue_many
from jobsd.errors import EnqueueError

if TYPE_CHECKING:
    from collections.abc import Generator

    from jobsd.database.connection import Session, Target

pytestmark = [
    pytest.mark.usefixtures("default_client"),
    pytest.mark.failure(
        "the connection of an enqueue is lost, and it is the caller's",
        "within a transaction nothing is stored; where each statement commits by itself,"
        " `EnqueueError` says that nobody knows",
    ),
]

LIBRARIES = ["psycopg", "psycopg2", "sqlalchemy"]


@contextlib.contextmanager
def _opened(library: str, url: str, *, autocommit: bool) -> Generator[tuple[Any, Any]]:
    """Open a connection; yield it, and what the driver has of it."""
    if library == "sqlalchemy":
        where, arguments = address("psycopg", url)
        engine = sa.create_engine(where, connect_args=arguments, poolclass=NullPool)
        level = {"isolation_level": "AUTOCOMMIT"} if autocommit else {}
        with engine.execution_options(**level).connect() as connection:
            yield connection, connection.connection.driver_connection
            connection.invalidate()
        return
    opened: Any = (psycopg if library == "psycopg" else psycopg2).connect(url)
    opened.autocommit = autocommit
    with contextlib.closing(opened):
        yield opened, opened


@pytest.mark.parametrize("autocommit", [True, False])
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_job_is_unknown_where_statements_commit_themselves(
    library: str, target: Target, session: Session, *, autocommit: bool
) -> None:
    with _opened(library, target.url, autocommit=autocommit) as (connection, raw):
        with (
            session.connection.transaction(),
            cut_off_once_it_waits(session, raw.info.backend_pid, raw.fileno()),
            pytest.raises(EnqueueError) as caught,
        ):
            within(connection, 1)

        assert caught.value.known != autocommit
        assert str(caught.value).startswith("it is not known") == autocommit
        # Now nothing is sent any more.
        with pytest.raises(EnqueueError) as again:
            within(connection, 2)
        assert again.value.known


def test_a_transaction_within_autocommit_is_one(target: Target, session: Session) -> None:
    with psycopg.connect(target.url, autocommit=True) as mine:
        pid, socket_number = mine.info.backend_pid, mine.fileno()
        with (
            session.connection.transaction(),
            cut_off_once_it_waits(session, pid, socket_number),
            contextlib.suppress(psycopg.OperationalError),
            mine.transaction(),
        ):
            with pytest.raises(EnqueueError) as caught:
                within(mine, 1)
            assert caught.value.known


def test_a_job_of_an_asynchronous_connection_is_unknown_too(
    target: Target, session: Session
) -> None:
    async def run() -> None:
        where, arguments = address("asyncpg", target.url)
        account = {"user": where.username, "password": where.password}
        mine = await asyncpg.connect(**arguments, **account, database=where.database)
        socket = mine._transport.get_extra_info("socket")
        pid = mine.get_server_pid()
        with (
            session.connection.transaction(),
            cut_off_once_it_waits(session, pid, socket.fileno()),
            pytest.raises(EnqueueError) as caught,
        ):
            await note.using(connection=mine).aenqueue(1)
        assert not caught.value.known

    asyncio.run(run())


def test_a_bulk_commits_at_its_end_only(target: Target, session: Session) -> None:
    with psycopg.connect(target.url, autocommit=True) as mine:
        pid, socket_number = mine.info.backend_pid, mine.fileno()
        with (
            session.connection.transaction(),
            cut_off_once_it_waits(session, pid, socket_number),
            pytest.raises(EnqueueError) as caught,
        ):
            enqueue_many([note.with_args(1), note.with_args(2)], connection=mine)

        assert caught.value.known
