"""What a job prints and logs is kept and shown as the page about logs says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from docs.pages import blocks, guide
from harness.project import Project
from waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

HEAD = """import logging, os, time
from jobsd import constant, job
log = logging.getLogger("mails")
"""
MORE = """
@job
def be_killed() -> None:
    os.system("echo a program writes")
    print("still here", end="")
    print("\\ntoken is PASSWORD=hunter2hunter2")
    time.sleep(60)
"""
SETTINGS = "import: [pages]\nworkers: [{threads: 1}]\n"


def test_it_is_shown_of_successes_and_of_killed_jobs(
    tmp_path: Path, empty_database: str
) -> None:
    page = guide("logs").partition("## The log of one job")[2].partition("\n## ")[0]
    project = Project(tmp_path, empty_database)
    project.write("pages.py", HEAD + blocks(page, "python")[0] + MORE)
    project.write("config/queue.yml", SETTINGS + blocks(page, "yaml")[0])

    def log(job_id: int) -> str:
        shown: dict[str, Any] = json.loads(
            project.run("show", str(job_id), "--log", "--json").stdout
        )
        return "\n".join(each["text"] for each in shown["log"])

    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        ids = project.python(
            "import pages\n"
            "print(pages.copy_mails.enqueue(2024).id, pages.be_killed.enqueue().id)"
        )
        copied, killed = map(int, ids.split())
        wait_until(lambda: "PASSWORD" in log(killed), 30, tree.reported)
        for process in tree.children("worker"):
            process.kill()
        tree.wait_event("process.recovered")

        assert "copying 2024" in log(copied)
        assert "WARNING mails: 2024 is a large year mails=9000" in log(copied)
        reported = project.run("show", str(killed), "--log").stdout

    assert "error\tattempt 1" in reported
    assert "ProcessExitError" in reported
    assert "a program writes" in reported
    assert "still here" in reported
    assert "hunter2" not in reported
