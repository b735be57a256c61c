"""A newcomer's project, made by `init` in another folder, works as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from harness.project import Project
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

SCRIPT = """
import os
import psycopg
from {module} import {job}

with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    committed = {job}.using(connection=connection).enqueue("committed")
    connection.commit()
    {job}.using(connection=connection).enqueue("rolled back")
    connection.rollback()
print(committed.id)
"""


def _sample(root: Path) -> tuple[str, str]:
    """Return the module and the name of the job that `init` has written."""
    configuration = (root / "config/queue.yml").read_text(encoding="utf-8")
    found = re.search(r"^ *import: *\[?([\w.]+)", configuration, re.MULTILINE)
    assert found, configuration
    source = (root / f"{found[1].replace('.', '/')}.py").read_text(encoding="utf-8")
    defined = re.search(r"^@job.*\ndef (\w+)", source, re.MULTILINE)
    assert defined, source
    return found[1], defined[1]


def test_a_script_enqueues_in_its_transaction(
    tmp_path: Path, empty_database: str, query: Query
) -> None:
    project = Project(tmp_path, empty_database)
    made = project.run("init")
    assert made.returncode == 0, made.stderr
    module, name = _sample(tmp_path)

    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        script = project.write("enqueue_it.py", SCRIPT.format(module=module, job=name))
        done = subprocess.run(
            [sys.executable, str(script)],
            cwd=tmp_path,
            env=project.environ,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        job_id = int(done.stdout)
        wait_until(
            lambda: query(f"SELECT FROM jobsd.jobs WHERE id = {job_id} AND finished_at < now()")
        )

    rows = query(
        f"SELECT arguments ->> 0, outcome FROM jobsd.jobs WHERE class_name = '{module}.{name}'"
    )
    assert rows == [("committed", "finished")]


def test_init_overwrites_nothing(tmp_path: Path, empty_database: str) -> None:
    project = Project(tmp_path, empty_database)
    project.write("config/queue.yml", "# mine\n")

    project.run("init")

    assert (tmp_path / "config/queue.yml").read_text(encoding="utf-8") == "# mine\n"
    assert (tmp_path / "bin/jobs").stat().st_mode & 0o111
