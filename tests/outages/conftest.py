"""One server that the tests of this folder ill-treat in turn, each in a database of its own."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from psycopg import conninfo

from outages.cluster import Cluster, cluster

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    """A server for all tests of a module; whoever stops it starts it again."""
    with cluster() as made:
        made.start()
        yield made


@pytest.fixture
def url(running: Cluster) -> Iterator[str]:
    """An empty database on it."""
    name = f"jobsd_test_{secrets.token_hex(6)}"
    with running.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    yield conninfo.make_conninfo(running.url, dbname=name)
    running.thaw()
    running.start()
    with running.connect() as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
