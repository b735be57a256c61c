"""The tests that docs/guide/testing.md shows pass, in a project as `init` makes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from docs.pages import blocks
from harness.project import Project
from harness.tree import COMMAND

pytestmark = pytest.mark.system

PAGE = (Path(__file__).parents[2] / "docs/guide/testing.md").read_text(encoding="utf-8")
PROGRAMS = blocks(PAGE, "python")
DJANGO = """
import os
import django
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict
parts = conninfo_to_dict(os.environ["DATABASE_URL"])
named = {key.upper(): value for key, value in parts.items() if key != "dbname"}
engine = "django.db.backends.postgresql"
settings.configure(DATABASES={"default": {"ENGINE": engine, "NAME": parts["dbname"], **named}})
django.setup()
from runner import Runner
print(Runner(interactive=False).run_tests(["test_sign_up"]), "failed")
"""


@pytest.fixture
def project(tmp_path: Path, empty_database: str) -> Project:
    made = Project(tmp_path, empty_database, TEST_DATABASE_URL=empty_database)
    assert made.run("init").returncode == 0
    made.write("bin/jobs", f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    made.write("config/queue.yml", "import: [shop]\n")
    return made


def test_the_tests_of_the_page_pass(project: Project) -> None:
    for name, text in zip(
        ("conftest.py", "shop.py", "test_shop.py"), PROGRAMS[:3], strict=True
    ):
        project.write(name, text)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(project.root)],
        cwd=project.root,
        env={**project.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert "4 passed" in done.stdout, done.stdout + done.stderr
    listed = project.run("list").stdout
    assert (listed.count("finished"), listed.count("discarded")) == (1, 1), listed


def test_the_tests_with_django_pass(project: Project) -> None:
    for name, text in zip(
        ("shop.py", "runner.py", "test_sign_up.py"), (PROGRAMS[1], *PROGRAMS[3:]), strict=True
    ):
        project.write(name, text)

    assert project.python(DJANGO).endswith("0 failed\n")


def test_a_schema_of_its_own_is_one_for_the_commands_too(
    tmp_path: Path, empty_database: str
) -> None:
    project = Project(tmp_path, empty_database, JOBSD_ENV="test")
    project.write("config/queue.yml", "test:\n  database: {schema: jobsd_test}\n")
    assert project.run("db", "migrate").returncode == 0

    printed = project.python(
        "import asyncio, jobsd, os\n"
        "jobsd.configure(os.environ['DATABASE_URL'], schema='jobsd_test')\n"
        "@jobsd.job(name='mail')\nasync def mail(to): return to * 2\n"
        "mail.enqueue(1)\n"
        "async def both(): return await mail(2), await asyncio.to_thread(mail.perform_now, 3)\n"
        "print(asyncio.run(both()))\n"
    )

    assert printed == "(4, 6)\n"
    assert project.run("list").stdout.count("mail") == 1
