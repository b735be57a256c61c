"""`start --reload`: the tree follows the files of the project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from waiting import wait_until

if TYPE_CHECKING:
    from harness.project import Project

pytestmark = pytest.mark.system

_JOB = """
from jobsd import job
@job
def hello():
    print("{word}")
"""


def test_changed_code_replaces_the_workers_and_a_syntax_error_is_waited_out(
    project: Project,
) -> None:
    project.write("web_jobs.py", _JOB.format(word="before"))
    with project.start("--reload") as tree:
        tree.wait_event("supervisor.ready")

        project.write("web_jobs.py", _JOB.format(word="after"))
        tree.wait_event("supervisor.reloaded", within_s=60)
        assert project.run("enqueue", "web_jobs.hello").returncode == 0
        wait_until(lambda: any('"after"' in line for line in tree.lines), 20, tree.reported)

        project.write("web_jobs.py", "def broken(:\n")
        tree.wait_event("supervisor.reload_failed")
        project.write("web_jobs.py", _JOB.format(word="mended"))
        tree.wait_event("supervisor.reloaded", 2, within_s=60)
        assert project.run("enqueue", "web_jobs.hello").returncode == 0
        wait_until(lambda: any('"mended"' in line for line in tree.lines), 20, tree.reported)

        assert tree.terminate() < 30
        assert tree.process.returncode == 0


def test_a_fault_at_the_start_is_waited_out(project: Project) -> None:
    project.write("web_jobs.py", "def broken(:\n")
    with project.start("--reload") as tree:
        tree.wait_event("tree.exited")

        project.write("web_jobs.py", _JOB.format(word="mended"))

        tree.wait_event("supervisor.ready")
        tree.terminate()
