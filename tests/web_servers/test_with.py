"""`bin/jobs with`: a real web server beside a real tree."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from django_app.project import DjangoProject, database
from harness.tree import COMMAND, lives
from ports import free_port
from waiting import wait_until
from web_servers.servers import Server, command, stop

if TYPE_CHECKING:
    from harness.project import Project

pytestmark = pytest.mark.system


def test_a_tree_beside_gunicorn_is_started_again_and_drained(project: Project) -> None:
    port = free_port()
    words = [
        word for word in command("gunicorn", port) if not word.startswith(("-c", "python:"))
    ]
    server = Server([*COMMAND, "with", "--queues", "*", "--", *words], project, port)
    try:
        web = psutil.Process(int(server.get())).parent()
        first = server.one_tree()

        first.kill()
        wait_until(lambda: not lives(first), 10)

        assert server.one_tree().pid != first.pid
        assert psutil.Process(int(server.get())).parent() == web
        assert stop(server) == 0
        assert server.alive() == []
    finally:
        server.end()


FLASK_APP = """
import os
from flask import Flask
from jobsd.flask import Jobs

app = Flask("shop")
app.config["JOBSD_DATABASE_URL"] = {url!r}
Jobs(app)
app.get("/")(lambda: str(os.getpid()))
"""


@pytest.mark.parametrize("framework", ["django", "flask"])
def test_the_command_of_a_framework_needs_nothing_else_set(
    framework: str, project: Project
) -> None:
    url = project.environ.pop("DATABASE_URL")
    if framework == "django":
        made = DjangoProject(project.root)
        made.configure({"default": database(url)})
        setup = "import django\ndjango.setup()\n"
        made.write("wsgi_app.py", setup + (project.root / "wsgi_app.py").read_text("utf-8"))
        words = [sys.executable, "manage.py"]
    else:
        project.write("wsgi_app.py", FLASK_APP.format(url=url))
        words = [sys.executable, "-m", "flask", "--app", "wsgi_app"]
    project.write("config/queue.yml", "{}\n")
    project.environ["JOBSD_ENV"] = "production"
    port = free_port()
    web = [each for each in command("gunicorn", port) if not each.startswith(("-c", "python:"))]
    server = Server([*words, "jobs", "with", "--", *web], project, port)
    try:
        server.get()

        server.wait_event("supervisor.ready")
        assert stop(server) == 0
    finally:
        server.end()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["with"], "the command is missing"),
        (["with", "--"], "the command is missing"),
        (["with", "--", "no-such-program"], "there is no program 'no-such-program'"),
        (["with", "--no-such-option", "--", "true"], "no-such-option"),
    ],
)
def test_a_wrong_call_is_usage(project: Project, words: list[str], message: str) -> None:
    done = project.run(*words)

    assert done.returncode == 2
    assert message in done.stderr


def test_faults_are_reported_before_anything_is_started(project: Project) -> None:
    project.write("config/queue.yml", "wrokers: []\n")

    done = project.run("with", "--", "touch", "started")

    assert done.returncode == 78
    assert "wrokers" in done.stderr
    assert not (project.root / "started").exists()
