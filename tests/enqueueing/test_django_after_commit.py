"""Jobs behind the transactions of the real Django: `after_commit=`."""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import conninfo

from enqueueing.ways import attributes_of, behind, note
from jobsd.enqueueing import client
from jobsd.enqueueing.client import Client
from jobsd.errors import AfterCommitError, EnqueueError

if TYPE_CHECKING:
    from enqueueing.ways import Stored
    from jobsd.database.connection import Target


# Django is not typed.
db: Any = importlib.import_module("django.db")
transaction: Any = importlib.import_module("django.db.transaction")


pytestmark = pytest.mark.usefixtures("default_client")


@pytest.fixture
def connection(django_connections: Any) -> Any:
    return django_connections["default"]


def test_a_pending_job_learns_its_id_when_it_is_stored(connection: Any) -> None:
    with transaction.atomic():
        waiting = note.using(after_commit=connection).enqueue(1)
        before = (waiting.id, waiting.state)

    assert before == (None, "pending")
    assert (waiting.id is not None, waiting.state) == (True, "ready")


def test_a_transaction_of_any_database_can_be_waited_for(
    connection: Any, stored: Stored
) -> None:
    connection = db.connections["sqlite"]
    with transaction.atomic("sqlite"):
        behind(connection, 1)
        before = stored()

    assert (before, stored()) == ([], [1])


def test_a_failed_enqueue_raises_its_job_at_the_commit(connection: Any) -> None:
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


def test_a_failed_enqueue_raises_only_jobs_that_were_not_rolled_back(
    connection: Any, target: Target
) -> None:
    client.configure("postgresql://nobody@127.0.0.1:1/nothing")

    with pytest.raises(AfterCommitError) as caught:
        _enqueue_three_and_take_back_the_second(connection)

    assert [drafted.arguments for drafted in caught.value.jobs] == ["[1]", "[3]"]
    client.configure(client=Client(target))
    assert len(client.enqueue_many(caught.value.jobs)) == 2


def _fails() -> None:
    raise KeyError


def test_a_function_that_raises_at_the_commit_behind_a_job_takes_none_with_it(
    connection: Any, stored: Stored
) -> None:
    with contextlib.suppress(KeyError), transaction.atomic():
        behind(connection, 1)
        transaction.on_commit(_fails)
        behind(connection, 2)

    assert stored() == [1, 2]


def test_a_robust_function_that_raises_at_the_commit_takes_no_job_with_it(
    connection: Any, stored: Stored
) -> None:
    with transaction.atomic():
        transaction.on_commit(_fails, robust=True)
        behind(connection, 1)

    assert stored() == [1]


def test_an_earlier_on_commit_function_that_raises_takes_the_jobs_with_it(
    connection: Any, stored: Stored
) -> None:
    with contextlib.suppress(KeyError), transaction.atomic():
        transaction.on_commit(_fails)
        behind(connection, 1)
    with transaction.atomic():
        behind(connection, 2)

    assert stored() == [2]


@pytest.mark.failure(
    "a failed statement is caught in a transaction with `after_commit=` jobs, then COMMIT",
    "the server rolls back though no driver raises; no job is stored",
)
def test_a_commit_that_the_server_turns_into_a_rollback_stores_nothing(
    connection: Any, stored: Stored
) -> None:
    with transaction.atomic():
        behind(connection, 1)
        with contextlib.suppress(db.DataError), connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")
    with transaction.atomic():
        behind(connection, 2)

    assert stored() == [2]


def test_a_failure_that_an_inner_block_has_taken_back_is_committed(
    connection: Any, stored: Stored
) -> None:
    with transaction.atomic():
        behind(connection, 1)
        with contextlib.suppress(db.DataError), transaction.atomic():
            behind(connection, 2)
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 / 0")
        behind(connection, 3)

    assert stored() == [1, 3]


def test_enqueues_captured_and_executed_by_a_test_are_stored(
    connection: Any, stored: Stored
) -> None:
    case: Any = importlib.import_module("django.test").TestCase
    with contextlib.suppress(KeyError), transaction.atomic():
        behind(connection, 1)
        with case.captureOnCommitCallbacks(execute=True):
            behind(connection, 2)
        raise KeyError

    assert stored() == [2]


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


def test_nothing_of_a_connection_is_replaced(connection: Any) -> None:
    connection.ensure_connection()
    before = attributes_of(connection).keys()
    with transaction.atomic():
        behind(connection, 1)
        during = attributes_of(connection).keys()

    assert during == before


def test_transactions_that_are_managed_by_hand_can_not_be_waited_for(connection: Any) -> None:
    transaction.set_autocommit(False)
    try:
        with pytest.raises(EnqueueError) as caught:
            behind(connection, 1)
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)

    assert isinstance(caught.value.__cause__, transaction.TransactionManagementError)


@pytest.mark.parametrize(
    ("name", "value", "elsewhere"),
    [
        ("port", "1", True),
        ("host", "db.example", True),
        ("dbname", "nothing", True),
        ("user", "somebody", False),
    ],
)
def test_a_queue_is_elsewhere_that_is_on_another_server_or_in_another_database(
    name: str, value: str, connection: Any, *, elsewhere: bool
) -> None:
    from jobsd.django import queue

    here = queue.url_of(connection)
    client.configure(conninfo.make_conninfo(here, **{name: value}))

    assert queue.is_elsewhere() == elsewhere


def test_a_database_without_a_port_is_the_one_at_the_usual_port(
    connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobsd.django import queue

    here = conninfo.conninfo_to_dict(queue.url_of(connection))
    monkeypatch.setitem(connection.settings_dict, "PORT", "")
    client.configure(conninfo.make_conninfo("", **{**here, "port": "5432"}))

    assert not queue.is_elsewhere()
