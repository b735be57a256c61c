"""A commit that nothing can follow: who committed hears of it, in one typed error."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from database.pgbouncer import pgbouncer
from jobs.ways import behind, note
from jobsd.errors import AfterCommitError, DatabaseUnreachableError, EnqueueError, Error
from jobsd.jobs import client
from jobsd.jobs.client import Client

if TYPE_CHECKING:
    from jobs.ways import Stored
    from jobsd.database.connection import Session, Target

Connection = psycopg.Connection[tuple[Any, ...]]

pytestmark = pytest.mark.usefixtures("configured")


def test_a_failed_transaction_refuses_with_the_cause(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        connection.execute("SELECT 1 / 0")

    with pytest.raises(EnqueueError) as caught:
        behind(connection, 1)

    assert isinstance(caught.value.__cause__, psycopg.errors.InFailedSqlTransaction)


def test_a_lost_connection_stores_nothing(
    connection: Connection, session: Session, stored: Stored
) -> None:
    behind(connection, 1)
    session.connection.execute(
        "SELECT pg_terminate_backend(%s, 5000)", (connection.info.backend_pid,)
    )

    with pytest.raises(psycopg.OperationalError):
        connection.commit()

    assert stored() == []


def test_who_commits_gets_the_error_and_the_jobs(
    connection: Connection, target: Target
) -> None:
    behind(connection, 1)
    behind(connection, 2)
    client.configure("postgresql://nobody@127.0.0.1:1/nothing")

    with pytest.raises(AfterCommitError, match="was committed, but not its 2 jobs") as caught:
        connection.commit()

    assert isinstance(caught.value.__cause__, DatabaseUnreachableError)
    client.configure(client=Client(target))
    assert len(client.enqueue_many(caught.value.jobs)) == 2


class _LosesItsServer(Connection):
    """Loses it as soon as a transaction is over."""

    def wait(self, *args: Any, **kwargs: Any) -> Any:
        waited = super().wait(*args, **kwargs)
        if self.info.transaction_status == TransactionStatus.IDLE:
            pid = self.info.backend_pid
            with psycopg.connect(self.info.dsn, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        return waited


@pytest.mark.failure(
    "the server of an `after_commit` connection is lost right after the commit",
    "who committed gets `AfterCommitError` with all its jobs, which says that nobody knows",
)
def test_who_commits_gets_the_jobs_when_nobody_can_say_how_it_ended(target: Target) -> None:
    connection = _LosesItsServer.connect(target.url)
    connection.execute("SELECT 1")
    behind(connection, 1)
    behind(connection, 2)

    with pytest.raises(AfterCommitError, match="committed is not known") as caught:
        connection.commit()

    assert [drafted.arguments for drafted in caught.value.jobs] == ["[1]", "[2]"]
    assert not caught.value.known


def test_the_connection_is_of_use_after_such_an_error(connection: Connection) -> None:
    behind(connection, 1)
    client.configure("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(AfterCommitError):
        connection.commit()

    row = connection.execute("SELECT 1").fetchone()

    assert row == (1,)


def test_a_connection_that_is_dropped_is_not_kept_alive(server_url: str) -> None:
    dropped = psycopg.connect(server_url)
    dropped.execute("SELECT 1")
    behind(dropped, 1)
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


def test_a_pooler_that_gives_the_session_away_is_refused(
    target: Target, stored: Stored
) -> None:
    with pgbouncer(target.url) as url, psycopg.connect(url) as connection:
        connection.prepare_threshold = None
        connection.execute("SELECT 1")

        with pytest.raises(Error, match="a pooler stands between"):
            behind(connection, 1)
        connection.commit()

    assert stored() == []
