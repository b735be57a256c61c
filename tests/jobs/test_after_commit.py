"""A job that waits for a commit is stored by it, and by nothing else: plain psycopg."""

from __future__ import annotations

import contextlib
import gc
import weakref
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.errors import AfterCommitError, DatabaseUnreachableError, EnqueueError, Error
from jobsd.jobs import client
from jobsd.jobs.client import Client
from jobsd.jobs.definition import job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobsd.database.connection import Session, Target

    Connection = psycopg.Connection[tuple[Any, ...]]
    Stored = Callable[[], list[object]]


@job
def note(value: int) -> None: ...


def later(connection: Connection, value: int) -> None:
    note.using(after_commit=connection).enqueue(value)


@pytest.fixture(autouse=True)
def _configured(target: Target) -> Iterator[None]:
    client.configure(client=Client(target))
    yield
    client.configure()


@pytest.fixture
def connection(server_url: str) -> Iterator[Connection]:
    """A connection to another database than the queue's, in a transaction."""
    with psycopg.connect(server_url) as opened:
        opened.execute("SELECT 1")
        yield opened


@pytest.fixture
def stored(session: Session) -> Stored:
    """The arguments of the jobs that are stored, in their order."""
    return lambda: [
        row[0]
        for row in session.connection.execute(
            "SELECT arguments -> 0 FROM jobsd.jobs ORDER BY id"
        )
    ]


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
    later(connection, 1)
    later(connection, 2)
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


@pytest.mark.parametrize(
    "end", [_roll_back, _roll_back_by_statement, _close, _raise_in_the_block]
)
def test_a_job_whose_transaction_did_not_commit_is_never_stored(
    end: Callable[[Connection], object], connection: Connection, stored: Stored
) -> None:
    later(connection, 1)

    end(connection)

    assert stored() == []


def test_a_commit_that_the_server_turns_into_a_rollback_stores_nothing(
    connection: Connection, stored: Stored
) -> None:
    later(connection, 1)
    with pytest.raises(psycopg.errors.DivisionByZero):
        connection.execute("SELECT 1 / 0")

    connection.commit()

    assert stored() == []


def test_a_commit_that_a_constraint_refuses_stores_nothing(
    connection: Connection, stored: Stored
) -> None:
    connection.execute("CREATE TEMP TABLE one (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    connection.execute("INSERT INTO one VALUES (1), (1)")
    later(connection, 1)

    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.commit()

    assert stored() == []


def test_a_savepoint_that_is_rolled_back_takes_its_jobs_with_it(
    connection: Connection, stored: Stored
) -> None:
    later(connection, 1)
    with connection.transaction(force_rollback=True):
        later(connection, 2)
        with connection.transaction():
            later(connection, 3)
    with connection.transaction():
        later(connection, 4)
    connection.execute("SAVEPOINT mine")
    later(connection, 5)
    connection.execute("ROLLBACK TO mine")
    later(connection, 6)

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
        later(connection, 1)
        within = stored()
    with contextlib.suppress(KeyError), connection.transaction():
        later(connection, 2)
        raise KeyError

    assert (within, stored()) == ([], [1])


def test_a_block_in_a_pipeline_stores_its_jobs(connection: Connection, stored: Stored) -> None:
    connection.rollback()

    with connection.pipeline(), connection.transaction():
        later(connection, 1)
        connection.execute("SELECT 1")

    assert stored() == [1]


def test_outside_a_transaction_a_job_is_stored_at_once(
    connection: Connection, stored: Stored
) -> None:
    connection.rollback()

    done = note.using(after_commit=connection).enqueue(1)

    assert (done.state, stored()) == ("ready", [1])


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
        later(connection, value)
        connection.commit()
        connection.execute("SELECT 1")
        later(connection, -value)
        connection.rollback()
        connection.execute("SELECT 1")

    assert stored() == [1, 2]
    assert "wait" not in vars(connection)


def test_a_chain_of_transactions_in_one_string_is_told_apart(
    connection: Connection, stored: Stored
) -> None:
    later(connection, 1)
    connection.execute("COMMIT; BEGIN")
    later(connection, 2)
    connection.execute("SAVEPOINT a")
    later(connection, 3)

    connection.rollback()

    assert stored() == [1]


def test_a_failed_transaction_refuses_with_the_cause(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        connection.execute("SELECT 1 / 0")

    with pytest.raises(EnqueueError) as caught:
        later(connection, 1)

    assert isinstance(caught.value.__cause__, psycopg.errors.InFailedSqlTransaction)


def test_a_lost_connection_stores_nothing(
    connection: Connection, session: Session, stored: Stored
) -> None:
    later(connection, 1)
    session.connection.execute(
        "SELECT pg_terminate_backend(%s, 5000)", (connection.info.backend_pid,)
    )

    with pytest.raises(psycopg.OperationalError):
        connection.commit()

    assert stored() == []


def test_who_commits_gets_the_error_and_the_jobs(
    connection: Connection, target: Target
) -> None:
    later(connection, 1)
    later(connection, 2)
    client.configure("postgresql://nobody@127.0.0.1:1/nothing")

    with pytest.raises(AfterCommitError, match="was committed, but not its 2 jobs") as caught:
        connection.commit()

    assert isinstance(caught.value.__cause__, DatabaseUnreachableError)
    client.configure(client=Client(target))
    assert len(client.enqueue_many(caught.value.jobs)) == 2


def test_the_connection_is_of_use_after_such_an_error(connection: Connection) -> None:
    later(connection, 1)
    client.configure("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(AfterCommitError):
        connection.commit()

    row = connection.execute("SELECT 1").fetchone()

    assert row == (1,)


def test_a_connection_that_is_dropped_is_not_kept_alive(server_url: str) -> None:
    dropped = psycopg.connect(server_url)
    dropped.execute("SELECT 1")
    later(dropped, 1)
    dropped.close()
    seen = weakref.ref(dropped)
    gc.disable()

    del dropped

    gc.enable()
    assert seen() is None


def test_what_can_not_be_asked_for_its_end_is_refused() -> None:
    with pytest.raises(Error, match="leads to no psycopg 3 connection"):
        note.using(after_commit=object()).enqueue(1)


def test_only_one_of_the_two_can_be_meant(connection: Connection) -> None:
    both = note.using(after_commit=connection, connection=connection)

    with pytest.raises(Error, match="not both"):
        both.enqueue(1)


def test_a_connection_is_for_all_jobs_of_a_bulk(connection: Connection) -> None:
    with pytest.raises(Error, match="give the connection to enqueue_many"):
        note.using(after_commit=connection).with_args(1)
