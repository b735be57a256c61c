"""The PostgreSQL that is measured on: one that is given, or one of our own for the time.

Figures count only where a commit has reached the disk when it returns. So a server that
does not wait for it, or whose files lie in memory, is refused.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import conninfo, sql

from jobsd.database.clients import other_clients
from jobsd.database.connection import Target
from jobsd.database.migrate import migrate
from jobsd.embedded import Server as Embedded
from jobsd.embedded import location

if TYPE_CHECKING:
    from collections.abc import Generator

    Connection = psycopg.Connection[tuple[Any, ...]]

_SHOWN = (
    "server_version fsync synchronous_commit full_page_writes wal_sync_method shared_buffers"
    " max_wal_size checkpoint_timeout autovacuum_naptime data_checksums"
).split()
_IN_MEMORY = {"tmpfs", "ramfs"}


class NotDurableError(Exception):
    """The server may lose what it has committed, so its figures would say nothing."""


@dataclass(frozen=True, slots=True)
class Database:
    """A fresh database with the tables of the queue."""

    url: str
    name: str

    @property
    def target(self) -> Target:
        """The same for our own connections."""
        return Target(self.url)

    def connect(self, *, autocommit: bool = True) -> Connection:
        """Return a connection of the driver's alone that prepares each statement at once."""
        # Looked up there each time: `wire` puts itself in its place.
        connection = psycopg.Connection.connect(self.url, autocommit=autocommit)
        connection.prepare_threshold = 0
        return connection

    def settle(self, *, analyze: bool = True) -> None:
        """Do what the server would have done with these rows long ago, and a checkpoint."""
        with self.connect() as connection:
            if analyze:
                connection.execute("VACUUM ANALYZE", prepare=False)
            connection.execute("CHECKPOINT", prepare=False)


class Server:
    """A server on which databases can be made."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._numbers = itertools.count(1)
        with self.connect() as connection:
            self.settings = _settings(connection)
            _refuse_unsafe(self.settings, connection)

    def connect(self) -> Connection:
        """Return a connection to no database that is measured."""
        return psycopg.connect(self.url, autocommit=True)

    @contextlib.contextmanager
    def database(self) -> Generator[Database]:
        """Make a database with the tables of the queue, for the length of the block."""
        name = f"jobsd_benchmark_{os.getpid()}_{next(self._numbers)}"
        quoted = sql.Identifier(name)
        with self.connect() as connection:
            making = sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0")
            connection.execute(making.format(quoted))
        try:
            made = Database(conninfo.make_conninfo(self.url, dbname=name), name)
            migrate(made.target)
            yield made
        finally:
            with self.connect() as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(quoted))


@contextlib.contextmanager
def server(url: str | None) -> Generator[Server]:
    """Give the server of this URL, or an embedded one that ends with the block.

    Raises:
        NotDurableError: when it may lose what it has committed.
    """
    if url is not None:
        yield Server(url)
        return
    # Not where temporary files lie: that may be memory.
    root = Path(tempfile.mkdtemp(prefix="jobsd-benchmarks-", dir="/var/tmp"))
    root.chmod(0o755)
    environ = {**os.environ, "JOBSD_EMBEDDED_DIR": str(root / "postgres")}
    embedded = Embedded(location(root, environ), environ, other_clients)
    try:
        yield Server(embedded.ensure())
    finally:
        embedded.stop()
        shutil.rmtree(root, ignore_errors=True)


def _settings(connection: Connection) -> dict[str, str]:
    rows = connection.execute(
        "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY (%s)", (_SHOWN,)
    )
    return dict(sorted(rows.fetchall()))


def _refuse_unsafe(settings: dict[str, str], connection: Connection) -> None:
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        if settings[name] == "off":
            raise NotDurableError(f"{name} is off: a commit would not be on the disk")
    row = connection.execute("SHOW data_directory").fetchone()
    folder = Path(str(row[0]) if row else "")
    if folder.is_dir() and (kind := _file_system(folder)) in _IN_MEMORY:
        raise NotDurableError(f"the server's files lie in memory ({kind})")


def _file_system(folder: Path) -> str:
    command = ("stat", "--file-system", "--format=%T", str(folder))
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
