"""The tree inside real web servers: one of it, for as long as they run."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import psutil
import pytest

from harness.tree import lives
from waiting import wait_until
from web_servers.servers import COMMANDS, inside, stop

if TYPE_CHECKING:
    from harness.project import Project

pytestmark = pytest.mark.system

_GONE_S = 1.0


@pytest.mark.behaviour(90)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_server_has_one_tree_and_drains_it_at_its_end(name: str, project: Project) -> None:
    with inside(name, project) as server:
        server.get()
        supervisor = server.one_tree()
        assert not server.listeners() & server.pids_of_trees()

        stop(server)

        wait_until(lambda: not lives(supervisor), 20, server.reported)
        assert [each["exit_status"] for each in server.events("supervisor.stopped")] == [0]
        wait_until(lambda: server.keepers() == [], 10)


@pytest.mark.behaviour(89)
@pytest.mark.failure(
    "a web server with the tree inside is killed",
    "the tree is gone within a second",
)
@pytest.mark.parametrize("name", ["gunicorn", "uvicorn with 4 workers"])
def test_a_tree_is_gone_with_a_server_that_is_killed(name: str, project: Project) -> None:
    with inside(name, project) as server:
        server.get()
        supervisor = server.one_tree()

        server.process.kill()

        wait_until(lambda: not lives(supervisor), _GONE_S, server.reported)
        wait_until(lambda: server.keepers() == [], 10)


@pytest.mark.failure(
    "the tree inside a web server crashes, a worker of the server is replaced, or the tree's"
    " keeper is killed",
    "there is one tree again",
)
def test_whatever_is_killed_there_is_one_tree_again(project: Project) -> None:
    with inside("gunicorn", project) as server:
        worker = int(server.get())
        first = server.one_tree()

        _kill(psutil.Process(worker))
        assert server.get() != str(worker)
        assert server.one_tree().pid == first.pid

        _kill(first)
        second = server.one_tree()
        assert server.process.poll() is None

        _kill(*server.keepers())
        wait_until(lambda: not lives(second), 10, server.reported)
        server.one_tree()
        assert stop(server) == 0
        wait_until(lambda: server.supervisors() == [], 20)


def test_a_reload_of_the_server_reloads_the_tree(project: Project) -> None:
    with inside("gunicorn", project) as server:
        server.get()
        server.one_tree()

        server.process.send_signal(signal.SIGHUP)

        server.wait_event("supervisor.reloaded", within_s=60)
        server.one_tree()


def test_a_server_that_restarts_its_workers_reloads_a_tree_of_older_files(
    project: Project,
) -> None:
    with inside("uvicorn with 4 workers", project) as server:
        server.get()
        server.one_tree()

        project.write("web_jobs.py", "from jobsd import job\n@job\ndef other(): pass\n")
        server.process.send_signal(signal.SIGHUP)

        server.wait_event("supervisor.reloaded", within_s=60)
        server.one_tree()
        stop(server)
        # Four workers have begun then, and one of them found what was changed.
        assert len(server.events("supervisor.reloaded")) == 1


def test_another_server_takes_the_tree_over(project: Project) -> None:
    with inside("uvicorn", project) as old:
        old.get()
        first = old.one_tree()
        with inside("gunicorn", project) as new:
            new.get()
            assert [each.pid for each in new.supervisors()] == [first.pid]

            stop(old)

            wait_until(lambda: new.supervisors() not in ([], [first]), 20, new.reported)
            new.one_tree()


def test_a_server_has_no_tree_without_the_variable(project: Project) -> None:
    with inside("uvicorn", project, variable="0") as server:
        server.get()

        assert server.keepers() == server.supervisors() == []


def _kill(*processes: psutil.Process) -> None:
    for process in processes:
        process.kill()
    wait_until(lambda: not any(lives(each) for each in processes), 10)
