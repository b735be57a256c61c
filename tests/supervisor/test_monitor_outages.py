"""The database may go away at any moment, for any time."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import conninfo, sql

from harness.job_rows import assert_only_job_is, make_jobs, process_names
from harness.played_tree import PlayedTree, tree_on
from jobsd.clock import monotonic_ns
from jobsd.database.connection import Session, Target
from jobsd.database.migrate import migrate, version
from jobsd.database.steps import latest_version
from jobsd.scoreboard.entry import DEAD, FREE, UP
from outages.cluster import Cluster, cluster
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.scoreboard.entry import ScoreboardEntry


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    with cluster() as server:
        yield server


def _terminate(session: Session, monitor: ScoreboardEntry) -> int:
    rows = session.connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = %s",
        (f"jobsd {monitor.name}",),
    )
    return len(rows.fetchall())


def _events(tree: PlayedTree, event: str) -> list[dict[str, Any]]:
    return [
        reported for reported in tree.events(event) if reported["process_kind"] == "monitor"
    ]


def _moment(reported: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(reported["timestamp"])


def _pruned(tree: PlayedTree, name: str) -> list[datetime]:
    pruned = tree.events("process.pruned")
    return [_moment(reported) for reported in pruned if reported["process"] == name]


def test_a_broken_connection_is_replaced(target: Target, session: Session) -> None:
    with tree_on(target) as tree:
        monitor = tree.start_monitor()

        assert _terminate(session, monitor) == 1
        tree.survey_passes(2)

        wait_until(lambda: _events(tree, "database.reconnected"))
        assert monitor.state == UP
        assert len(_events(tree, "database.reconnected")) == 1
        assert _events(tree, "database.unavailable") == []


@pytest.mark.behaviour(33)
def test_an_outage_is_reported_once_at_each_end_and_deaths_are_written_afterwards(
    server: Cluster,
) -> None:
    target = server.start_with_tables()
    session = Session(target, "test")
    with tree_on(target) as tree:
        (job,) = make_jobs(session, 1)
        monitor = tree.start_monitor()
        worker = tree.start_worker(job, running=(job,))
        session.close()
        server.stop()
        wait_until(lambda: not tree.scoreboard.database_up)
        tree.kill(worker)
        tree.reap(worker)
        tree.wake(monitor)
        wait_until(lambda: _events(tree, "database.unavailable"))
        assert worker.state == DEAD

        server.start()

        wait_until(lambda: worker.state == FREE and tree.scoreboard.database_up)
        assert_only_job_is(session, job, "failed")
        wait_until(lambda: _events(tree, "database.available"))
        assert (
            len(_events(tree, "database.unavailable"))
            == len(_events(tree, "database.available"))
            == 1
        )
    session.close()


@pytest.mark.failure(
    "The server stands still while the monitor asks it.",
    "The monitor's poll ends by a deadline of its own, and the supervisor continues",
)
def test_a_frozen_server_does_not_stop_the_rounds_for_long(server: Cluster) -> None:
    target = server.start_with_tables()
    with tree_on(target) as tree:
        monitor = tree.start_monitor()
        server.freeze()
        worst_s = 0.0

        def is_away() -> bool:
            nonlocal worst_s
            worst_s = max(worst_s, (monotonic_ns() - tree.scoreboard.monitor_polled_ns) / 1e9)
            return not tree.scoreboard.database_up

        wait_until(is_away)
        ticked_s = monitor.tick_age_s
        server.thaw()

        assert worst_s < 8
        assert ticked_s < 8
        wait_until(lambda: tree.scoreboard.database_up)


@pytest.mark.failure(
    "The tree is asked to end while the server hangs.",
    "The tree ends in time; the next tree recovers the jobs that it could not",
)
def test_the_end_of_the_tree_does_not_wait_for_a_frozen_server(server: Cluster) -> None:
    target = server.start_with_tables()
    with tree_on(target) as tree:
        monitor = tree.start_monitor()
        server.freeze()
        try:
            tree.scoreboard.stopping = 2
            tree.kill(monitor, 15)  # type: ignore[arg-type]

            assert tree.reap(monitor, "stop", within_s=0.9) == 0
        finally:
            server.thaw()


def test_a_tree_that_was_started_without_a_database_makes_the_tables_when_there_is_one(
    server: Cluster,
) -> None:
    url = server.start_with_tables().url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS later")
    target = Target(conninfo.make_conninfo(url, dbname="later"))
    with tree_on(target) as tree:
        monitor = tree.start_monitor(surveys=False)
        wait_until(lambda: _events(tree, "database.awaited"))

        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE later")

        wait_until(lambda: tree.scoreboard.database_up)
        session = Session(target, "test")
        assert version(session) == latest_version()
        assert monitor.name in process_names(session)
        tree.wait_only_event("database.migrated")
        session.close()


def test_tables_that_we_may_not_make_are_waited_for(empty_database: str) -> None:
    target = Target(conninfo.make_conninfo(empty_database, user="jobsd_nobody"))
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS jobsd_nobody")
        connection.execute("CREATE ROLE jobsd_nobody LOGIN")
        name = connection.info.dbname
        public = sql.SQL("REVOKE CREATE ON DATABASE {} FROM PUBLIC").format(
            sql.Identifier(name)
        )
        connection.execute(public)
        try:
            with tree_on(target) as tree:
                monitor = tree.start_monitor(surveys=False)

                wait_until(lambda: _events(tree, "schema.outdated"))

                assert "db migrate" in _events(tree, "schema.outdated")[0]["error"]["message"]
                assert monitor.state == UP
        finally:
            connection.execute("DROP ROLE jobsd_nobody")


def test_tables_of_another_build_that_a_monitor_finds_are_waited_for(
    empty_database: str,
) -> None:
    target = Target(empty_database)
    migrate(target)
    hashes = "UPDATE jobsd.schema_migrations SET statements_hash = reverse(statements_hash)"
    with contextlib.closing(Session(target, "test")) as session, tree_on(target) as tree:
        session.connection.execute(hashes.encode())
        monitor = tree.start_monitor(surveys=False)
        wait_until(lambda: _events(tree, "schema.foreign"))
        wait_until(lambda: ", tables of another build" in _title(monitor))
        assert process_names(session) == set()

        session.connection.execute(hashes.encode())
        wait_until(lambda: tree.scoreboard.database_up)
        assert monitor.name in process_names(session)
        assert len(_events(tree, "schema.foreign")) == 1
        for event in ("database.unavailable", "schema.outdated"):
            assert tree.events(event) == []


def _title(entry: ScoreboardEntry) -> str:
    return Path(f"/proc/{entry.pid}/cmdline").read_text(encoding="utf-8")


@pytest.mark.failure(
    "The database was away for longer than `process_alive_threshold`.",
    "No process is declared dead because of that: the time starts again for all",
)
def test_the_length_of_an_outage_does_not_count_against_peer_processes(server: Cluster) -> None:
    target = server.start_with_tables()
    session = Session(target, "test")
    with tree_on(target, process_alive_threshold_s=1) as tree:
        tree.start_monitor()
        session.connection.execute(
            "INSERT INTO jobsd.processes (kind, name, pid, hostname)"
            " VALUES ('worker', 'far', 1, 'elsewhere')"
        )
        tree.survey_passes(1)
        session.close()
        server.stop()
        wait_until(lambda: not tree.scoreboard.database_up)
        began = monotonic_ns()
        wait_until(lambda: monotonic_ns() - began > 1.2e9)

        server.start()

        wait_until(lambda: "far" not in process_names(session))
        wait_until(lambda: _pruned(tree, "far"))
        (pruned,) = _pruned(tree, "far")
        # With so short a threshold a statement that takes long is an outage, too.
        back = max(
            at for at in map(_moment, _events(tree, "database.available")) if at < pruned
        )
        assert pruned - back > timedelta(seconds=0.9)
    session.close()
