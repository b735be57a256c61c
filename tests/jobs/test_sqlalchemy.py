"""Jobs within, and behind, the transactions of the real SQLAlchemy."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.rows import dict_row
from sqlalchemy.exc import PendingRollbackError, SQLAlchemyError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    scoped_session,
    sessionmaker,
)

from jobsd.errors import AfterCommitError, EnqueueError, Error
from jobsd.jobs import client
from jobsd.jobs.client import Client, enqueue_many
from jobsd.jobs.definition import job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobsd.database import connection as database
    from jobsd.database.connection import Target

    Put = Callable[[object, int], None]
    Stored = Callable[[], list[object]]


@job
def note(value: int) -> None: ...


def within(connection: object, value: int) -> None:
    note.using(connection=connection).enqueue(value)


def many_within(connection: object, value: int) -> None:
    enqueue_many([note.with_args(value)], connection=connection)


def behind(connection: object, value: int) -> None:
    note.using(after_commit=connection).enqueue(value)


EVERY_WAY = pytest.mark.parametrize("put", [within, many_within, behind])


@pytest.fixture(autouse=True)
def _configured(target: Target) -> Iterator[None]:
    client.configure(client=Client(target))
    yield
    client.configure()


@pytest.fixture
def stored(session: database.Session) -> Stored:
    """The arguments of the jobs that are stored, in their order."""
    query = "SELECT arguments -> 0 FROM jobsd.jobs ORDER BY id"
    return lambda: [row[0] for row in session.connection.execute(query)]


@pytest.fixture
def engine(target: Target) -> Iterator[sa.Engine]:
    made = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(target.url)
    )
    yield made
    made.dispose()


@EVERY_WAY
def test_a_session_commits_its_jobs(put: Put, engine: sa.Engine, stored: Stored) -> None:
    with Session(engine) as orm, orm.begin():
        orm.execute(sa.text("SELECT 1"))
        put(orm, 1)
        before = stored()

    assert (before, stored()) == ([], [1])


@EVERY_WAY
def test_a_session_that_rolls_back_leaves_nothing(
    put: Put, engine: sa.Engine, stored: Stored
) -> None:
    with Session(engine) as orm:
        orm.begin()
        put(orm, 1)
        orm.rollback()
        orm.begin()
        put(orm, 2)

    assert stored() == []


@EVERY_WAY
def test_a_savepoint_of_a_session_takes_its_jobs_with_it(
    put: Put, engine: sa.Engine, stored: Stored
) -> None:
    with Session(engine) as orm, orm.begin():
        put(orm, 1)
        outer = orm.begin_nested()
        with orm.begin_nested():
            put(orm, 2)
        outer.rollback()
        with orm.begin_nested(), orm.begin_nested():
            put(orm, 3)
        put(orm, 4)

    assert sorted(map(str, stored())) == ["1", "3", "4"]


@EVERY_WAY
def test_the_first_thing_on_a_connection_is_part_of_its_transaction(
    put: Put, engine: sa.Engine, stored: Stored
) -> None:
    with engine.connect() as connection:
        if put is behind:
            connection.execute(sa.text("SELECT 1"))
        put(connection, 1)
        connection.rollback()
        if put is behind:
            connection.execute(sa.text("SELECT 1"))
        put(connection, 2)
        connection.commit()

    assert stored() == [2]


@EVERY_WAY
def test_a_connection_that_is_closed_without_a_commit_leaves_nothing(
    put: Put, engine: sa.Engine, stored: Stored
) -> None:
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
        put(connection, 1)

    assert stored() == []


@EVERY_WAY
def test_a_savepoint_of_a_connection_takes_its_jobs_with_it(
    put: Put, engine: sa.Engine, stored: Stored
) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT 1"))
        put(connection, 1)
        inner = connection.begin_nested()
        put(connection, 2)
        inner.rollback()
        with connection.begin_nested():
            put(connection, 3)

    assert stored() == [1, 3]


@EVERY_WAY
@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_any_isolation_will_do(put: Put, level: str, engine: sa.Engine, stored: Stored) -> None:
    with Session(engine.execution_options(isolation_level=level)) as orm, orm.begin():
        orm.execute(sa.text("SELECT 1"))
        put(orm, 1)

    assert stored() == [1]


@EVERY_WAY
def test_in_autocommit_mode_a_job_is_stored_at_once(
    put: Put, engine: sa.Engine, stored: Stored
) -> None:
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    with connection:
        connection.execute(sa.text("SELECT 1"))
        put(connection, 1)

        assert stored() == [1]


@EVERY_WAY
def test_the_session_of_each_thread_will_do(
    put: Put, engine: sa.Engine, stored: Stored
) -> None:
    orm = scoped_session(sessionmaker(engine))
    orm.execute(sa.text("SELECT 1"))
    put(orm, 1)
    orm.commit()
    orm.remove()

    assert stored() == [1]


def test_a_session_in_no_transaction_stores_at_once(engine: sa.Engine, stored: Stored) -> None:
    with Session(engine) as orm:
        behind(orm, 1)

    assert stored() == [1]


def test_a_session_of_any_database_can_be_waited_for(stored: Stored) -> None:
    with Session(sa.create_engine("sqlite://")) as orm:
        with orm.begin():
            behind(orm, 1)
            before = stored()
        with contextlib.suppress(KeyError), orm.begin():
            behind(orm, 2)
            raise KeyError

    assert (before, stored()) == ([], [1])


def test_a_flush_is_no_commit(engine: sa.Engine, stored: Stored) -> None:
    with Session(engine) as orm:
        orm.begin()
        behind(orm, 1)
        orm.flush()
        flushed = stored()
        orm.commit()

    assert (flushed, stored()) == ([], [1])


def test_who_commits_a_session_gets_the_error_and_may_go_on(engine: sa.Engine) -> None:
    with Session(engine) as orm:
        orm.begin()
        behind(orm, 1)
        behind(orm, 2)
        client.configure("postgresql://nobody@127.0.0.1:1/nothing")
        with pytest.raises(AfterCommitError) as caught:
            orm.commit()

        assert len(caught.value.jobs) == 2
        assert orm.scalar(sa.text("SELECT 1")) == 1


def test_who_commits_a_connection_gets_the_error_and_may_go_on(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
        behind(connection, 1)
        client.configure("postgresql://nobody@127.0.0.1:1/nothing")
        with pytest.raises(AfterCommitError):
            connection.commit()
        connection.rollback()

        assert connection.scalar(sa.text("SELECT 1")) == 1


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


@pytest.mark.parametrize("put", [within, behind])
def test_a_connection_whose_transaction_has_failed_refuses_with_the_drivers_error(
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


def test_a_server_that_is_away_is_told_by_the_library_as_the_cause() -> None:
    engine = sa.create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")

    with Session(engine) as orm, pytest.raises(EnqueueError) as caught:
        within(orm, 1)

    assert isinstance(caught.value.__cause__, SQLAlchemyError)


def test_another_driver_is_refused_in_words() -> None:
    with Session(sa.create_engine("sqlite://")) as orm, pytest.raises(Error, match="psycopg 3"):
        within(orm, 1)


@pytest.mark.parametrize("put", [within, behind])
def test_an_engine_is_no_connection(put: Put, engine: sa.Engine) -> None:
    with pytest.raises(Error, match="Engine leads to no psycopg 3 connection"):
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
            for given in (orm, connection, connection.sync_connection):
                with pytest.raises(Error, match="asynchronous"):
                    put(given, 1)
        await engine.dispose()

    asyncio.run(refused())


def test_the_connection_keeps_its_own_ways(engine: sa.Engine, stored: Stored) -> None:
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert isinstance(raw, psycopg.Connection)
        mine = (dict_row, psycopg.ClientCursor, 3)
        raw.row_factory, raw.cursor_factory, raw.prepare_threshold = mine
        within(connection, 1)
        many_within(connection, 2)
        left = (raw.row_factory, raw.cursor_factory, raw.prepare_threshold)
        connection.commit()

    assert (left, stored()) == (mine, [1, 2])
