"""Every command and program that the README shows does what it says."""

from __future__ import annotations

import contextlib
import math
import os
import pty
import re
import shutil
import subprocess
import termios
from typing import TYPE_CHECKING

import psycopg
import pytest

from docs.pages import HOME, blocks, typed
from harness.project import Project
from harness.tree import COMMAND
from ports import free_port
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.tree import Tree

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
        wait_until(lambda: any("[HEARTBEAT]" in line for line in started.lines))
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

    wait_until(lambda: states().count("finished") >= 2, 20, tree.reported)
    assert states().count("scheduled") == 1
    assert "welcome, user 42" in tree.reported()


def test_the_picture_of_status_has_the_heads_of_a_terminal(
    project: Project, tree: Tree
) -> None:
    with psycopg.connect(project.environ["DATABASE_URL"]) as connection:
        connection.execute("SELECT jobsd.enqueue('of.an.unknown.class', '[]')")
    tree.wait_event("job.failed")

    shown = _on_a_terminal(project, "status")

    assert shown.partition("\n")[0] == STATUS.partition("\n")[0]
    assert len(_heads(STATUS)) == 4
    assert _heads(shown) == _heads(STATUS)


def _heads(screen: str) -> list[str]:
    """Return the first column of each table's head, which is in capitals."""
    heads = [line for line in screen.splitlines() if re.fullmatch(r"[A-Z][A-Z ]+", line)]
    return [re.split(r"\s{2,}", head)[0] for head in heads]


def _on_a_terminal(project: Project, *arguments: str) -> str:
    """Return what a command prints on a terminal of 96 columns, without colours."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (40, 96))
    with open(ours, "rb", buffering=0) as screen:  # noqa: PTH123 - no path, a descriptor
        command = [*COMMAND, *arguments]
        subprocess.run(command, cwd=project.root, env=project.environ, stdout=its, check=True)
        os.close(its)
        printed = b""
        # A terminal whose other end is closed reports an error after its last bytes.
        with contextlib.suppress(OSError):
            while more := screen.read(4096):
                printed += more
    plain = re.sub(r"\x1b\[[0-9;]*m", "", printed.decode())
    return plain.replace("\r\n", "\n")


def test_the_figures_of_the_readme_are_on_record() -> None:
    shown = _figures(README, [1, 2, 3, 4])
    record = _figures((HOME / "docs/evidence/peers.md").read_text("utf-8"), [2, 3, 5, 6])

    assert len(shown) == 10
    for queue, figures in shown.items():
        assert figures == pytest.approx(record[queue], rel=0.06, nan_ok=True), queue


def _figures(page: str, columns: list[int]) -> dict[str, list[float]]:
    """Return some columns of each queue in the table of drains, by its name's first word."""
    table = re.search(r"^\|[^\n]*\| drain 1.*?\n(?=[^|]|\Z)", page, re.MULTILINE | re.DOTALL)
    assert table is not None
    rows = [line.split("|")[1:] for line in table[0].splitlines()[2:]]
    return {
        row[0].split()[0].strip("*"): [_number(row[at]) for at in columns]
        for row in rows
        if row[2].strip()
    }


def _number(cell: str) -> float:
    found = re.search(r"[\d,.]+", cell)
    return float(found[0].replace(",", "")) if found else math.nan
