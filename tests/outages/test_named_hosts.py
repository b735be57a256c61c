"""What a URL says of its hosts holds for names that we look up ourselves, too."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import conninfo

from jobsd.database import names
from jobsd.database.async_connection import open_async_connection
from jobsd.database.connection import Target
from jobsd.database.deadline import open_connection
from outages.cluster import Cluster, cluster, place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAMES = {
    "db.test": ["127.0.0.9", "127.0.0.1"],
    "other.test": ["127.0.0.1"],
    "read.test": ["127.0.0.1"],
}
"""No server listens at the first address of db.test."""
PORT = "SELECT current_setting('port')::int"


@pytest.fixture
def _named(monkeypatch: pytest.MonkeyPatch) -> None:
    system = socket.getaddrinfo

    def answer(host: Any, *arguments: Any, **named: Any) -> list[Any]:
        if host not in NAMES:
            return system(host, *arguments, **named)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 0)) for each in NAMES[host]]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    monkeypatch.setattr(names, "_last", {})
    monkeypatch.setattr(names, "_lookups", {})


@pytest.fixture(scope="module")
def secure() -> Iterator[Cluster]:
    """A server whose certificate is that of db.test; the embedded one has no SSL."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries:
        pytest.skip("needs PostgreSQL of Debian")
    with contextlib.ExitStack() as stack:
        # For this server only: a blank cluster that is made meanwhile is kept for all others.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JOBSD_PG_BINDIR", str(binaries[-1]))
            made = stack.enter_context(place(ssl="on"))
        made.make_blank()
        key, certificate = made.data / "server.key", made.data / "server.crt"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
                *("-subj", "/CN=db.test", "-addext", "subjectAltName=DNS:db.test"),
                *("-keyout", str(key), "-out", str(certificate)),
            ],
            check=True,
            capture_output=True,
        )
        for path in (key, certificate):
            os.chown(path, made.account.uid, made.account.gid)
        made.start()
        yield made


@pytest.fixture(scope="module")
def reading() -> Iterator[Cluster]:
    """A server whose sessions only read."""
    with cluster(default_transaction_read_only="on") as made:
        made.start()
        yield made


def _by_thread(url: str, query: str) -> Any:
    with contextlib.closing(open_connection(url, "test", 10.0)) as connection:
        return connection.execute(query.encode()).fetchall()


def _by_coroutine(url: str, query: str) -> Any:
    async def ask() -> Any:
        connection = await open_async_connection(Target(url), "test")
        try:
            return await (await connection.execute(query.encode())).fetchall()
        finally:
            await connection.close()

    return asyncio.run(ask())


BOTH = pytest.mark.parametrize("ask", [_by_thread, _by_coroutine])
pytestmark = pytest.mark.usefixtures("_named")


def _url(**parts: str | int) -> str:
    return conninfo.make_conninfo("", user="jobsd", dbname="postgres", **parts)


@BOTH
def test_the_certificate_of_a_server_must_be_that_of_its_name(
    secure: Cluster, ask: Callable[[str, str], Any]
) -> None:
    secured: dict[str, str | int] = {
        "port": secure.port,
        "sslmode": "verify-full",
        "sslrootcert": str(secure.data / "server.crt"),
    }
    encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"

    assert ask(_url(host="db.test", **secured), encrypted) == [(True,)]
    with pytest.raises(psycopg.OperationalError, match=r'not match host name "other\.test"'):
        ask(_url(host="other.test", **secured), encrypted)


@BOTH
@pytest.mark.parametrize("wanted", ["read-write", "read-only", "any"])
def test_the_hosts_of_a_url_are_chosen_by_what_their_sessions_may_do(
    secure: Cluster, reading: Cluster, ask: Callable[[str, str], Any], wanted: str
) -> None:
    hosts = {"host": "read.test,db.test", "port": f"{reading.port},{secure.port}"}

    chosen = ask(_url(**hosts, target_session_attrs=wanted), PORT)

    assert chosen == [(secure.port if wanted == "read-write" else reading.port,)]


@BOTH
def test_a_socket_may_stand_beside_a_name(
    secure: Cluster, reading: Cluster, ask: Callable[[str, str], Any]
) -> None:
    hosts = {"host": f"{reading.folder},db.test", "port": f"{reading.port},{secure.port}"}

    assert ask(_url(**hosts), PORT) == [(reading.port,)]
    assert ask(_url(**hosts, target_session_attrs="read-write"), PORT) == [(secure.port,)]
