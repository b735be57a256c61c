"""The daemon beside Django's own server, with JOBSD_IN_WEB=1."""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from django_app.project import DjangoProject, database
from harness.tree import lives
from jobsd.database.connection import Target
from jobsd.database.migrate import migrate
from ports import free_port
from waiting import wait_until
from web_servers.servers import Server, stop

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = pytest.mark.system

URLS = """
import os
from django.http import HttpResponse
from django.urls import path
from jobsd import job
from shop.jobs import said

def ask(request):
    said.enqueue()
    return HttpResponse(str(os.getpid()))

urlpatterns = [path("", ask)]
"""
JOBS = """
from jobsd import job

@job
def said():
    print("said {}")
"""


@pytest.fixture
def project(tmp_path: Path, empty_database: str) -> DjangoProject:
    made = DjangoProject(tmp_path)
    made.configure({"default": database(empty_database)})
    with (tmp_path / "settings.py").open("a") as file:
        file.write('DEBUG = True\nROOT_URLCONF = "urls"\n')
    made.write("urls.py", URLS)
    made.write("shop/jobs.py", JOBS.format("one"))
    migrate(Target(empty_database))
    return made


@contextlib.contextmanager
def _runserver(project: Any, *options: str) -> Generator[Server]:
    port = free_port()
    command = [sys.executable, "manage.py", "runserver", *options, f"127.0.0.1:{port}"]
    server = Server(command, project, port, JOBSD_IN_WEB="1")
    try:
        yield server
    finally:
        server.end()


def _is_said(server: Server, word: str) -> bool:
    return any(event["event"] == f"said {word}" for event in server.events())


def test_the_server_has_a_tree_that_is_reloaded_and_drained_with_it(
    project: DjangoProject, empty_database: str
) -> None:
    with _runserver(project) as server:
        first = server.get()
        supervisor = server.one_tree()
        wait_until(lambda: _is_said(server, "one"), 30, server.reported)

        project.write("shop/jobs.py", JOBS.format("two, which is longer"))
        server.wait_event("supervisor.reloaded", within_s=60)
        wait_until(lambda: server.get() != first, 30, server.reported)
        wait_until(lambda: server.get() and _is_said(server, "two, which is longer"), 30)
        assert server.one_tree().pid == supervisor.pid
        assert "starts no daemon" not in server.reported()

        stop(server)

        wait_until(lambda: not lives(supervisor), 20, server.reported)
        assert [each["exit_status"] for each in server.events("supervisor.stopped")] == [0]
        wait_until(lambda: server.keepers() == [], 10)
    with psycopg.connect(empty_database) as connection:
        failed = connection.execute("SELECT count(*) FROM jobsd.failed_executions").fetchone()
        assert failed == (0,)


def test_a_server_that_does_not_reload_drains_its_tree_at_a_ctrl_c(
    project: DjangoProject,
) -> None:
    with _runserver(project, "--noreload") as server:
        server.get()
        supervisor = server.one_tree()

        server.process.send_signal(signal.SIGINT)

        assert server.process.wait(30) == 0
        wait_until(lambda: not lives(supervisor), 20, server.reported)
        assert [each["exit_status"] for each in server.events("supervisor.stopped")] == [0]
