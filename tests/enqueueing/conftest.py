"""A client that enqueues into the tables, transactions beside it, and what is stored."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import conninfo

from enqueueing.ways import arguments_of
from jobsd.enqueueing import client
from jobsd.enqueueing.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

    from enqueueing.ways import Stored
    from jobsd.database.connection import Session, Target


@pytest.fixture
def pool(target: Target) -> Iterator[Client]:
    """The client of all that a test enqueues, with three connections at most."""
    made = Client(target, size_max=3)
    client.configure(client=made)
    yield made
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
    # Django is not typed.
    settings: Any = importlib.import_module("django.conf").settings
    django: Any = importlib.import_module("django")
    # Once in a process: each folder that imports this fixture makes one of its own.
    if not settings.configured:
        settings.configure(DATABASES=databases, USE_TZ=False, TIME_ZONE="Asia/Tokyo")
        django.setup()


@pytest.fixture
def django_connections(_django: None) -> Iterator[Any]:
    """Django's connections, by their aliases, in this thread."""
    connections: Any = importlib.import_module("django.db").connections
    yield connections
    connections.close_all()
