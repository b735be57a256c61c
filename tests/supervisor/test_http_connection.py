"""The connection over which `/metrics` asks the database."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import conninfo, sql

from harness.monitor_pages import metrics
from harness.played_tree import tree_on
from jobsd.database.connection import Session
from jobsd.supervisor.monitor import scraping
from outages.cluster import cluster
from waiting import wait_until

if TYPE_CHECKING:
    import socket

_ASKING = (
    b"SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    b" AND application_name = 'jobsd monitor metrics'"
)


@pytest.fixture(autouse=True)
def _read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scraping, "FIGURES_AGE_S", 0.0)


def _asking(session: Session) -> list[int]:
    return [pid for (pid,) in session.connection.execute(_ASKING).fetchall()]


@pytest.mark.usefixtures("monitored")
def test_scrapes_share_one_connection_that_stays_open(
    listener: socket.socket, session: Session
) -> None:
    assert _asking(session) == []
    assert metrics(listener)["jobsd_database_up", ()] == 1
    kept = _asking(session)

    _see(listener, session, 1)
    _see(listener, session, 2)

    assert (len(kept), _asking(session)) == (1, kept)


@pytest.mark.usefixtures("monitored")
def test_a_connection_that_has_broken_meanwhile_costs_no_scrape(
    listener: socket.socket, session: Session
) -> None:
    metrics(listener)
    (kept,) = _asking(session)
    session.connection.execute("SELECT pg_terminate_backend(%s, 5000)", (kept,))

    _see(listener, session, 1)
    assert len(_asking(session)) == 1


@pytest.mark.failure(
    "All connections that the server allows are taken.",
    "Scrapes still have the metrics of queues, over the connection that they keep",
)
def test_scrapes_continue_while_the_server_refuses_new_connections(
    listener: socket.socket,
) -> None:
    with cluster() as server:
        target = server.start_with_tables()
        with tree_on(target) as tree:
            tree.start_monitor(listener)
            assert metrics(listener)["jobsd_database_up", ()] == 1
            session = Session(target, "test")
            with contextlib.closing(session):
                _ = session.connection
                _allow_nobody(target.url)

                _see(listener, session, 1)


def _see(listener: socket.socket, session: Session, jobs: int) -> None:
    """Make a job ready, and wait until scrapes tell of so many; none finds no database."""
    session.connection.execute(
        "INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)"
        " VALUES (%(id)s, %(id)s, 0, 'mail')",
        {"id": jobs},
    )

    def is_seen() -> bool:
        found = metrics(listener)
        assert found["jobsd_database_up", ()] == 1
        return found.get(("jobsd_queue_jobs", (("queue", "mail"), ("state", "ready")))) == jobs

    wait_until(is_seen)


def _allow_nobody(url: str) -> None:
    name = conninfo.conninfo_to_dict(url)["dbname"]
    elsewhere = conninfo.make_conninfo(url, dbname="template1")
    with psycopg.connect(elsewhere, autocommit=True) as connection:
        command = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false")
        connection.execute(command.format(sql.Identifier(str(name))))
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


def test_gauges_are_gone_with_the_database_and_come_again(listener: socket.socket) -> None:
    with cluster() as server:
        target = server.start_with_tables()
        with tree_on(target) as tree:
            tree.start_monitor(listener)
            assert metrics(listener)["jobsd_database_up", ()] == 1
            server.stop()

            wait_until(lambda: metrics(listener)["jobsd_database_up", ()] == 0)
            found = metrics(listener)
            assert not [name for name, _ in found if name.startswith("jobsd_queue")]

            server.start()
            wait_until(lambda: metrics(listener)["jobsd_database_up", ()] == 1)
