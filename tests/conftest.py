"""A real PostgreSQL for every test that asks for one.

The server is the one of JOBSD_TEST_DATABASE_URL (a role that may create databases), or
an embedded one that is made for the session and ended with it. Each test session makes a
database of its own there; each test begins with empty tables.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import psycopg
import pytest
from psycopg import conninfo, sql

from harness.event_recorder import EventRecorder
from jobsd.database.connection import Session, Target
from jobsd.database.migrate import migrate
from jobsd.enqueueing import client
from jobsd.enqueueing.client import Client
from jobsd.logs.capture import KEPT
from jobsd.processes.context import Context
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.kernel import die_with_parent
from kept import folders, kept_folder, thawed
from rows import Rows, rows_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from jobsd.scoreboard.entry import ScoreboardEntry

pytest_plugins = ("broken_reports", "docs.recorder", "timeouts")

# How long an example takes, to make and to try, is the machine's affair.
_SLOW = (hypothesis.HealthCheck.too_slow,)
hypothesis.settings.register_profile("jobsd", deadline=None, suppress_health_check=_SLOW)
hypothesis.settings.load_profile("jobsd")

_EMPTY = """
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables
        WHERE schemaname = 'jobsd' AND tablename <> 'schema_migrations'
        ORDER BY tablename -- failure_counts counts those of failed_executions that go
    LOOP EXECUTE format('DELETE FROM jobsd.%I', name); END LOOP;
END $$
"""


def pytest_configure(config: pytest.Config) -> None:
    """Let programs that tests start receive SIGINT and SIGHUP, also behind `nohup` or `&`.

    A shell ignores SIGINT in what it runs in the background, `nohup` ignores SIGHUP. A program
    inherits what is ignored, and a shell script can't trap it then.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # A worker of xdist would run on for a while when who started it is killed.
    if hasattr(config, "workerinput"):
        die_with_parent(signal.SIGKILL)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of a run that leaves tests out."""
    only = "leave out the tests that don't use the server of JOBSD_TEST_DATABASE_URL"
    parser.addoption("--on-server", action="store_true", help=only)
    share = "K/N: of N shares of the files run the one with this number, counted from 0"
    parser.addoption("--share", default="0/1", help=share)
    rooms = "K ROOM=N,FILE=1: only of these folders, each in shares of its own; a file: always"
    parser.addoption("--share-of", default="0", help=rooms)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what would do the same again, and the shares of other runs."""
    number, shares = map(int, str(config.getoption("--share")).split("/"))
    lot, _, rooms = str(config.getoption("--share-of")).partition(" ")
    shares_of = {
        room: int(n) for room, _, n in (each.partition("=") for each in rooms.split(",")) if n
    }

    def ours(item: pytest.Item) -> bool:
        file = item.location[0]
        drawn = zlib.crc32(file.encode())
        of_room = shares_of.get(file) or shares_of.get((*Path(file).parts, "")[1], 1)
        if drawn % shares != number % shares or drawn % of_room != int(lot) % of_room:
            return False
        return not config.getoption("--on-server") or _uses_server(item)

    left_out = [item for item in items if not ours(item)]
    items[:] = filter(ours, items)
    if left_out:
        config.hook.pytest_deselected(items=left_out)


def _uses_server(item: pytest.Item) -> bool:
    return "server_url" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session", autouse=True)
def _nobody_stands_still(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let nobody outlive a run that is killed because a test has stopped it."""
    thawed(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The URL of a server on which databases may be made."""
    if given := os.environ.get("JOBSD_TEST_DATABASE_URL"):
        _count_as_ours(given)
        yield given
        return
    from jobsd.database.clients import other_clients
    from jobsd.embedded import Server, location

    root = kept_folder("jobsd-tests-")
    environ = {**os.environ, "JOBSD_EMBEDDED_DIR": str(root / "postgres")}
    server = Server(location(root, environ), environ, other_clients)
    try:
        _configure(server.ensure())
        server.stop()
        yield server.ensure()
    finally:
        server.stop()
        shutil.rmtree(root, ignore_errors=True)


def _configure(server_url: str) -> None:
    """Let the server leave writing to the disk to the system, and prepare transactions.

    We never pull its plug: what a killed process has committed is there all the same. Tests of
    the embedded server itself have one of their own, as it is.
    """
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("ALTER SYSTEM SET max_prepared_transactions = 20")


def _count_as_ours(server_url: str) -> None:
    """Let bounds give way to what this server waits for, if it is here and tells where."""
    with psycopg.connect(server_url) as connection, contextlib.suppress(psycopg.Error):
        row = connection.execute("SHOW data_directory").fetchone()
        folders().append(Path(row[0] if row else "/nowhere"))


def make_database(server_url: str) -> tuple[str, str]:
    """Make an empty database, in UTF-8 on any server; return its URL and name."""
    name = f"jobsd_test_{secrets.token_hex(6)}"
    making = sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0")
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(making.format(sql.Identifier(name)))
    return conninfo.make_conninfo(server_url, dbname=name), name


def drop_database(server_url: str, name: str) -> None:
    """Drop a database, whoever is still connected to it."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)),
        )


@contextlib.contextmanager
def database_on(server_url: str) -> Generator[str]:
    """An empty database that is gone after the block: its URL."""
    url, name = make_database(server_url)
    try:
        yield url
    finally:
        drop_database(server_url, name)


@pytest.fixture(scope="session")
def session_target(server_url: str) -> Iterator[Target]:
    """A database with all tables, for the whole session."""
    with database_on(server_url) as url:
        target = Target(url)
        migrate(target)
        yield target


@pytest.fixture
def target(session_target: Target) -> Target:
    """A database with all tables, and nothing in them."""
    with psycopg.connect(session_target.url, autocommit=True) as connection:
        connection.execute(_EMPTY)
    return session_target


@pytest.fixture
def empty_database(server_url: str) -> Iterator[str]:
    """The URL of a database without our tables."""
    with database_on(server_url) as url:
        yield url


@pytest.fixture
def session(target: Target) -> Iterator[Session]:
    """A connection of ours to the tables."""
    with contextlib.closing(Session(target, "jobsd test")) as opened:
        yield opened


@pytest.fixture
def rows(session: Session) -> Rows:
    """Run SQL and return the rows; those of one column as plain values."""
    return rows_of(session)


@pytest.fixture
def default_client(target: Target) -> Iterator[Client]:
    """Make the test's database that of the program, as `configure` does."""
    made = Client(target)
    client.configure(client=made)
    yield made
    client.configure()


@pytest.fixture
def entry() -> ScoreboardEntry:
    """The entry of a worker in a scoreboard of its own."""
    entry = Scoreboard().entries[0]
    entry.take("worker", "worker-1")
    return entry


@pytest.fixture
def context() -> Context:
    """What a worker is given when it is forked."""
    scoreboard = Scoreboard()
    scoreboard.entries[0].take("worker", "worker-1")
    return Context(scoreboard, scoreboard.entries[0], "worker-1")


@pytest.fixture
def recorder() -> Iterator[EventRecorder]:
    """Record events of this process until the end of the test."""
    with contextlib.closing(EventRecorder()) as recorder:
        yield recorder


@pytest.fixture
def kept_logs() -> Iterator[None]:
    """Let up to 4 KiB of what a job logs and prints be kept."""
    KEPT.keep(4096)
    yield
    KEPT.keep(None)
    KEPT.forget()
