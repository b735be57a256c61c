"""Statements that we have given up end on the server, too, and it is told what is known."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import capabilities, conninfo, errors, waiting

from database.firewall import firewall
from database.pgbouncer import pgbouncer
from jobsd.database.connection import Session, Target
from jobsd.database.statements import Statement
from jobsd.embedded.binaries import Binaries
from outages.cluster import place
from waiting import Stopwatch, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator

    from psycopg.abc import PQGen

_DEADLINE_S = 1.0
_DEBIANS = Path("/usr/lib/postgresql")
_SLEEP = Statement("sleep", "SELECT pg_sleep(60)")
_COUNT = Statement("count", "SELECT count(*) FROM jobsd.jobs")
_NOTHING: dict[str, object] = {}
_BUSY = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active'
"""


@contextlib.contextmanager
def _through_tls() -> Generator[str]:
    """A server of the system's that speaks TLS: the embedded one does not."""
    openssl, installed = shutil.which("openssl"), sorted(_DEBIANS.glob("*/bin"))
    if openssl is None or not installed:
        pytest.skip("needs openssl, and PostgreSQL of the system")
    with place() as made:
        made.programs = Binaries(installed[-1], int(installed[-1].parent.name))
        made.make_blank()
        files = ("-keyout", f"{made.data}/server.key", "-out", f"{made.data}/server.crt")
        subprocess.run(
            [
                openssl,
                "req",
                "-x509",
                "-nodes",
                "-subj",
                "/CN=x",
                "-newkey",
                "rsa:2048",
                *files,
            ],
            check=True,
            capture_output=True,
        )
        for file in files[1::2]:
            shutil.chown(file, made.account.uid, made.account.gid)
        made.start(ssl="on")
        yield f"{made.url}?sslmode=require"


def _busy(session: Session) -> int:
    row = session.connection.execute(_BUSY.encode()).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture(params=["by libpq 17", "by an older libpq"])
