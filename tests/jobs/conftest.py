"""A client that enqueues into the tables, transactions beside it, and what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobs.ways import arguments_of
from jobsd.jobs import client
from jobsd.jobs.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

    from jobs.ways import Stored
    from jobsd.database.connection import Session, Target


@pytest.fixture
def pool(target: Target) -> Iterator[Client]:
    """The client of all that a test enqueues, with three connections at most."""
    made = Client(target, size_max=3)
    client.configure(client=made)
    yield made
    client.configure()


@pytest.fixture
def configured(target: Target) -> Iterator[None]:
    """What a test enqueues goes into the tables."""
    client.configure(client=Client(target))
    yield
    client.configure()


@pytest.fixture
def stored(session: Session) -> Stored:
    """Tell the first arguments of the jobs that are stored."""
    return lambda: arguments_of(session)


@pytest.fixture
def connection(server_url: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection to another database than the queue's, in a transaction."""
    with psycopg.connect(server_url) as opened:
        opened.execute("SELECT 1")
        yield opened


@pytest.fixture
def engine(target: Target) -> Iterator[sa.Engine]:
    """SQLAlchemy's way to the tables."""
    import sqlalchemy as sa

    made = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(target.url)
    )
    yield made
    made.dispose()
