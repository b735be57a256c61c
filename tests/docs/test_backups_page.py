"""The commands of docs/guide/backups.md pause, and resume, a queue with jobs in it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from docs.pages import typed
from harness.project import Project
from waiting import wait_until

PAGE = (Path(__file__).parents[2] / "docs/guide/backups.md").read_text(encoding="utf-8")
START, REPORT, DISCARD, RESUME, PAUSE = typed(PAGE)


@pytest.mark.system
def test_the_page_starts_a_paused_tree_and_resumes_it(
    tmp_path: Path, empty_database: str
) -> None:
    project = Project(tmp_path, empty_database)
    project.write("config/queue.yml", "workers: [{}]\nlogs: {file: log/jobsd.log}\n")
    assert START == "bin/jobs start --paused"

    def run(line: str) -> int:
        return project.run(*shlex.split(line)[1:]).returncode

    log = project.write("log/jobsd.log", "")
    with project.start("--paused"):
        wait_until(lambda: "supervisor.ready" in log.read_text("utf-8"))
        assert [run(line) for line in (REPORT, DISCARD)] == [0, 0]
        run("bin/jobs enqueue HeartbeatJob")
        assert [run(RESUME), run(RESUME)] == [0, 5]
        wait_until(lambda: run("bin/jobs health --within 1m") == 0)
        assert run(PAUSE) == 0
        assert "everything_paused" in project.run("status", "--json").stdout
