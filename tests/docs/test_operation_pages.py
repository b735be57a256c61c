"""What the pages on operation say of heartbeats and of who is up is so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from system.tree import Project

if TYPE_CHECKING:
    from pathlib import Path


def test_a_heartbeat_by_hand_makes_health_true_and_status_tells_of_processes(
    tmp_path: Path, empty_database: str
) -> None:
    project = Project(tmp_path, empty_database)
    project.run("db", "migrate")
    asked = (["health"], ["heartbeat", "verify", "--within", "10m"], ["status"])
    assert [project.run(*words).returncode for words in asked] == [1, 1, 3]

    project.run("perform", "HeartbeatJob")

    assert [project.run(*words).returncode for words in asked] == [0, 0, 3]


def test_a_command_starts_no_embedded_server_where_that_is_forbidden(tmp_path: Path) -> None:
    forbidden = {"DATABASE_URL": "", "JOBSD_EMBEDDED": "0"}
    project = Project(tmp_path, "", **forbidden)

    refused = project.run("status")
    needless = [project.run(*words).returncode for words in (["check"], ["db", "sql"])]

    assert (refused.returncode, needless) == (78, [0, 0]), refused.stderr
    assert "JOBSD_EMBEDDED=0 forbids" in refused.stderr
