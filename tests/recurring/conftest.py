"""A program whose default database is the test's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

from jobsd.jobs import client
from jobsd.jobs.client import Client
from jobsd.jobs.definition import Job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session, Target


class RecurringTestJob(Job):
    queue = "mail"
    priority = 3

    def perform(self, *args: object, **kwargs: object) -> None:
        """Do nothing."""


@pytest.fixture
def default_client(target: Target) -> Iterator[Client]:
    made = Client(target)
    client.configure(client=made)
    yield made
    client.configure()


class Ask(Protocol):
    def __call__(self, sql: str, *parameters: object) -> list[Any]: ...


@pytest.fixture
def ask(session: Session) -> Ask:
    """Run SQL and return the rows; those of one column as plain values."""

    def run(sql: str, *parameters: object) -> list[Any]:
        cursor = session.connection.execute(sql.encode(), parameters)
        rows = cursor.fetchall() if cursor.description else []
        return [row[0] if len(row) == 1 else row for row in rows]

    return run
