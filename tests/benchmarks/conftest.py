"""A server that waits for its disk: the one that other tests are given may not."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.database.clients import other_clients
from jobsd.embedded import Server, location
from kept import kept_folder

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def durable_url() -> Iterator[str]:
    """The URL of an embedded server, made for these tests with the shipped settings but one.

    The transactions of autovacuum are counted like others, and it comes when it likes.
    """
    root = kept_folder("jobsd-tests-", "/var/tmp")
    environ = {**os.environ, "JOBSD_EMBEDDED_DIR": str(root / "postgres")}
    server = Server(location(root, environ), environ, other_clients)
    try:
        url = server.ensure()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET autovacuum = off")
            connection.execute("SELECT pg_reload_conf()")
        yield url
    finally:
        server.stop()
        shutil.rmtree(root, ignore_errors=True)
