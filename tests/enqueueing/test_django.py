"""Jobs within, and behind, the transactions of the real Django."""

from __future__ import annotations

import contextlib
import importlib
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from enqueueing.ways import EVERY_WAY, behind, note, within
from jobsd.enqueueing.client import enqueue_many
from jobsd.errors import EnqueueError, Error

if TYPE_CHECKING:
    from enqueueing.ways import Put, Stored
    from jobsd.database.connection import Session


# Django is not typed.
db: Any = importlib.import_module("django.db")
transaction: Any = importlib.import_module("django.db.transaction")


pytestmark = pytest.mark.usefixtures("default_client")


@pytest.fixture
def connection(django_connections: Any) -> Any:
    return django_connections["default"]


@pytest.mark.behaviour(50)
@EVERY_WAY
@pytest.mark.parametrize("alias", ["default", "binding", "repeatable", "serializable"])
def test_an_atomic_block_commits_its_jobs(
    put: Put, alias: str, connection: Any, stored: Stored
) -> None:
    connection = db.connections[alias]
    with transaction.atomic(alias):
        put(connection, 1)
        before = stored()

    assert (before, stored()) == ([], [1])


@pytest.mark.behaviour(50)
@EVERY_WAY
def test_an_atomic_block_that_raises_leaves_nothing(
    put: Put, connection: Any, stored: Stored
) -> None:
    with contextlib.suppress(KeyError), transaction.atomic():
        put(connection, 1)
        raise KeyError

    assert stored() == []


@EVERY_WAY
def test_an_inner_block_that_raises_takes_its_jobs_with_it(
    put: Put, connection: Any, stored: Stored
) -> None:
    with transaction.atomic():
        put(connection, 1)
        with contextlib.suppress(KeyError), transaction.atomic():
            put(connection, 2)
            raise KeyError
        with transaction.atomic():
            put(connection, 3)

    assert stored() == [1, 3]


@EVERY_WAY
def test_outside_a_block_a_job_is_stored_at_once(
    put: Put, connection: Any, stored: Stored
) -> None:
    put(connection, 1)

    assert stored() == [1]


@EVERY_WAY
def test_the_proxy_of_the_default_connection_will_do(
    put: Put, connection: Any, stored: Stored
) -> None:
    del connection
    with transaction.atomic():
        put(db.connection, 1)

    assert stored() == [1]


def test_a_bulk_is_kept_apart_from_its_time_where_django_has_no_zones(
    connection: Any, session: Session
) -> None:
    with transaction.atomic():
        enqueue_many(
            [note.using(wait=wait).with_args(wait) for wait in (0, 60)], connection=connection
        )

    row = session.connection.execute(
        "SELECT count(*), min(scheduled_at - now()) BETWEEN '55 s' AND '60 s'"
        " FROM jobsd.scheduled_executions"
    ).fetchone()
    assert row == (1, True)


def test_another_driver_is_refused_in_words(connection: Any) -> None:
    connection = db.connections["sqlite"]

    with pytest.raises(Error, match="leads to no connection to PostgreSQL"):
        within(connection, 1)


@pytest.mark.parametrize("put", [within, behind])
def test_a_broken_block_refuses_with_djangos_error(put: Put, connection: Any) -> None:
    with transaction.atomic():
        transaction.set_rollback(True)

        with pytest.raises(EnqueueError) as caught:
            put(connection, 1)

    assert isinstance(caught.value.__cause__, transaction.TransactionManagementError)


@pytest.mark.parametrize("put", [within, behind])
def test_a_transaction_that_the_server_gave_up_refuses_with_the_drivers_error(
    put: Put, connection: Any
) -> None:
    with transaction.atomic():
        with contextlib.suppress(db.DataError), connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")

        with pytest.raises(EnqueueError) as caught:
            put(connection, 1)
        transaction.set_rollback(True)

    reported = caught.value.__cause__
    while reported and not isinstance(reported, psycopg.Error):
        reported = reported.__cause__  # Django's stands before the driver's
    assert isinstance(reported, psycopg.errors.InFailedSqlTransaction)


def test_the_connection_of_another_thread_is_refused(connection: Any) -> None:
    connection.ensure_connection()
    caught: list[Exception] = []

    def elsewhere() -> None:
        try:
            within(connection, 1)
        except EnqueueError as error:
            caught.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join(60)

    assert [type(error.__cause__) for error in caught] == [db.DatabaseError]
