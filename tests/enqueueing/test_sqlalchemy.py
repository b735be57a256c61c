"""Jobs within, and behind, the transactions of the real SQLAlchemy."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.rows import dict_row
from sqlalchemy.orm import (
    Session,
    scoped_session,
    sessionmaker,
)

from enqueueing.ways import EITHER_WAY_WITHIN, EVERY_WAY, behind, many_within, within

if TYPE_CHECKING:
    from enqueueing.ways import Put, Stored

pytestmark = pytest.mark.usefixtures("default_client")


@pytest.mark.behaviour(50)
@EVERY_WAY
def test_a_session_commits_its_jobs(put: Put, engine: sa.Engine, stored: Stored) -> None:
    with Session(engine) as orm, orm.begin():
        orm.execute(sa.text("SELECT 1"))
        put(orm, 1)
        before = stored()

    assert (before, stored()) == ([], [1])


@pytest.mark.behaviour(50)
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


@EITHER_WAY_WITHIN
def test_the_first_thing_on_a_connection_is_part_of_its_transaction(
    put: Put, engine: sa.Engine, stored: Stored
) -> None:
    with engine.connect() as connection:
        put(connection, 1)
        connection.rollback()
        put(connection, 2)
        connection.commit()

    assert stored() == [2]


@pytest.mark.behaviour(50)
@EITHER_WAY_WITHIN
def test_a_connection_that_is_closed_without_a_commit_leaves_nothing(
    put: Put, engine: sa.Engine, stored: Stored
) -> None:
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
        put(connection, 1)

    assert stored() == []


@EITHER_WAY_WITHIN
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


@EITHER_WAY_WITHIN
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


def test_a_session_that_has_not_begun_waits_for_the_commit_that_comes(
    engine: sa.Engine, stored: Stored
) -> None:
    with Session(engine) as orm:
        behind(orm, 1)
        orm.rollback()
        behind(orm, 2)
        waits = stored()
        orm.commit()

    assert (waits, stored()) == ([], [2])


def test_a_session_that_begins_nothing_by_itself_stores_at_once(
    engine: sa.Engine, stored: Stored
) -> None:
    with Session(engine, autobegin=False) as orm:
        behind(orm, 1)

    assert stored() == [1]


def test_a_session_with_autocommit_enqueues_at_once(engine: sa.Engine, stored: Stored) -> None:
    with Session(engine.execution_options(isolation_level="AUTOCOMMIT")) as orm:
        behind(orm, 1)
        orm.rollback()

    assert stored() == [1]


def test_a_session_of_any_database_can_be_waited_for(stored: Stored) -> None:
    engine = sa.create_engine("sqlite://")
    with Session(engine) as orm:
        with orm.begin():
            behind(orm, 1)
            before = stored()
        with contextlib.suppress(KeyError), orm.begin():
            behind(orm, 2)
            raise KeyError
    engine.dispose()

    assert (before, stored()) == ([], [1])


@pytest.mark.parametrize("prepares", [True, False])
def test_a_session_of_two_phases_is_waited_for(
    engine: sa.Engine, stored: Stored, *, prepares: bool
) -> None:
    with engine.connect() as connection:
        if connection.scalar(sa.text("SHOW max_prepared_transactions")) == "0":
            pytest.skip("the server has max_prepared_transactions = 0")

    for number, end in enumerate((Session.commit, Session.rollback)):
        with Session(engine, twophase=True) as orm:
            orm.execute(sa.text("SELECT 1"))
            behind(orm, number)
            if prepares:
                orm.prepare()
            before = stored()
            end(orm)
        assert before == ([] if number == 0 else [0])

    assert stored() == [0]


def test_a_flush_is_no_commit(engine: sa.Engine, stored: Stored) -> None:
    with Session(engine) as orm:
        orm.begin()
        behind(orm, 1)
        orm.flush()
        flushed = stored()
        orm.commit()

    assert (flushed, stored()) == ([], [1])


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
