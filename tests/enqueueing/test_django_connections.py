"""Django's connections around a job, and what our commands find in their environment."""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.jobs.current import CurrentJob

if TYPE_CHECKING:
    from collections.abc import Iterator

# Django is not typed.
transaction: Any = importlib.import_module("django.db.transaction")


@pytest.fixture
def connection(django_connections: Any) -> Iterator[Any]:
    found = django_connections["default"]
    found.ensure_connection()
    yield found
    found.close()


def _around() -> Any:
    from jobsd.django import connections

    return connections.as_a_request_does(CurrentJob(1, 1, "default", "any"))


@pytest.mark.parametrize("error", [None, KeyError()])
def test_a_connection_that_is_too_old_is_closed_before_and_after_a_job(
    connection: Any, error: Exception | None
) -> None:
    job = _around()

    connection.close_at = 0
    next(job)
    before = connection.connection
    connection.ensure_connection()
    connection.close_at = 0
    with contextlib.suppress(StopIteration, KeyError):
        next(job) if error is None else job.throw(error)

    assert (before, connection.connection) == (None, None)


def test_a_connection_in_a_transaction_stays_around_a_job(connection: Any) -> None:
    with transaction.atomic():
        connection.close_at = 0

        assert [*_around()] == [None]

        connection.close_at = None
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")


def test_the_environment_overrides_the_settings(
    connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobsd.django import queue

    # Whatever other tests have configured.
    monkeypatch.setattr("jobsd.handed_on.configured", lambda: None)
    given = {"QUEUE_DATABASE_URL": "postgresql://e/e", "JOBSD_IMPORT": "shop.jobs"}
    for name in given:
        monkeypatch.delenv(name, raising=False)
    of_the_settings = queue.environ()
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    environ = queue.environ()

    assert of_the_settings["QUEUE_DATABASE_URL"] == queue.url_of(connection)
    assert of_the_settings["JOBSD_IMPORT"] == "jobsd.django.setup"
    assert {name: environ[name] for name in given} == given