def libpq(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever way there is to cancel."""
    if request.param == "by an older libpq":
        monkeypatch.setattr(capabilities, "has_cancel_safe", lambda: False)


@pytest.mark.failure(
    "A statement takes longer than its deadline: directly, or through a pooler.",
    "It is cancelled on the server, too; nothing was done, and that is known.",
)
@pytest.mark.usefixtures("libpq")
@pytest.mark.parametrize("pooled", [False, True])
def test_a_statement_given_up_ends_on_the_server(
    target: Target, session: Session, *, pooled: bool
) -> None:
    way = pgbouncer(target.url) if pooled else contextlib.nullcontext(target.url)
    with (
        way as url,
        contextlib.closing(Session(Target(url), "slow", deadline_s=_DEADLINE_S)) as slow,
    ):
        _ = slow.connection
        watch = Stopwatch()

        with pytest.raises(errors.QueryCanceled, match="nothing was done"):
            slow.fetch(_SLEEP)

        assert watch.took() < _DEADLINE_S + 0.2
        wait_until(lambda: _busy(session) == 0, 2)


def test_a_pipeline_given_up_ends_on_the_server(target: Target, session: Session) -> None:
    with contextlib.closing(Session(target, "slow", deadline_s=_DEADLINE_S)) as slow:
        with pytest.raises(psycopg.OperationalError):
            slow.fetch_together([(_COUNT, _NOTHING), (_SLEEP, _NOTHING), (_COUNT, _NOTHING)])

        wait_until(lambda: _busy(session) == 0, 2)


def test_a_pipeline_given_up_raises_connection_given_up(target: Target) -> None:
    with (
        firewall(target.url) as wall,
        contextlib.closing(Session(Target(wall.url), "slow", deadline_s=_DEADLINE_S)) as slow,
    ):
        _ = slow.connection
        wall.shut = True

        with pytest.raises(psycopg.OperationalError, match="connection given up"):
            slow.fetch_together([(_SLEEP, _NOTHING), (_COUNT, _NOTHING)])


def test_the_error_of_a_statement_given_up_has_no_context(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer() -> PQGen[None]:
        yield waiting.WAIT_R

    with contextlib.closing(Session(target, "slow", deadline_s=_DEADLINE_S)) as slow:
        connection = slow.connection

        def ask(_within_s: float) -> None:
            connection.pgconn.send_query(b"SELECT")

        # So that the answer comes once the cancel is asked for.
        monkeypatch.setattr(connection, "_request_cancel", ask)

        with pytest.raises(psycopg.OperationalError, match="connection given up") as caught:
            connection.wait(answer())

    # The end of a pipeline would raise it in its place.
    assert caught.value.__context__ is None


def test_an_interrupt_of_a_pipeline_stays_one(target: Target, session: Session) -> None:
    def interrupt() -> None:
        wait_until(lambda: _busy(session) == 1, 5)
        os.kill(os.getpid(), signal.SIGINT)

    with contextlib.closing(Session(target, "slow", deadline_s=10)) as slow:
        _ = slow.connection
        thread = threading.Thread(target=interrupt)
        thread.start()

        with pytest.raises(KeyboardInterrupt):
            slow.fetch_together([(_SLEEP, _NOTHING), (_COUNT, _NOTHING)])

        thread.join()


def test_a_statement_given_up_over_tls_ends_on_the_server() -> None:
    with (
        _through_tls() as url,
        contextlib.closing(Session(Target(url), "watching")) as watching,
        contextlib.closing(Session(Target(url), "slow", deadline_s=_DEADLINE_S)) as slow,
    ):
        assert slow.connection.pgconn.ssl_in_use

        with pytest.raises(errors.QueryCanceled):
            slow.fetch(_SLEEP)

        assert _busy(watching) == 0


@pytest.mark.failure(
    "A statement is given up, and the request to cancel it gets lost.",
    "The server sees within two seconds that no client waits, and ends it.",
)
def test_a_statement_without_a_cancel_ends_at_the_check_of_the_server(
    target: Target, session: Session
) -> None:
    with (
        firewall(target.url) as wall,
        contextlib.closing(Session(Target(wall.url), "slow", deadline_s=_DEADLINE_S)) as slow,
    ):
        _ = slow.connection
        wall.shut = True
        watch = Stopwatch()

        with pytest.raises(psycopg.OperationalError, match="connection given up"):
            slow.fetch(_SLEEP)

        assert watch.took() < _DEADLINE_S + 0.2
        wait_until(lambda: _busy(session) == 0, 4)


@pytest.mark.failure(
    "The server can't detect that a client is gone, as on some platforms",
    "All other settings are made.",
)
def test_a_server_that_does_not_know_a_setting_gets_the_others(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"client_connection_check_interval": "no duration", "datestyle": "ISO"}
    monkeypatch.setattr("jobsd.database.session_settings._SETTINGS", settings)

    with contextlib.closing(Session(target, "elsewhere")) as session:
        assert session.fetch(Statement("kept", "SHOW enable_seqscan")) == [("off",)]


@pytest.mark.failure(
    "A table is locked for longer than a statement may take",
    "The statement ends before its deadline; nothing was done, and the connection stays open",
)
def test_a_lock_is_waited_for_less_long_than_an_answer(target: Target) -> None:
    with (
        psycopg.connect(target.url) as blocker,
        contextlib.closing(Session(target, "slow", deadline_s=_DEADLINE_S)) as slow,
    ):
        blocker.execute("LOCK TABLE jobsd.jobs IN ACCESS EXCLUSIVE MODE")
        for _ in range(2):
            with pytest.raises(errors.LockNotAvailable):
                slow.fetch(_COUNT)
        blocker.rollback()

        assert slow.fetch(_COUNT) == [(0,)]


@pytest.mark.failure(
    "A table is locked for long on a server that has few connections.",
    "However often a process tries, its connection is one backend; others can connect",
)
@pytest.mark.parametrize("pooled", [False, True])
def test_however_often_we_try_others_can_connect(
    target: Target, session: Session, *, pooled: bool
) -> None:
    name = conninfo.conninfo_to_dict(target.url)["dbname"]
    way = pgbouncer(target.url) if pooled else contextlib.nullcontext(target.url)
    with way as url, psycopg.connect(target.url) as blocker:
        blocker.execute("LOCK TABLE jobsd.jobs IN ACCESS EXCLUSIVE MODE")
        for _ in range(8):
            with (
                contextlib.closing(Session(Target(url), "slow", deadline_s=0.3)) as slow,
                pytest.raises(psycopg.OperationalError),
            ):
                slow.fetch(_COUNT)

        wait_until(lambda: _busy(session) == 0, 2)
        ended = f"SELECT count(*) <= 4 FROM pg_stat_activity WHERE datname = '{name}'"
        wait_until(lambda: session.fetch(Statement("few", ended)) == [(True,)])


def test_a_statement_is_given_up_even_if_no_thread_can_start(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(capabilities, "has_cancel_safe", lambda: False)
    monkeypatch.setattr(threading.Thread, "start", refuse)

    with (
        contextlib.closing(Session(target, "slow", deadline_s=_DEADLINE_S)) as slow,
        pytest.raises(psycopg.OperationalError, match=r"connection given up$"),
    ):
        slow.fetch(_SLEEP)
