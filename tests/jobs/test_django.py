"""Jobs within, and behind, the transactions of the real Django."""

from __future__ import annotations

import contextlib
import importlib
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import conninfo

from jobs.ways import EVERY_WAY, behind, note, within
from jobsd.errors import AfterCommitError, EnqueueError, Error
from jobsd.jobs import client
from jobsd.jobs.client import Client, enqueue_many

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.ways import Put, Stored
    from jobsd.database.connection import Session, Target


# Django is not typed.
django: Any = importlib.import_module("django")
db: Any = importlib.import_module("django.db")
settings: Any = importlib.import_module("django.conf").settings
transaction: Any = importlib.import_module("django.db.transaction")
connections = db.connections


pytestmark = pytest.mark.usefixtures("configured")


def _database(url: str, **options: object) -> dict[str, object]:
    parts = conninfo.conninfo_to_dict(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts["dbname"],
        "USER": parts.get("user", ""),
        "PASSWORD": parts.get("password", ""),
        "HOST": parts.get("host", ""),
        "PORT": parts.get("port", ""),
        "OPTIONS": options,
    }


@pytest.fixture(scope="session")
def _django(session_target: Target) -> None:
    url = session_target.url
    databases: dict[str, dict[str, object]] = {
        "default": _database(url),
        "binding": _database(url, server_side_binding=True),
        "repeatable": _database(url, isolation_level=psycopg.IsolationLevel.REPEATABLE_READ),
        "serializable": _database(url, isolation_level=psycopg.IsolationLevel.SERIALIZABLE),
        "sqlite": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    }
    settings.configure(DATABASES=databases, USE_TZ=False, TIME_ZONE="Asia/Tokyo")
    django.setup()


@pytest.fixture
def connection(_django: None) -> Iterator[Any]:
    yield connections["default"]
    connections.close_all()


@pytest.mark.behaviour(50)
@EVERY_WAY
@pytest.mark.parametrize("alias", ["default", "binding", "repeatable", "serializable"])
def test_an_atomic_block_commits_its_jobs(
    put: Put, alias: str, connection: Any, stored: Stored
) -> None:
    connection = connections[alias]
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


def test_a_bulk_is_told_apart_from_its_time_where_django_has_no_zones(
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


def test_a_pending_job_learns_its_id_when_it_is_stored(connection: Any) -> None:
    with transaction.atomic():
        waiting = note.using(after_commit=connection).enqueue(1)
        before = (waiting.id, waiting.state)

    assert before == (None, "pending")
    assert (waiting.id is not None, waiting.state) == (True, "ready")


def test_a_transaction_of_any_database_can_be_waited_for(
    connection: Any, stored: Stored
) -> None:
    connection = connections["sqlite"]
    with transaction.atomic("sqlite"):
        behind(connection, 1)
        before = stored()

    assert (before, stored()) == ([], [1])


def test_another_driver_is_refused_in_words(connection: Any) -> None:
    connection = connections["sqlite"]

    with pytest.raises(Error, match="leads to no psycopg 3 connection"):
        within(connection, 1)


def test_who_commits_gets_the_error(connection: Any) -> None:
    client.configure("postgresql://nobody@127.0.0.1:1/nothing")

    with pytest.raises(AfterCommitError) as caught, transaction.atomic():
        behind(connection, 1)

    assert len(caught.value.jobs) == 1


def _enqueue_three_and_take_back_the_second(connection: Any) -> None:
    with transaction.atomic():
        behind(connection, 1)
        with contextlib.suppress(KeyError), transaction.atomic():
            behind(connection, 2)
            raise KeyError
        with transaction.atomic():
            behind(connection, 3)


def test_who_commits_gets_all_jobs_that_survived(connection: Any, target: Target) -> None:
    client.configure("postgresql://nobody@127.0.0.1:1/nothing")

    with pytest.raises(AfterCommitError) as caught:
        _enqueue_three_and_take_back_the_second(connection)

    assert [drafted.arguments for drafted in caught.value.jobs] == ["[1]", "[3]"]
    client.configure(client=Client(target))
    assert len(client.enqueue_many(caught.value.jobs)) == 2


def test_a_function_that_raises_at_the_commit_takes_no_job_with_it(
    connection: Any, stored: Stored
) -> None:
    def fails() -> None:
        raise KeyError

    with contextlib.suppress(KeyError), transaction.atomic():
        transaction.on_commit(fails)
        behind(connection, 1)
        behind(connection, 2)

    assert stored() == [1, 2]


def test_a_function_at_the_commit_may_have_a_block_with_jobs_of_its_own(
    connection: Any, stored: Stored
) -> None:
    def goes_on() -> None:
        with transaction.atomic():
            behind(connection, 3)
            behind(connection, 4)

    with transaction.atomic():
        behind(connection, 1)
        transaction.on_commit(goes_on)
        behind(connection, 2)

    assert stored() == [1, 2, 3, 4]


def test_a_block_that_was_rolled_back_leaves_the_next_as_it_is(
    connection: Any, stored: Stored
) -> None:
    with contextlib.suppress(KeyError), transaction.atomic():
        behind(connection, 1)
        raise KeyError
    with transaction.atomic():
        behind(connection, 2)
        behind(connection, 3)

    assert stored() == [2, 3]
    assert "run_and_clear_commit_hooks" not in vars(connection)


def test_a_broken_block_refuses_with_djangos_error(connection: Any) -> None:
    with transaction.atomic():
        transaction.set_rollback(True)

        with pytest.raises(EnqueueError) as caught:
            within(connection, 1)

    assert isinstance(caught.value.__cause__, transaction.TransactionManagementError)


def test_a_transaction_that_the_server_gave_up_refuses_with_the_drivers_error(
    connection: Any,
) -> None:
    with transaction.atomic():
        with contextlib.suppress(db.DataError), connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")

        with pytest.raises(EnqueueError) as caught:
            within(connection, 1)
        transaction.set_rollback(True)

    assert isinstance(caught.value.__cause__, psycopg.errors.InFailedSqlTransaction)


def test_transactions_that_are_managed_by_hand_can_not_be_waited_for(connection: Any) -> None:
    transaction.set_autocommit(False)
    try:
        with pytest.raises(EnqueueError) as caught:
            behind(connection, 1)
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)

    assert isinstance(caught.value.__cause__, transaction.TransactionManagementError)


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
    thread.join(10)

    assert [type(error.__cause__) for error in caught] == [db.DatabaseError]
