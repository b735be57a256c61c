"""What the pages on operation say of heartbeats, of who is up and who is connected is so."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import conninfo

from harness.project import Project
from waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


def test_a_heartbeat_by_hand_makes_health_true_and_status_reports_processes(
    tmp_path: Path, empty_database: str
) -> None:
    project = Project(tmp_path, empty_database)
    project.run("db", "migrate")
    within = ("--within", "10m")
    asked = (["health", *within], ["heartbeat", "verify", *within], ["status"])
    assert [project.run(*words).returncode for words in asked] == [1, 1, 3]

    project.run("perform", "HeartbeatJob")

    assert [project.run(*words).returncode for words in asked] == [0, 0, 3]


def test_a_command_starts_no_embedded_server_if_forbidden(tmp_path: Path) -> None:
    forbidden = {"DATABASE_URL": "", "JOBSD_EMBEDDED": "0"}
    project = Project(tmp_path, "", **forbidden)

    refused = project.run("status")
    needless = [project.run(*words).returncode for words in (["check"], ["db", "sql"])]

    assert (refused.returncode, needless) == (3, [0, 0]), refused.stderr
    assert "JOBSD_EMBEDDED=0 forbids" in refused.stderr


@pytest.mark.parametrize("way_past", [False, True])
def test_a_tree_has_the_connections_that_the_page_counts(
    tmp_path: Path, empty_database: str, *, way_past: bool
) -> None:
    project = Project(tmp_path, empty_database)
    listen_url = conninfo.make_conninfo(empty_database, connect_timeout=5)
    settings = f"database: {{listen_url: {json.dumps(listen_url)}}}\n" if way_past else ""
    project.write("config/queue.yml", settings)
    project.write("config/recurring.yml", "rare: {class: HeartbeatJob, schedule: every year}\n")
    kinds = ["dispatcher", "monitor", "scheduler", "worker"]
    listening = [f"{kind} wake-ups" for kind in kinds if kind != "monitor"]

    with project.start() as tree, psycopg.connect(empty_database, autocommit=True) as session:
        tree.wait_event("supervisor.ready")

        expected = sorted([*kinds, *(listening if way_past else [])])
        wait_until(
            lambda: _connected(session) == expected, what=lambda: str(_connected(session))
        )


def _connected(session: psycopg.Connection[Any]) -> list[str]:
    """Return who is connected to the database of a session, without what makes names unique."""
    names = session.execute(
        "SELECT application_name FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    ).fetchall()
    return sorted(re.sub(r"^jobsd |-[0-9a-f]+", "", name) for (name,) in names)
