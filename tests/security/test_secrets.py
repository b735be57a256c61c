"""No secret is told: everything that a real tree prints, shows or serves is searched."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import conninfo

from harness.project import Project
from jobsd.acts.inspect import without
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.tree import Tree

SECRET = "SESAME"
"""What all secrets here have in them, and nothing else."""

JOBS = """
import logging
from jobsd import Job, current_job, job

def check(value):
    assert "SESAME" in value

@job
def charge(user, token, *more):
    check(token)
    print("token:", token)
    print({"headers": {"Authorization": "Bearer SESAME"}, "more": more})
    logging.getLogger("charges").warning("charged", extra={"token": token})

@job
def refuse(user, token):
    raise ValueError("the card is refused")

@job
def die(token):
    import os, time
    time.sleep(0.2)
    os._exit(3)

class Charge(Job):
    def perform(self, user, *, token):
        check(token)

def sweep(days, token):
    check(token)
"""

QUEUE = """
import: [leaky_jobs]
jobs: {filter_arguments: [token, more, password], keep_log: 64KB}
supervisor: {heartbeat_interval: 0.2, process_alive_threshold: 10}
"""

RECURRING = """
charge: {class: leaky_jobs.charge, args: [me, SESAME-args], schedule: every second}
sweep: {command: 'leaky_jobs.sweep(7, token="SESAME-command")', schedule: every second}
"""

CALLS = [
    ("leaky_jobs.charge", ["me", "SESAME-2", "SESAME-3"]),
    ("leaky_jobs.charge", {"user": "me", "token": "SESAME-4"}),
    ("leaky_jobs.refuse", ["me", "SESAME-5"]),
    ("leaky_jobs.die", ["SESAME-6"]),
    ("leaky_jobs.refuse", ["me"]),
    ("Charge", {"user": {"password": "SESAME-7"}, "token": "SESAME-8"}),
    ("unknown", ["SESAME-9"]),
]

COMMANDS = """
status
status --json
ps --json
doctor
list --json
list --state failed
queues
recurring list
recurring list --json
recurring show charge
recurring show sweep --json
recurring history charge
db status
metrics
health
"""


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found: int = taken.getsockname()[1]
        return found


@pytest.fixture
def project(tmp_path: Path, empty_database: str, port: int) -> Project:
    made = Project(tmp_path, _with_password(empty_database))
    made.environ |= {
        "JOBSD_METRICS_BIND": f"127.0.0.1:{port}",
        "JOBSD_LOG_LEVEL": "debug",
        "PGPASSWORD": f"{SECRET}-environment",
    }
    made.write("leaky_jobs.py", JOBS)
    made.write("config/queue.yml", QUEUE)
    made.write("config/recurring.yml", RECURRING)
    return made


@pytest.fixture
def tree(project: Project, empty_database: str) -> Iterator[Tree]:
    """A tree in which all of the jobs have been run, in whatever way they end."""
    with project.start() as running:
        running.wait_event("supervisor.ready")
        for name, arguments in CALLS:
            _enqueue(empty_database, name, arguments)
        running.wait_event("job.failed", 4)
        running.wait_event("process.replaced")
        running.process.send_signal(signal.SIGUSR2)
        running.wait_event("supervisor.dumped")
        yield running


def test_nothing_that_a_tree_reports_has_a_secret_in_it(
    tree: Tree, project: Project, empty_database: str, port: int
) -> None:
    # What a killed process had not recorded has no log: the next run of the task has one.
    logged = "WARNING charges: charged token=***"
    wait_until(lambda: logged in _rows(empty_database, "jobsd.attempts"))
    reported = {
        "titles": _titles(tree),
        "activity": _rows(empty_database, "pg_stat_activity"),
        "processes": _rows(empty_database, "jobsd.processes"),
        "attempts": _rows(empty_database, "jobsd.attempts"),
        **{page: _ask(port, page) for page in ("metrics", "healthz", "livez", "readyz", "x")},
    }
    for line in [*COMMANDS.strip().splitlines(), *_shows(empty_database)]:
        done = project.run(*line.split(), JOBSD_LOG_LEVEL="info")
        reported[line] = done.stdout + done.stderr
    tree.terminate()
    reported["log"] = "\n".join(tree.lines)

    assert {where: _around(text) for where, text in reported.items() if SECRET in text} == {}
    assert "[FILTERED]" in reported["list --json"]
    assert "the card is refused" in reported["log"]
    assert logged in reported["attempts"]
    assert "sweep" in reported["recurring list"]


def test_a_password_on_the_command_line_is_in_no_title_of_the_tree(
    project: Project, empty_database: str
) -> None:
    with project.start(
        "--database-url", _with_password(empty_database), DATABASE_URL=""
    ) as tree:
        tree.wait_event("supervisor.ready")
        wait_until(lambda: "processes up" in _titles(tree), what=_titles(tree))

        assert SECRET not in _titles(tree)
        tree.terminate()
    assert not [line for line in tree.lines if SECRET in line]


def test_where_the_jobs_are_unknown_all_positional_arguments_are_hidden(
    project: Project, empty_database: str
) -> None:
    project.run("db", "migrate")
    _enqueue(empty_database, "elsewhere.charge", ["me", f"{SECRET}-1"])
    project.write("leaky_jobs.py", "raise ImportError('no such thing')\n")

    done = project.run("list", "--json")

    assert json.loads(done.stdout)[0]["arguments"] == ["[FILTERED]"] * 2
    assert "positional arguments are hidden" in done.stderr


def test_names_are_searched_for_at_every_depth() -> None:
    arguments = [
        {"token": 1, "a": [{"token": 2}]},
        {"$dict": [["token", 3], [4, 5]]},
        {"$dataclass": ["card", {"token": 6, "b": 7}]},
        {"$keywords": {"token": 8, "c": 9}},
    ]

    shown = json.dumps(without(arguments, ("token",)))

    assert [n for n in range(10) if str(n) in shown] == [4, 5, 7, 9]


def _shows(url: str) -> list[str]:
    """Return a command for each of our calls, found by the one class name and the other."""
    query = "SELECT min(id) FROM jobsd.jobs GROUP BY class_name, jsonb_typeof(arguments)"
    with psycopg.connect(url, autocommit=True) as connection:
        return [f"show {job_id}" for (job_id,) in connection.execute(query)]


def _with_password(url: str) -> str:
    return conninfo.make_conninfo(url, password=f"{SECRET}-pass word", sslpassword=SECRET)


def _enqueue(url: str, name: str, arguments: Any) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        query = "SELECT jobsd.enqueue(%s, %s::jsonb)"
        connection.execute(query, (name, json.dumps(arguments)))


def _titles(tree: Tree) -> str:
    processes = tree.children()
    lines = [" ".join(process.cmdline()) for process in processes]
    with open(f"/proc/{tree.process.pid}/cmdline", encoding="utf-8") as own:  # noqa: PTH123
        return "\n".join([own.read().replace("\0", " "), *lines])


def _rows(url: str, table: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute(f"SELECT * FROM {table}".encode()).fetchall()
        return "\n".join(map(str, rows))


def _ask(port: int, page: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=10) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return str(error.read().decode())


def _around(text: str) -> str:
    at = text.index(SECRET)
    return text[max(0, at - 150) : at + 60]
