"""Every command and program that the README shows does what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from docs.pages import HOME, blocks, typed
from ports import free_port
from system.tree import COMMAND, Project, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from system.tree import Tree

pytestmark = pytest.mark.system

README = (HOME / "README.md").read_text(encoding="utf-8")
STARTS = {"bin/jobs", "jobsd init"}
"""Run by the fixtures, and by tests/system/test_sample_project.py."""
SETUP = {"pip install 'jobsd[embedded]'", "bin/test"}
"""Run by tests/layout/test_wheel.py and tests/setup."""
COMMANDS = [one for one in dict.fromkeys(typed(README)) if one not in STARTS | SETUP]
JOB, ENQUEUES = blocks(README, "python")
(STATUS,) = blocks(README, "text")


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, server_url: str) -> Iterator[Project]:
    """A project as `init` makes it, with the job of the README in its sample module."""
    from conftest import drop_database, make_database

    url, name = make_database(server_url)
    made = Project(tmp_path_factory.mktemp("readme"), url)
    assert made.run("init").returncode == 0
    made.write("bin/jobs", f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    sample = (made.root / "sample_jobs.py").read_text(encoding="utf-8")
    made.write("sample_jobs.py", sample + JOB)
    yield made
    drop_database(server_url, name)


@pytest.fixture(scope="module")
def tree(project: Project, port: int) -> Iterator[Tree]:
    with project.start(JOBSD_METRICS_BIND=f"127.0.0.1:{port}") as started:
        started.wait_event("supervisor.ready")
        wait_for(lambda: any("[HEARTBEAT]" in line for line in started.lines))
        yield started


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_succeeds(
    command: str, project: Project, tree: Tree, port: int
) -> None:
    program = command.split(maxsplit=1)[0]
    if shutil.which(program, path=f"{project.root}:{project.environ['PATH']}") is None:
        pytest.skip(f"{program} is not installed")
    assert tree.process.poll() is None

    done = subprocess.run(
        ["/bin/sh", "-ec", command.replace("9394", str(port)).replace("curl ", "curl -sSf ")],
        cwd=project.root,
        env=project.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )

    printed = (done.stdout + done.stderr).strip()
    assert (done.returncode, printed != "") == (0, True), printed


def test_the_programs_of_the_readme_run(project: Project, tree: Tree) -> None:
    users = (
        "import os, psycopg\nurl = os.environ['DATABASE_URL']\n"
        "with psycopg.connect(url) as c:"
        " c.execute('CREATE TABLE IF NOT EXISTS users (id int)')\n"
    )

    project.python(users + ENQUEUES)

    def states() -> list[str]:
        listed = project.run("list", "--class", "sample_jobs.welcome_user")
        return sorted(line.split("\t")[3] for line in listed.stdout.splitlines())

    wait_for(lambda: states().count("finished") >= 2, 20, tree.told)
    assert states().count("scheduled") == 1
    assert "welcome, user 42" in tree.told()


def test_the_picture_of_status_is_what_it_prints(project: Project, tree: Tree) -> None:
    assert tree.process.poll() is None

    status = project.run("status").stdout

    headings = [line for line in STATUS.splitlines() if line.endswith(":")]
    printed = status.splitlines()
    assert printed[0] == STATUS.splitlines()[0]
    assert headings
    assert [each for each in headings if not any(map(_begins(each), printed))] == []


def _begins(heading: str) -> Callable[[str], bool]:
    """Return what finds the heading of a section, which may say that it has no rows."""
    return lambda line: line.startswith(heading)


def test_the_figures_of_the_readme_are_on_record() -> None:
    (row,) = re.findall(r"^\| \*\*jobsd\*\* \|(.*)$", README, re.MULTILINE)
    record = (HOME / "benchmarks/README.md").read_text(encoding="utf-8")

    figures = re.findall(r"[\d,.]+", row)

    assert len(figures) == 3
    assert [each for each in figures if each not in record] == []
