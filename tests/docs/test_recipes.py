"""Recipes whose outcome depends on other jobs hold when all run at once, and run again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import psycopg
import pytest

from docs.pages import blocks, guide
from harness.project import Project
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.tree import Tree

pytestmark = pytest.mark.system

BATCHES, PARTS = 300, 3
TABLES = """
CREATE TABLE pictures AS SELECT id, false AS small FROM generate_series(1, 100) AS id;
CREATE TABLE albums (id int PRIMARY KEY, pages_left int NOT NULL);
CREATE TABLE pages (
    album int, page int, done bool NOT NULL DEFAULT false, PRIMARY KEY (album, page)
);
CREATE TABLE charges (order_id int PRIMARY KEY);
CREATE TABLE calls (second timestamptz PRIMARY KEY, number int NOT NULL);
"""
QUEUE = (
    "import: [recipes]\ndispatchers: [{}]\nworkers: [{queues: '*', threads: 3, processes: 2}]\n"
)
COUNT = "SELECT count(*) FROM jobsd.jobs WHERE class_name = %s"


@pytest.fixture
def project(tmp_path: Path, empty_database: str) -> Project:
    made = Project(tmp_path, empty_database)
    rate = [block for block in blocks(guide("limits"), "python") if "geocode" in block]
    made.write("recipes.py", "\n\n".join([*blocks(guide("workflows"), "python"), *rate]))
    made.write("config/queue.yml", QUEUE)
    assert made.run("db", "migrate").returncode == 0
    with psycopg.connect(empty_database) as connection:
        connection.execute(TABLES)
    return made


def _run_all(
    project: Project, url: str, program: str, meanwhile: Callable[[Tree], None] | None = None
) -> Tree:
    """Enqueue by a program, run a tree until nothing is left to run, and end it."""
    project.python("from recipes import *\n" + program)
    # What follows is tried once: if it runs where a worker is killed, it has failed.
    left = (
        "SELECT count(*) FROM jobsd.jobs WHERE finished_at IS NULL"
        " AND id NOT IN (SELECT job_id FROM jobsd.failed_executions)"
    )
    with project.start() as tree, psycopg.connect(url, autocommit=True) as connection:
        tree.wait_event("supervisor.ready")
        if meanwhile is not None:
            meanwhile(tree)
        wait_until(lambda: connection.execute(left).fetchone() == (0,), 120, tree.reported)
        tree.terminate()
    return tree


def _rows(url: str, query: str, *parameters: object) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode(), parameters).fetchall()


ADD = f"for album in range({BATCHES}): add_album(album, {PARTS})\n"
AGAIN = f"""
enqueue_many(
    scan.with_args(album, page) for page in range(1, {PARTS + 1}) for album in range({BATCHES})
)
"""


def _kill_a_worker(tree: Tree) -> None:
    """Kill one that has begun, in the midst of its jobs."""
    wait_until(lambda: any("is complete" in line for line in tree.lines), 30, tree.reported)
    tree.children("worker")[0].kill()


@pytest.mark.parametrize("program", [ADD, ADD + AGAIN], ids=["once", "each part twice"])
def test_what_follows_when_all_are_done_comes_once_for_each_group(
    program: str, project: Project, empty_database: str
) -> None:
    _run_all(project, empty_database, program)

    announced = "SELECT arguments, count(*) FROM jobsd.jobs WHERE class_name = %s GROUP BY 1"
    rows = _rows(empty_database, announced, "recipes.announce")
    assert (len(rows), {count for _, count in rows}) == (BATCHES, {1})
    assert _rows(empty_database, "SELECT DISTINCT pages_left FROM albums") == [(0,)]


@pytest.mark.failure(
    "a worker is killed while it runs groups of jobs, and the last job of each group enqueues"
    " the next step",
    "its jobs run again; the next step is enqueued once for each group",
)
def test_what_follows_comes_once_although_a_worker_was_killed(
    project: Project, empty_database: str
) -> None:
    _run_all(project, empty_database, ADD, _kill_a_worker)

    announced = "SELECT arguments, count(*) FROM jobsd.jobs WHERE class_name = %s GROUP BY 1"
    rows = _rows(empty_database, announced, "recipes.announce")
    assert (len(rows), {count for _, count in rows}) == (BATCHES, {1})


def test_a_chain_goes_on_once_however_often_the_first_job_runs(
    project: Project, empty_database: str
) -> None:
    twice = "enqueue_many(shrink.with_args(n) for n in [*range(1, 101)] * 2)"
    tree = _run_all(project, empty_database, twice)

    published = re.findall(r"picture (\d+) is published", "\n".join(tree.lines))
    assert (len(published), len(set(published))) == (100, 100)
    assert _rows(empty_database, "SELECT DISTINCT small FROM pictures") == [(True,)]


def test_jobs_with_the_same_key_charge_an_order_once(
    project: Project, empty_database: str
) -> None:
    thrice = "enqueue_many(charge.with_args(n) for n in range(100) for _ in range(3))"
    tree = _run_all(project, empty_database, thrice)

    charged = re.findall(r"order (\d+) is charged", "\n".join(tree.lines))
    assert (len(charged), len(set(charged))) == (100, 100)


def test_of_jobs_that_are_unique_one_is_taken_while_many_enqueue(
    project: Project, empty_database: str
) -> None:
    project.python(
        """
import threading
from jobsd import Limit, job

@job(name="only", limits_concurrency=Limit(to=1, key=lambda n: n, on_conflict="discard"))
def only(n): ...

def enqueue():
    together.wait()
    for n in range(20):
        states.append((n, only.enqueue(n).state))

states, together = [], threading.Barrier(6)
threads = [threading.Thread(target=enqueue) for _ in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert sorted(n for n, state in states if state == "ready") == list(range(20)), states
assert {state for _, state in states} == {"ready", "discarded"}, states
"""
    )

    assert _rows(empty_database, COUNT, "only") == [(20,)]


def test_no_second_has_more_calls_than_its_rate(project: Project, empty_database: str) -> None:
    tree = _run_all(
        project,
        empty_database,
        "enqueue_many(geocode.with_args(str(n)) for n in range(60))",
    )

    asked = re.findall(r"the service is asked for (\d+)", "\n".join(tree.lines))
    assert (len(asked), len(set(asked))) == (60, 60)
    ((calls, most),) = _rows(empty_database, "SELECT sum(number), max(number) FROM calls")
    assert (calls, most) == (60, 10)
