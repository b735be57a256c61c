"""Programs and tables of neighbouring versions work together, and others are refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import psycopg
import pytest

from harness.project import Project
from jobsd.database.connection import Target
from jobsd.database.migrate import migrate
from jobsd.database.statements import Statement, tables_are_at
from neighbours import NEXT, OURS, make_next_program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_JOBS = """
from jobsd import job

@job
def note(n): ...
"""
_SET = "UPDATE jobsd.schema_migrations SET version = %s"


@pytest.fixture
def project(empty_database: str, tmp_path: Path) -> Project:
    """A project, whose commands are run by either program."""
    made = Project(tmp_path, empty_database)
    made.write("config/queue.yml", "import: [trial_jobs]\n")
    made.write("trial_jobs.py", _JOBS)
    return made


@pytest.fixture
def the_next(tmp_path: Path) -> str:
    """The PYTHONPATH of the next program."""
    return make_next_program(tmp_path / "next")


def _made_by(url: str) -> list[object]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT made_by FROM jobsd.jobs")]


def test_the_next_program_omits_columns_that_the_tables_lack(
    project: Project, the_next: str, empty_database: str
) -> None:
    migrate(Target(empty_database))

    before = project.run("enqueue", "trial_jobs.note", "[1]", PYTHONPATH=the_next)
    missing = project.run("db", "migrate", "--dry-run", PYTHONPATH=the_next)
    migrated = project.run("db", "migrate", PYTHONPATH=the_next)
    after = project.run("enqueue", "trial_jobs.note", "[2]", PYTHONPATH=the_next)

    assert (before.returncode, before.stderr) == (0, "")
    assert missing.stdout == migrated.stdout == f"{NEXT:04d}_the_next\n"
    assert (after.returncode, after.stderr) == (0, "")
    assert _made_by(empty_database) == [None, "next"]


def test_this_program_works_with_the_tables_of_the_next(
    project: Project, the_next: str, empty_database: str
) -> None:
    project.run("db", "migrate", PYTHONPATH=the_next)

    done = project.run("enqueue", "trial_jobs.note", "[1]")
    status = json.loads(project.run("db", "status", "--json").stdout)

    assert (done.returncode, done.stderr) == (0, "")
    assert _made_by(empty_database) == [None]
    assert (status["oldest_supported"], status["version"]) == (OURS, NEXT)
    assert status["newest_supported"] == NEXT


@pytest.mark.parametrize("found", [OURS - 1, NEXT + 1])
def test_other_tables_are_refused_by_every_command(
    project: Project, empty_database: str, found: int
) -> None:
    migrate(Target(empty_database))
    with psycopg.connect(empty_database) as connection:
        connection.execute(_SET.encode(), (found,))

    for words in (["enqueue", "trial_jobs.note", "[1]"], ["start"]):
        done = project.run(*words)
        assert done.returncode == 78
        assert f"are at version {found}" in done.stderr


@pytest.fixture
def of_before() -> Iterator[None]:
    """Tables that are known to be of version 50, where ours are at 51."""
    tables_are_at("jobsd", 50, 51)
    yield
    tables_are_at("jobsd", 51, 51)


_TEXT = "SELECT a\n, b  -- since 51\n, c  -- before 51\n, %(d)s FROM jobsd.x"


def test_a_statement_is_for_our_tables() -> None:
    rendered = Statement("test", _TEXT).render("jobsd").decode()

    assert rendered == 'SELECT a\n, b  -- since 51\n, %(d)s FROM "jobsd".x'


@pytest.mark.usefixtures("of_before")
def test_a_statement_keeps_its_before_lines_for_older_tables() -> None:
    statement = Statement("test", _TEXT)

    assert (
        statement.render("jobsd").decode()
        == 'SELECT a\n, c  -- before 51\n, %(d)s FROM "jobsd".x'
    )
    assert b", c" in statement.number("jobsd")[0]
    assert ", c" in statement.in_style("qmark", "jobsd")[0]
