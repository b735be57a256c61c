"""What goes wrong between SQLAlchemy and the queue is one typed error."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import PendingRollbackError, SQLAlchemyError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
)

from enqueueing.ways import EITHER_WAY_WITHIN, behind, within
from jobsd.enqueueing import client
from jobsd.errors import AfterCommitError, EnqueueError, Error

if TYPE_CHECKING:
    from enqueueing.ways import Put
    from jobsd.database.connection import Target

pytestmark = pytest.mark.usefixtures("default_client")


def test_a_commit_of_a_session_raises_the_error_and_the_session_stays_usable(
    engine: sa.Engine,
) -> None:
    with Session(engine) as orm:
        orm.begin()
        behind(orm, 1)
        behind(orm, 2)
        client.configure("postgresql://nobody@127.0.0.1:1/nothing")
        with pytest.raises(AfterCommitError) as caught:
            orm.commit()

        assert len(caught.value.jobs) == 2
        assert orm.scalar(sa.text("SELECT 1")) == 1


def test_a_session_that_has_failed_refuses_with_its_own_error(engine: sa.Engine) -> None:
    with Session(engine) as orm:
        orm.begin()
        orm.connection().exec_driver_sql("CREATE TEMP TABLE one (id int PRIMARY KEY)")
        _break(orm)

        with pytest.raises(EnqueueError) as caught:
            within(orm, 1)

    assert isinstance(caught.value.__cause__, PendingRollbackError)


class _Base(DeclarativeBase):
    pass


class _One(_Base):
    __tablename__ = "one"
    id: Mapped[int] = mapped_column(primary_key=True)


def _break(orm: Session) -> None:
    orm.add(_One(id=1))
    orm.flush()
    orm.expunge_all()
    orm.add(_One(id=1))
    with pytest.raises(SQLAlchemyError):
        orm.flush()


@EITHER_WAY_WITHIN
def test_a_connection_with_a_failed_transaction_refuses_with_the_drivers_error(
    put: Put, engine: sa.Engine
) -> None:
    with engine.connect() as connection:
        with pytest.raises(SQLAlchemyError):
            connection.execute(sa.text("SELECT 1 / 0"))

        with pytest.raises(EnqueueError) as caught:
            put(connection, 1)

    assert isinstance(caught.value.__cause__, psycopg.errors.InFailedSqlTransaction)


def test_a_closed_connection_refuses_with_its_own_error(engine: sa.Engine) -> None:
    connection = engine.connect()
    connection.close()

    with pytest.raises(EnqueueError, match="This Connection is closed") as caught:
        within(connection, 1)

    assert isinstance(caught.value.__cause__, SQLAlchemyError)


def test_a_server_that_is_away_is_reported_by_the_library_as_the_cause() -> None:
    engine = sa.create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")

    with Session(engine) as orm, pytest.raises(EnqueueError) as caught:
        within(orm, 1)

    assert isinstance(caught.value.__cause__, SQLAlchemyError)


def test_another_driver_is_refused_in_words() -> None:
    engine = sa.create_engine("sqlite://")
    with (
        Session(engine) as orm,
        pytest.raises(Error, match="leads to no connection to PostgreSQL"),
    ):
        within(orm, 1)
    engine.dispose()


@EITHER_WAY_WITHIN
def test_an_engine_is_no_connection(put: Put, engine: sa.Engine) -> None:
    with pytest.raises(Error, match="Engine leads to no connection to PostgreSQL"):
        put(engine, 1)


@pytest.mark.parametrize("put", [within, behind])
def test_an_asynchronous_session_is_refused_in_words(put: Put, target: Target) -> None:
    pytest.importorskip("greenlet", reason="SQLAlchemy's asyncio part needs greenlet")
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    async def refused() -> None:
        engine = create_async_engine(
            "postgresql+psycopg://",
            async_creator=lambda: psycopg.AsyncConnection.connect(target.url),
        )
        async with AsyncSession(engine) as orm, engine.connect() as connection:
            for given in (orm, connection):
                with pytest.raises(Error, match="asynchronous"):
                    put(given, 1)
            with pytest.raises(Error):
                put(connection.sync_connection, 1)
        await engine.dispose()

    asyncio.run(refused())
