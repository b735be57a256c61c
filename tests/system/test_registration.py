"""Every process of a tree has a row, which its heartbeat keeps young."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from system.jobs import enqueue, ledger
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project
    from harness.tree import Tree

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

QUEUE = """
import: [trial_jobs]
workers: [{queues: [mail, "slow_*"], threads: 50, processes: 3}]
dispatchers: [{}]
"""


def _rows(project: Project, count: int) -> list[dict[str, Any]]:
    """Return the rows of the processes table once there are so many."""
    with psycopg.connect(project.environ["DATABASE_URL"], autocommit=True) as connection:
        cursor = connection.cursor(row_factory=dict_row)

        def rows() -> list[dict[str, Any]]:
            found = cursor.execute("SELECT * FROM jobsd.processes ORDER BY id").fetchall()
            # Who registers before its supervisor comes to belong to it a moment later.
            alone = [row for row in found if row["supervisor_id"] is None]
            return found if (len(found), len(alone)) == (count, 1) else []

        found: list[dict[str, Any]] = wait_until(rows, 5)
        return found


@pytest.fixture
def of_all_kinds(project: Project) -> Project:
    """The project, with three workers that are alike and one of each other kind."""
    project.write("config/queue.yml", QUEUE)
    project.write(
        "config/recurring.yml",
        "beat: {class: HeartbeatJob, schedule: every day, queue: mail}\n",
    )
    return project


def _settings(row: dict[str, Any]) -> dict[str, object]:
    metadata: dict[str, object] = row["metadata"]
    return {key: metadata[key] for key in ("queues", "threads", "polling_interval")}


@pytest.mark.behaviour(6, 11)
def test_each_process_has_a_row_that_points_to_its_supervisor(of_all_kinds: Project) -> None:
    with of_all_kinds.start() as tree:
        tree.wait_event("supervisor.ready")

        rows = _rows(of_all_kinds, 7)

        (supervisor,) = (row for row in rows if row["kind"] == "supervisor")
        children = [row for row in rows if row is not supervisor]
        kinds = ["dispatcher", "monitor", "scheduler", "worker", "worker", "worker"]
        assert sorted(row["kind"] for row in children) == kinds
        assert {row["pid"] for row in children} == {child.pid for child in tree.children()}
        assert supervisor["pid"] == tree.process.pid
        assert supervisor["supervisor_id"] is None
        assert {row["supervisor_id"] for row in children} == {supervisor["id"]}
        assert {row["hostname"] for row in rows} == {socket.gethostname()}
        settings = {"queues": "mail,slow_*", "threads": 50, "polling_interval": 0.1}
        assert [_settings(row) for row in children if row["kind"] == "worker"] == [settings] * 3


@pytest.mark.behaviour(9)
def test_a_worker_of_fifty_threads_has_one_connection(
    of_all_kinds: Project, query: Query
) -> None:
    with of_all_kinds.start() as tree:
        tree.wait_event("supervisor.ready")
        _rows(of_all_kinds, 7)

        connections = query(
            "SELECT application_name, count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'jobsd worker%'"
            " GROUP BY 1"
        )

        assert [row[1] for row in connections] == [1, 1, 1]
        assert tree.events("configuration.warning") == []


@pytest.mark.behaviour(12)
def test_heartbeats_go_on_while_jobs_run_and_while_a_worker_drains(
    of_all_kinds: Project, query: Query
) -> None:
    of_all_kinds.write(
        "config/queue.yml",
        "import: [trial_jobs]\nsupervisor: {heartbeat_interval: 0.1, shutdown_timeout: 30}",
    )
    with of_all_kinds.start() as tree:
        tree.wait_event("supervisor.ready")
        enqueue(query, "slow")
        wait_until(lambda: ledger(of_all_kinds), what=tree.reported)
        _rows(of_all_kinds, 5)
        assert _all_beat(query, tree) == {
            "supervisor",
            "monitor",
            "dispatcher",
            "scheduler",
            "worker",
        }

        tree.process.send_signal(signal.SIGTERM)
        wait_until(lambda: len(query("SELECT FROM jobsd.processes")) == 3, what=tree.reported)

        assert _all_beat(query, tree) == {"supervisor", "monitor", "worker"}
        assert ledger(of_all_kinds) == ["start slow"]
        tree.terminate(signal.SIGQUIT)


def _all_beat(query: Query, tree: Tree) -> set[object]:
    """Wait until each heartbeat has moved twice; return of which kinds they are."""
    beats = "SELECT kind, last_heartbeat_at FROM jobsd.processes"
    for _ in range(2):
        before = set(query(beats))
        wait_until(lambda before=before: not before & set(query(beats)), 5, tree.reported)  # type: ignore[misc]
    return {row[0] for row in query(beats)}
