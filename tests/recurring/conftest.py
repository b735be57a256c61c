"""A program whose default database is the test's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.jobs import client
from jobsd.jobs.client import Client
from jobsd.jobs.definition import Job
from rows import Rows, rows_of

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


@pytest.fixture
def rows(session: Session) -> Rows:
    """Run SQL and return the rows; those of one column as plain values."""
    return rows_of(session)
