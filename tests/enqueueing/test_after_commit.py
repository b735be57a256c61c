"""What tells how its transaction ends can be waited for, and nothing else can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy.orm import Session

from enqueueing.ways import attributes_of, behind, note
from jobsd.errors import Error

if TYPE_CHECKING:
    import sqlalchemy as sa

    from enqueueing.ways import Stored
    from jobsd.database.connection import Target

    Connection = psycopg.Connection[tuple[Any, ...]]

pytestmark = pytest.mark.usefixtures("default_client")

INSTEAD = r"call enqueue behind the `with` block that commits, or give it as connection="


def test_a_psycopg_connection_is_refused_with_what_to_do_instead(
    connection: Connection, stored: Stored
) -> None:
    before = attributes_of(connection)

    with pytest.raises(Error, match=INSTEAD):
        behind(connection, 1)
    connection.commit()

    assert (attributes_of(connection), stored()) == (before, [])


def test_a_connection_of_sqlalchemy_is_refused_with_what_to_do_instead(
    engine: sa.Engine, stored: Stored
) -> None:
    with engine.begin() as connection, pytest.raises(Error, match=INSTEAD):
        behind(connection, 1)

    assert stored() == []


@pytest.mark.parametrize("mode", ["create_savepoint", "control_fully"])
def test_a_session_upon_a_connection_is_refused_with_what_to_do_instead(
    mode: Any, engine: sa.Engine, stored: Stored
) -> None:
    with engine.connect() as connection:
        outer = connection.begin()
        with (
            Session(connection, join_transaction_mode=mode) as orm,
            pytest.raises(Error, match=INSTEAD),
        ):
            behind(orm, 1)
        outer.commit()

    assert stored() == []


def test_an_enqueue_after_the_block_is_stored(connection: Connection, stored: Stored) -> None:
    with connection.transaction():
        connection.execute("SELECT 1")
    note.enqueue(1)

    assert stored() == [1]


@pytest.mark.parametrize("given", [object(), 7, psycopg.Connection])
def test_an_object_that_is_no_connection_is_refused_in_words(given: object) -> None:
    taken = "after_commit takes a SQLAlchemy Session or AsyncSession bound to"
    with pytest.raises(Error, match=taken):
        behind(given, 1)


def test_after_commit_and_connection_exclude_each_other(engine: sa.Engine) -> None:
    with Session(engine) as orm:
        both = note.using(after_commit=orm, connection=orm)

        with pytest.raises(Error, match="not both"):
            both.enqueue(1)


def test_a_connection_is_for_all_jobs_of_a_bulk(engine: sa.Engine) -> None:
    with (
        Session(engine) as orm,
        pytest.raises(Error, match="give the connection to enqueue_many"),
    ):
        note.using(after_commit=orm).with_args(1)


def test_nothing_of_a_session_is_replaced(engine: sa.Engine, target: Target) -> None:
    del target
    with Session(engine) as orm:
        orm.begin()
        before = set(attributes_of(orm))
        raw = orm.connection().connection.driver_connection
        assert raw is not None
        raw_before = attributes_of(raw)
        behind(orm, 1)
        new = set(attributes_of(orm)) - before
        raw_after = attributes_of(raw)
        orm.commit()

    assert (new <= {"dispatch", "_info", "info"}, raw_after) == (True, raw_before)
