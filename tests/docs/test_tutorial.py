"""The tutorial, step by step, with a daemon that runs as it says."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from docs.pages import blocks, guide
from harness.project import Project
from harness.tree import COMMAND
from waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

SECTIONS = re.split(r"^## ", guide("tutorial"), flags=re.MULTILINE)[1:]
START, WRITE, ENQUEUE, FAIL, RECUR, _ = SECTIONS
IN_MY_SHELL = re.compile(r"mkdir|python3 -m venv|pip install|\. |export DATABASE_URL=")
"""What only prepares the reader's own shell; the others are run here."""


@pytest.fixture
def project(tmp_path: Path, empty_database: str) -> Project:
    made = Project(tmp_path, empty_database)
    made.environ["PYTHONPATH"] = str(tmp_path)
    return made


def _follow(project: Project, section: str) -> list[str]:
    """Run the commands of a section in order, and return what each of them prints."""
    lines = "".join(blocks(section, "console")).splitlines()
    words = [line.removeprefix("$ ") for line in lines]
    return [_run(project, each) for each in words if not IN_MY_SHELL.match(each)]


def _run(project: Project, command: str) -> str:
    """Run one command as the reader's shell does, with the Python of these tests."""
    if command == "bin/jobs":
        return ""  # the daemon, which the test has started
    if command == "jobsd init":
        assert project.run("init").returncode == 0
        project.write("bin/jobs", f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
        return ""
    done = subprocess.run(
        ["/bin/sh", "-ec", command.replace("python -c", f"{sys.executable} -c")],
        cwd=project.root,
        env=project.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, command + done.stdout + done.stderr
    return done.stdout


def _edit(project: Project, name: str, change: tuple[str, str]) -> None:
    text = (project.root / name).read_text(encoding="utf-8")
    pattern, line = change
    changed = re.sub(pattern, lambda _: line, text, count=1, flags=re.MULTILINE)
    assert changed != text, pattern
    project.write(name, changed)


def test_the_tutorial_works_step_by_step(project: Project) -> None:
    _follow(project, START)
    with project.start() as tree:
        tree.wait_event("supervisor.ready")

        project.write("shop.py", blocks(WRITE, "python")[0])
        _edit(project, "config/queue.yml", (r"^  import: .*\n", blocks(WRITE, "yaml")[0]))
        _follow(project, WRITE)

        *_, undone, listed = _follow(project, ENQUEUE)
        assert undone == "rolled back\n"
        assert listed.count("shop.welcome") == 1
        wait_until(lambda: "welcome, ann" in tree.reported(), 20, tree.reported)
        assert "welcome, b0b" not in tree.reported()

        _follow(project, FAIL)
        failed = wait_until(lambda: project.run("list", "--state", "failed").stdout, 30)
        job_id = failed.split("\t")[0]
        assert project.run("show", job_id, "--json").stdout.count('"attempt"') == 3

        _edit(project, "config/recurring.yml", (r"\Z", blocks(RECUR, "yaml")[0]))
        *_, upcoming, _ran = _follow(project, RECUR)
        assert len(upcoming.splitlines()) == 3
        wait_until(lambda: "users so far: 1" in tree.reported(), 20, tree.reported)
        tree.terminate()
