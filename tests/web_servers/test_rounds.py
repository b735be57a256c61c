"""Everything that can befall a tree inside web servers, at random: never two trees."""

from __future__ import annotations

import contextlib
import random
import signal
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from harness.tree import lives
from waiting import wait_until
from web_servers.servers import Server, inside

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(1800)]

ROUNDS = 100


def test_there_are_never_two_trees_nothing_is_left_and_no_job_is_lost(
    project: Project, empty_database: str
) -> None:
    chance = random.Random(ROUNDS)  # noqa: S311 - no secret
    enqueued = 0
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(inside("gunicorn", project))
        server.get()
        for number in range(ROUNDS):
            server.one_tree()
            if number % 5 == 0:
                assert project.run("enqueue", "web_jobs.hello", f"[{number}]").returncode == 0
                enqueued += 1
            if chance.random() < 0.1:
                successor = stack.enter_context(inside("gunicorn", project))
                successor.get()
                server.process.send_signal(chance.choice([signal.SIGTERM, signal.SIGKILL]))
                server.process.wait(60)
                server = successor
                continue
            chance.choice([_kill_worker, _kill_supervisor, _kill_keeper, _reload])(server)

        server.one_tree()
        wait_until(lambda: _finished(empty_database) == enqueued, 60, server.reported)
        server.process.terminate()
        server.process.wait(60)
        wait_until(lambda: server.keepers() == server.supervisors() == [], 30)


def _kill_worker(server: Server) -> None:
    psutil.Process(int(server.get())).kill()


def _kill_supervisor(server: Server) -> None:
    _kill(server.supervisors)


def _kill_keeper(server: Server) -> None:
    before = server.supervisors()
    _kill(server.keepers)
    wait_until(lambda: not any(lives(each) for each in before), 20, server.reported)


def _reload(server: Server) -> None:
    server.process.send_signal(signal.SIGHUP)


def _kill(found: Callable[[], list[psutil.Process]]) -> None:
    for process in found():
        process.kill()


def _finished(url: str) -> int:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT count(finished_at) FROM jobsd.jobs").fetchone()
    return int(rows[0]) if rows else 0
