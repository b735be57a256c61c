"""The pipelines and snippets of the page about Solid Queue's operations do what they say."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from docs.pages import blocks, guide
from harness.project import Project
from harness.tree import COMMAND
from jobsd.enqueueing import client
from jobsd.enqueueing.client import Client
from jobsd.heartbeat.job import HeartbeatJob
from jobsd.logs import logs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobsd.database.connection import Target

pytestmark = pytest.mark.system

PAGE = guide("from-solid-queue-operations")
JOBS = """
from jobsd import Job

class DailyCleanupJob(Job):
    queue = "default"

    def perform(self):
        print("cleaned up")
"""
FOUND: dict[str, Callable[[str], bool]] = {
    "cut -d": lambda line: len(line.split(" ")) == 3 and line.endswith(" info"),
    "grep": lambda line: "HEARTBEAT" in line,
    "psql": lambda line: "production" in line or "executed_at" in line,
    "perform": lambda line: "cleaned up" in line,
}


@pytest.fixture
def project(tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose log holds a heartbeat."""
    made = Project(tmp_path, target.url)
    made.write("cleanup_jobs.py", JOBS)
    made.write("config/queue.yml", "import: [cleanup_jobs]\nlogs: {file: log/production.log}\n")
    shim = made.write("bin/jobs", f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("JOBSD_ENV", "production")
    client.configure(client=Client(target))
    log = tmp_path / "log/production.log"
    logs.configure("console", "info", kind="worker", name="worker-1", path=log)
    try:
        HeartbeatJob.perform_now()
    finally:
        logs.reset()
        client.configure()
    return made


def _run(
    project: Project, command: list[str], given: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=project.root,
        env=project.environ,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_pipelines_of_the_page_find_their_target(project: Project) -> None:
    (block,) = blocks(PAGE, "sh")
    for line in block.splitlines():
        done = _run(project, ["/bin/sh", "-c", line])

        found = next(found for word, found in FOUND.items() if word in line)
        printed = (done.stdout + done.stderr).splitlines()
        assert done.returncode == 0, (line, done.stderr)
        assert any(map(found, printed)), (line, printed)


def test_the_snippets_of_the_page_run_in_the_console(project: Project) -> None:
    snippets = "\n".join(blocks(PAGE, "python"))
    asked = "print(HeartbeatLog.latest().environment, len(HeartbeatLog.since('1h')))\n"

    done = _run(project, [*COMMAND, "console"], f"{snippets}\n{asked}")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "development 2"
