"""A program that enqueues through connections of its own needs no URL, but the schema."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest

from harness.project import Project

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

PROGRAM = """
import sys
import psycopg
from jobsd import enqueue_many, job

@job(name="welcome", queue="mail")
def welcome(user_id):
    pass

with psycopg.connect(sys.argv[1]) as connection:
    welcome.using(connection=connection).enqueue(1)
    enqueue_many([welcome.with_args(2)], connection=connection)
"""


def test_an_enqueue_through_a_connection_needs_no_url(
    tmp_path: Path, empty_database: str
) -> None:
    project = Project(tmp_path, empty_database)
    project.write("config/queue.yml", "database: {schema: other}\n")
    assert project.run("db", "migrate").returncode == 0
    urls = {"DATABASE_URL", "QUEUE_DATABASE_URL"}
    environ = {name: value for name, value in project.environ.items() if name not in urls}

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, empty_database],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    with psycopg.connect(empty_database) as connection:
        rows = connection.execute("SELECT queue_name, arguments FROM other.jobs ORDER BY id")
        assert rows.fetchall() == [("mail", [1]), ("mail", [2])]
    assert not (tmp_path / "storage").exists()
