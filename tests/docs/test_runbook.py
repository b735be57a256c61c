"""Every command of docs/guide/runbook.md is one, and what it quotes is what is told."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from docs.pages import blocks
from harness.project import Project
from harness.tree import COMMAND
from jobsd.events.event_list import EVENTS
from jobsd.operations import health
from ports import free_port
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.tree import Tree

pytestmark = pytest.mark.system

HOME = Path(__file__).parents[2]
PAGE = (HOME / "docs/guide/runbook.md").read_text(encoding="utf-8")
TABLES = re.sub(r"^```.*?^```", "", PAGE, flags=re.MULTILINE | re.DOTALL)
TYPED = [line[2:] for block in blocks(PAGE, "console") for line in block.splitlines()]
NAMED = re.findall(r"`((?:jobsd|kill) [^`]+)`", TABLES)
JOBS = """
import os, time
from jobsd import job

@job(queue="mail")
def end_the_process(): os._exit(3)

@job(queue="mail")
def wait(): time.sleep(600)
"""


RULES = (HOME / "packaging/prometheus/jobsd.rules.yml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, server_url: str) -> Iterator[Project]:
    from conftest import drop_database, make_database

    url, name = make_database(server_url)
    root = tmp_path_factory.mktemp("runbook")
    shutil.copytree(HOME / "config", root / "config")
    made = Project(root, url)
    made.write("runbook_jobs.py", JOBS)
    made.write("config/queue.yml", "import: [runbook_jobs]\n")
    made.write("bin/jobsd", f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n').chmod(0o755)
    made.write("bin/journalctl", "#!/bin/sh\nexec cat journal\n").chmod(0o755)
    made.environ["PATH"] = f"{root / 'bin'}:{made.environ['PATH']}"
    yield made
    drop_database(server_url, name)


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def tree(project: Project, port: int) -> Iterator[Tree]:
    """A tree that has lost a worker, and runs a job."""
    with project.start(JOBSD_METRICS_BIND=f"127.0.0.1:{port}") as started:
        started.wait_event("supervisor.ready")
        # The worker that is to die may have the first heartbeat in hand.
        wait_until(lambda: project.run("heartbeat", "latest").returncode == 0)
        project.run("enqueue", "runbook_jobs.end_the_process")
        started.wait_event("process.replaced")
        started.wait_event("job.failed")
        project.write("journal", "".join(f"{line}\n" for line in started.lines))
        yield started


def test_each_alert_has_its_section_in_the_runbook() -> None:
    alerts = set(re.findall(r"alert: (\w+)", RULES))

    assert alerts == set(re.findall(r"^### (Jobsd\w+)$", PAGE, re.MULTILINE))


def test_each_finding_has_its_row_below_the_alert_of_its_severity() -> None:
    sections = {
        alert: set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
        for alert, text in re.findall(
            r"^### (\w+)\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL
        )
    }

    findings = {severity: set[str]() for severity in health.SEVERITIES.values()}
    for name, severity in health.SEVERITIES.items():
        findings[severity].add(name)

    assert sections["JobsdHealthBad"] == findings["bad"]
    assert sections["JobsdHealthWarns"] == findings["warning"]


@pytest.mark.parametrize("typed", dict.fromkeys([*TYPED, *NAMED]))
def test_a_command_of_the_runbook_works(
    typed: str, project: Project, tree: Tree, port: int
) -> None:
    program = typed.split(maxsplit=1)[0]
    if shutil.which(program, path=project.environ["PATH"]) is None:
        pytest.skip(f"{program} is not installed")
    project.run("queues", "pause", "mail")
    waits = project.run("enqueue", "runbook_jobs.wait").stdout.strip()
    filled = re.sub(r"\bID\b", waits, re.sub(r"\bPID\b", str(tree.process.pid), typed))
    filled = filled.replace("--class NAME", "--class runbook_jobs.end_the_process")
    filled = filled.replace("NAME", "mail").replace("9394", str(port))
    filled = filled.replace("curl ", "curl -sSf ")

    done = subprocess.run(
        ["/bin/sh", "-ec", filled],
        cwd=project.root,
        env=project.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_messages_quoted_by_the_runbook_exist_in_the_source() -> None:
    sources = "".join(
        path.read_text(encoding="utf-8")
        for room in ("daemon", "src/jobsd/database", "src/jobsd/operations")
        for path in (HOME / room).rglob("*.py")
    )
    quoted = re.findall(r'(?<![`{:\\[])"([a-z][a-z ]+)"', TABLES)

    missing = [each for each in quoted if each not in sources]

    assert len(quoted) >= 8
    assert missing == ["permission denied"], "which is PostgreSQL's"


def test_every_event_of_the_runbook_is_one() -> None:
    rooms = "|".join({name.partition(".")[0] for name in EVENTS})
    named = re.findall(rf"`((?:{rooms})\.(?!yml)[a-z_]+)`", PAGE)

    assert len(named) > 8
    assert [name for name in named if name not in EVENTS] == []
