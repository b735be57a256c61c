"""The pages of platforms, of the console and of the log: what they show runs."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from docs.pages import blocks, guide
from harness.project import Project
from harness.tree import COMMAND

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.database.connection import Target

_JOBS = re.compile(r"bin/jobs ([^\"`|>\n]*)")


@pytest.fixture
def project(tmp_path: Path, target: Target) -> Project:
    """A project with the shipped heartbeat, and a log in which one line stands."""
    made = Project(tmp_path, target.url)
    made.write("config/queue.yml", "workers: [{threads: 3}]\n")
    task = "heartbeat: {class: HeartbeatJob, schedule: every 5 minutes}\n"
    made.write("config/recurring.yml", task)
    line = '2026-11-27 03:00:00 info [HEARTBEAT] {"hostname": "a"} logger=jobsd\n'
    made.write("log/production.log", line)
    return made


def test_the_lines_of_the_console_page_run(project: Project) -> None:
    (program,) = blocks(guide("console"), "python")
    asked = f"print(len({program.strip().splitlines()[0]}), 'heartbeats')\n"
    script = project.write("script.py", program + asked)

    done = _shell(project, f"jobs console < {script}")

    assert "0 heartbeats" in done


def test_the_commands_of_the_log_page_read_the_log_file_of_its_configuration(
    project: Project,
) -> None:
    *_, settings = blocks(guide("logs"), "yaml")
    searches, _kept, _journal = blocks(guide("logs"), "console")
    project.write("config/queue.yml", settings)

    for words in _JOBS.findall(searches):
        done = project.run(*shlex.split(words.replace("--follow", "")))
        assert done.returncode == 0, done.stderr
    assert "[HEARTBEAT]" in project.run("logs").stdout


def test_the_pipeline_of_the_log_page_finds_the_heartbeat(project: Project) -> None:
    (pipelines,) = blocks(guide("logs"), "sh")
    (_, found) = pipelines.strip().splitlines()

    assert _shell(project, found) == "2026-11-27 03:00:00 info\n"


def test_the_commands_of_the_cron_page_run(project: Project) -> None:
    (shown,) = blocks(guide("cron"), "console")
    (command,) = _JOBS.findall(shown)

    done = project.run(*command.split())

    assert "*/5 * * * *" in done.stdout
    assert "perform HeartbeatJob" in done.stdout
    assert project.run("perform", "HeartbeatJob").returncode == 0


def test_the_commands_of_the_dokku_page_generate_its_files(project: Project) -> None:
    made, _, inside = blocks(guide("dokku"), "console")
    procfile, app = (project.run(*words.split()).stdout for words in _JOBS.findall(made))

    assert "jobs: " in procfile
    described = json.loads(app)
    assert set(described) >= {"formation", "scripts", "healthchecks"}
    assert project.run(*_JOBS.findall(inside)[0].split()).returncode == 0


def test_the_kamal_page_shows_the_generated_configuration(project: Project) -> None:
    (shown,) = blocks(guide("kamal"), "yaml")

    made = yaml.safe_load(project.run("generate", "kamal").stdout)

    assert made["servers"]["job"].keys() == yaml.safe_load(shown)["servers"]["job"].keys()
    assert made["servers"]["job"]["cmd"].endswith(" start")


def _shell(project: Project, line: str) -> str:
    """Run a line of a shell in the project, where `jobs` is the program."""
    function = f'jobs() {{ {shlex.join(COMMAND)} "$@"; }}\n'
    done = subprocess.run(
        ["/bin/sh", "-c", function + line],
        cwd=project.root,
        env=project.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout
