"""A job that waits for a commit is stored by it, and by nothing else: plain psycopg."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobs.ways import behind, note

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.ways import Stored
    from jobsd.database.connection import Session

    Connection = psycopg.Connection[tuple[Any, ...]]

pytestmark = pytest.mark.usefixtures("configured")


def _commit_by_method(connection: Connection) -> None:
    connection.commit()


def _commit_by_statement(connection: Connection) -> None:
    connection.execute("COMMIT")


def _commit_in_one_string(connection: Connection) -> None:
    connection.execute("SELECT 1; COMMIT; SELECT 2")


def _commit_in_a_pipeline(connection: Connection) -> None:
    with connection.pipeline():
        connection.execute("SELECT 1")
        connection.commit()
        connection.execute("SELECT 2")


def _commit_at_the_end_of_the_block(connection: Connection) -> None:
    with connection:
        pass


@pytest.mark.behaviour(50)
@pytest.mark.parametrize(
    "commit",
    [
        _commit_by_method,
        _commit_by_statement,
        _commit_in_one_string,
        _commit_in_a_pipeline,
        _commit_at_the_end_of_the_block,
    ],
)
def test_a_job_is_stored_by_the_commit(
    commit: Callable[[Connection], None], connection: Connection, stored: Stored
) -> None:
    behind(connection, 1)
    behind(connection, 2)
    before = stored()

    commit(connection)

    assert (before, stored()) == ([], [1, 2])


def _roll_back(connection: Connection) -> None:
    connection.rollback()


def _roll_back_by_statement(connection: Connection) -> None:
    connection.execute("ROLLBACK")


def _close(connection: Connection) -> None:
    connection.close()


def _raise_in_the_block(connection: Connection) -> None:
    with contextlib.suppress(KeyError), connection:
        raise KeyError


@pytest.mark.behaviour(50)
@pytest.mark.parametrize(
    "end", [_roll_back, _roll_back_by_statement, _close, _raise_in_the_block]
)
def test_a_job_whose_transaction_did_not_commit_is_never_stored(
    end: Callable[[Connection], object], connection: Connection, stored: Stored
) -> None:
    behind(connection, 1)

    end(connection)

    assert stored() == []


def test_a_commit_that_the_server_turns_into_a_rollback_stores_nothing(
    connection: Connection, stored: Stored
) -> None:
    behind(connection, 1)
    with pytest.raises(psycopg.errors.DivisionByZero):
        connection.execute("SELECT 1 / 0")

    connection.commit()

    assert stored() == []


def test_a_commit_that_a_constraint_refuses_stores_nothing(
    connection: Connection, stored: Stored
) -> None:
    connection.execute("CREATE TEMP TABLE one (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    connection.execute("INSERT INTO one VALUES (1), (1)")
    behind(connection, 1)

    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.commit()

    assert stored() == []


def test_a_savepoint_that_is_rolled_back_takes_its_jobs_with_it(
    connection: Connection, stored: Stored
) -> None:
    behind(connection, 1)
    with connection.transaction(force_rollback=True):
        behind(connection, 2)
        with connection.transaction():
            behind(connection, 3)
    with connection.transaction():
        behind(connection, 4)
    connection.execute("SAVEPOINT mine")
    behind(connection, 5)
    connection.execute("ROLLBACK TO mine")
    behind(connection, 6)

    connection.commit()

    assert stored() == [1, 4, 6]


@pytest.mark.parametrize("autocommit", [True, False])
def test_a_block_that_commits_stores_its_jobs(
    autocommit: bool,  # noqa: FBT001 - a parameter
    connection: Connection,
    stored: Stored,
) -> None:
    connection.rollback()
    connection.autocommit = autocommit

    with connection.transaction():
        behind(connection, 1)
        within = stored()
    with contextlib.suppress(KeyError), connection.transaction():
        behind(connection, 2)
        raise KeyError

    assert (within, stored()) == ([], [1])


def test_a_block_in_a_pipeline_stores_its_jobs(connection: Connection, stored: Stored) -> None:
    connection.rollback()

    with connection.pipeline(), connection.transaction():
        behind(connection, 1)
        connection.execute("SELECT 1")

    assert stored() == [1]


def test_where_each_statement_commits_a_job_is_stored_at_once(
    connection: Connection, stored: Stored
) -> None:
    connection.rollback()
    connection.autocommit = True

    done = note.using(after_commit=connection).enqueue(1)

    assert (done.state, stored()) == ("ready", [1])


def test_before_its_first_statement_the_transaction_that_it_begins_is_meant(
    connection: Connection, stored: Stored
) -> None:
    connection.rollback()
    behind(connection, 1)
    connection.rollback()
    behind(connection, 2)
    waits = stored()
    connection.commit()

    assert (waits, stored()) == ([], [2])


def test_a_pending_job_learns_its_id_when_it_is_stored(
    connection: Connection, session: Session
) -> None:
    waiting = note.using(after_commit=connection).enqueue(1)
    before = (waiting.id, waiting.state)

    connection.commit()

    row = session.connection.execute("SELECT id FROM jobsd.jobs").fetchone()
    assert (before, row) == ((None, "pending"), (waiting.id,))
    assert waiting.state == "ready"


def test_one_transaction_after_the_other_is_watched_and_then_none(
    connection: Connection, stored: Stored
) -> None:
    for value in (1, 2):
        behind(connection, value)
        connection.commit()
        connection.execute("SELECT 1")
        behind(connection, -value)
        connection.rollback()
        connection.execute("SELECT 1")

    assert stored() == [1, 2]
    assert "wait" not in vars(connection)


def test_a_chain_of_transactions_in_one_string_is_told_apart(
    connection: Connection, stored: Stored
) -> None:
    behind(connection, 1)
    connection.execute("COMMIT; BEGIN")
    behind(connection, 2)
    connection.execute("SAVEPOINT a")
    behind(connection, 3)

    connection.rollback()

    assert stored() == [1]
