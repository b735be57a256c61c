"""Jobs behind a Session that has joined a transaction of the Connection it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from jobs.ways import behind
from jobsd.errors import AfterCommitError

if TYPE_CHECKING:
    from jobs.ways import Stored

    Mode = Literal[
        "conditional_savepoint", "rollback_only", "control_fully", "create_savepoint"
    ]

pytestmark = pytest.mark.usefixtures("configured")

EVERY_MODE_THAT_LEAVES_THE_COMMIT = pytest.mark.parametrize(
    "mode", ["conditional_savepoint", "rollback_only", "create_savepoint"]
)


@EVERY_MODE_THAT_LEAVES_THE_COMMIT
def test_the_rollback_of_the_outer_transaction_takes_the_jobs_with_it(
    mode: Mode, engine: sa.Engine, stored: Stored
) -> None:
    with engine.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode=mode) as orm:
            behind(orm, 1)
            orm.commit()
            behind(orm, 2)
            orm.commit()
        outer.rollback()

    assert stored() == []


@EVERY_MODE_THAT_LEAVES_THE_COMMIT
def test_the_commit_of_the_outer_transaction_stores_the_jobs(
    mode: Mode, engine: sa.Engine, stored: Stored
) -> None:
    with engine.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode=mode) as orm:
            orm.execute(sa.text("SELECT 1"))
            behind(orm, 1)
            orm.commit()
        before = stored()
        outer.commit()

    assert (before, stored()) == ([], [1])


def test_a_session_that_rolls_back_within_takes_only_its_own_jobs(
    engine: sa.Engine, stored: Stored
) -> None:
    with engine.begin() as connection:
        behind(connection, 1)
        with Session(connection, join_transaction_mode="create_savepoint") as orm:
            behind(orm, 2)
            orm.rollback()
            behind(orm, 3)
            with orm.begin_nested() as inner:
                behind(orm, 4)
                inner.rollback()
            orm.commit()

    assert stored() == [1, 3]


def test_a_session_that_controls_the_transaction_commits_its_jobs(
    engine: sa.Engine, stored: Stored
) -> None:
    with engine.connect() as connection:
        connection.begin()
        with Session(connection, join_transaction_mode="control_fully") as orm:
            behind(orm, 1)
            orm.commit()

    assert stored() == [1]


def test_a_session_that_has_begun_the_transaction_of_its_connection_commits_its_jobs(
    engine: sa.Engine, stored: Stored
) -> None:
    with engine.connect() as connection, Session(connection) as orm:
        behind(orm, 1)
        orm.rollback()
        behind(orm, 2)
        before = stored()
        orm.commit()

    assert (before, stored()) == ([], [2])


def test_an_outer_transaction_of_another_driver_is_told_with_the_jobs(stored: Stored) -> None:
    with sa.create_engine("sqlite://").connect() as connection:
        connection.begin()
        orm = Session(connection)
        behind(orm, 1)

        with pytest.raises(AfterCommitError, match="joined a transaction") as caught:
            orm.commit()

    assert [drafted.arguments for drafted in caught.value.jobs] == ["[1]"]
    assert (caught.value.known, stored()) == (False, [])


def test_a_connection_of_another_driver_will_do_when_its_transaction_is_the_sessions(
    stored: Stored,
) -> None:
    with sa.create_engine("sqlite://").connect() as connection, Session(connection) as orm:
        orm.execute(sa.text("SELECT 1"))
        behind(orm, 1)
        orm.commit()

    assert stored() == [1]
