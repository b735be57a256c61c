"""A deployment, step by step, as Dokku and Kamal do it: by the files that `generate` writes.

Neither of the two is here. Their steps are: the release's command in a room of its own, the
process, its check until it is well, a command beside it, cron in a room of its own, the end.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, NamedTuple

import pytest
import yaml
from psycopg import conninfo

from harness.project import Project
from harness.tree import COMMAND
from system.commands import Commands
from system.room import room, why_not
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

JOBS = """
from jobsd import job

@job
def welcome(user_id: int) -> None:
    print(f"welcome {user_id}", flush=True)
"""
DAILY = "daily: {class: shop_jobs.welcome, args: [7], schedule: at 3am every day}\n"


class Deployment(NamedTuple):
    """What a platform reads from a file of ours."""

    release: str
    start: str
    check: str
    stop_s: float


def _dokku(run: Commands) -> Deployment:
    procfile = dict(
        line.split(": ", 1) for line in run("generate", "procfile").stdout.splitlines()
    )
    app = json.loads(run("generate", "dokku").stdout)
    (check,) = app["healthchecks"]["jobs"]
    assert list(app["formation"]) == ["jobs"]
    release = app["scripts"]["dokku"]["predeploy"]
    assert release == procfile["release"]
    # Dokku kills what has not ended after 30 s.
    return Deployment(release, procfile["jobs"], shlex.join(check["command"]), 30)


def _kamal(run: Commands) -> Deployment:
    text = run("generate", "kamal").stdout
    (release,) = re.findall(r'kamal app exec --version \S+ "(.+)"$', text, re.MULTILINE)
    role = yaml.safe_load(text)["servers"]["job"]
    options = role["options"]
    return Deployment(release, role["cmd"], options["health-cmd"], options["stop-timeout"])


@pytest.fixture
def run(tmp_path: Path, empty_database: str) -> Commands:
    """The commands of a project with its own bin/jobs, on a database without our tables."""
    project = Project(tmp_path, empty_database)
    project.write("shop_jobs.py", JOBS)
    project.write("config/queue.yml", "import: [shop_jobs]\n")
    project.write("config/recurring.yml", DAILY)
    program = project.write("bin/jobs", f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    return Commands(project)


def _cron(run: Commands) -> str:
    """Return the command of the only line of the crontab, for the folder in a room."""
    (line,) = re.findall(
        r"^[\d*/,-]+(?: \S+){4} (.*)$", run("generate", "crontab").stdout, re.MULTILINE
    )
    return str(line).replace(str(run.project.root), "/app")


@pytest.mark.skipif(bool(why_not()), reason=why_not() or "rooms can be made here")
@pytest.mark.parametrize("platform", [_dokku, _kamal])
def test_a_deployment_goes_through_all_its_steps(
    run: Commands, platform: Callable[[Commands], Deployment]
) -> None:
    deployment = platform(run)
    project = run.project
    environ = {**project.environ, "JOBSD_HOME": "/app", "JOBSD_ENV": "production"}
    socket = str(conninfo.conninfo_to_dict(project.environ["DATABASE_URL"]).get("host"))
    if not socket.startswith("/"):
        pytest.skip("a room has no network: this server has no socket")

    with room(deployment.release, project.root, environ, socket) as released:
        assert released.wait() == 0, released.printed
    with room(deployment.start, project.root, environ, socket) as jobs:
        wait_until(
            lambda: jobs.enter(deployment.check).returncode == 0, 60, lambda: jobs.printed
        )
        assert jobs.enter("bin/jobs enqueue shop_jobs.welcome '[5]'").returncode == 0
        wait_until(lambda: "welcome 5" in jobs.printed, 60, lambda: jobs.printed)
        seen = json.loads(jobs.enter("bin/jobs ps --json").stdout)
        with room(f"sh -c {shlex.quote(_cron(run))}", project.root, environ, socket) as cron:
            assert cron.wait() == 0, cron.printed
        status = jobs.stop(deployment.stop_s)

    assert {row["hostname"] for row in seen} == {"room"}, "it is not this machine's name"
    assert status == 0
    assert run.json("ps") == [], "what has ended has said so"
    finished = run.json("list", "--state", "finished")
    assert [row["arguments"] for row in finished] == [[5]]
