"""What a line of the operations guide takes more than a command to try."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import psycopg
import pytest
import yaml
from psycopg import sql

from docs.operations import FORMAT, Guide
from jobsd.configuration.flags import Flags
from jobsd.configuration.load import examine, load, load_for_commands
from jobsd.in_web import is_enabled
from jobsd.testing import inline

if TYPE_CHECKING:
    import subprocess

WITH = """
import psycopg, sys, time
end = time.monotonic() + 60
with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    count = "SELECT count(*) FROM jobsd.processes WHERE kind = 'worker'"
    while connection.execute(count).fetchone()[0] < 2 and time.monotonic() < end:
        time.sleep(0.1)
print("served beside a worker", flush=True)
"""


def format_holds(guide: Guide) -> bool:
    """Return whether the keys of the format of recurring.yml mean what they say."""
    environ = {"JOBSD_ENV": "environment"}
    (task,) = (
        each
        for each in load(guide.project.root, environ, Flags()).tasks
        if each.key == "job_name"
    )
    said = (task.class_name, task.queue_name, task.priority, task.arguments[0])
    return said == ("guide_jobs.report", "queue_name", 1, ["arg1", "arg2"])


def either_class_or_command(guide: Guide) -> bool:
    """Return whether both at once are refused, as the format's OR says."""
    both = FORMAT.replace("    queue:", '    command: "Ruby.code.here"\n    queue:')
    guide.project.write("config/both.yml", both)
    flags = Flags(recurring="config/both.yml")
    faults = examine(guide.project.root, {"JOBSD_ENV": "environment"}, flags).faults
    return any("command" in fault.message for fault in faults)


def urls(guide: Guide) -> bool:
    """Return whether the queue may have a database of its own."""
    environ = {"DATABASE_URL": "postgresql://h/app"}
    options = [
        load_for_commands(guide.project.root, each, Flags())
        for each in (environ, environ | {"QUEUE_DATABASE_URL": "postgresql://h/queue"})
    ]
    return [each.database.url for each in options] == [
        "postgresql://h/app",
        "postgresql://h/queue",
    ]


def row_of_heartbeat(guide: Guide) -> bool:
    """Return whether the table has the heartbeat, with all that it is to have."""
    query = sql.SQL(
        "SELECT environment, hostname, executed_at FROM jobsd.heartbeat_logs ORDER BY id"
    )
    with psycopg.connect(guide.project.environ["DATABASE_URL"]) as connection:
        found = connection.execute(query).fetchall()
    return any(row[0] == "production" and row[1] and row[2] for row in found)


def with_a_web_server(guide: Guide) -> bool:
    """Run a program that ends once a second worker, beside it, has come."""
    if "with" not in guide.values:
        url = guide.project.environ["DATABASE_URL"]
        guide.values["with"] = guide.project.run("with", "--", sys.executable, "-c", WITH, url)
    done: subprocess.CompletedProcess[str] = guide.values["with"]
    return done.returncode == 0 and "served beside a worker" in done.stdout


def as_tests(guide: Guide) -> bool:
    """Run a job as a test does, where nothing is stored."""
    from jobsd import job

    ran: list[int] = []

    @job(name=f"rows.{id(guide)}")
    def note(number: int) -> None:
        ran.append(number)

    with inline():
        note.enqueue(7)
    return ran == [7]


def in_web(guide: Guide) -> bool:
    """Say whether the variable lets a web server run the tree; `tests/web_servers` run it."""
    del guide
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("JOBSD_IN_WEB", raising=False)
        without = is_enabled()
        patch.setenv("JOBSD_IN_WEB", "1")
        return is_enabled() and not without


def kamal(guide: Guide) -> bool:
    """Return whether the role for Kamal runs the same program."""
    role = yaml.safe_load(guide.jobs("generate", "kamal").out)["servers"]["job"]
    return bool(role["cmd"].endswith("bin/jobs start"))
