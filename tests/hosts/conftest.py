"""A network with a database, and projects whose trees run on hosts in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from harness.project import Project
from hosts.network import Network, network
from jobsd.database.connection import Target
from jobsd.database.migrate import migrate
from rows import Query, query_of
from system.jobs import LEDGER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JOBS = """
from jobsd import job

@job
def quick(n):
    ledger("ran", n)

@job
def slow(n, seconds):
    ledger("began", n)
    time.sleep(seconds)
    ledger("ended", n)

@job
def held(n):
    ledger("began", n)
    wait_until_let_go()
    ledger("ended", n)

@job
def tick():
    ledger("tick")
"""


@pytest.fixture(scope="session")
def net() -> Iterator[Network]:
    """A network for all tests here, with a database."""
    with network() as made:
        yield made


@pytest.fixture
def query(net: Network) -> Iterator[Query]:
    """Ask the database, in which there are no tables yet."""
    with psycopg.connect(net.database.socket_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS jobsd CASCADE")
        migrate(Target(net.database.socket_url))
        yield query_of(connection)


@pytest.fixture
def project(net: Network, tmp_path: Path) -> Project:
    """A project that all hosts share."""
    made = Project(tmp_path, net.url, LEDGER=str(tmp_path / "ledger"))
    made.write("trial_jobs.py", LEDGER + JOBS)
    return made
