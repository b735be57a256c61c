"""Tables of another build are refused by each command, and the way out that is named works."""

from __future__ import annotations

import re
import shlex
import shutil
from typing import TYPE_CHECKING

import psycopg
import pytest

from harness.project import Project
from jobsd.configuration.target import embedded_server
from jobsd.database.connection import Target
from jobsd.database.migrate import migrate
from jobsd.database.steps import migrations
from kept import kept_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from system.commands import Commands

pytestmark = pytest.mark.system

FOREIGN = "UPDATE jobsd.schema_migrations SET statements_hash = 'of another build'"
REFUSED = ("start",), ("db", "status"), ("db", "migrate"), ("queues",), ("list",)
ROWS = "SELECT * FROM jobsd.schema_migrations"


@pytest.mark.failure(
    "The tables are those of another build of the same version.",
    "`start`, `db status`, `doctor` and all commands that need them are refused with 78, and"
    " name how to drop tables of a development database.",
)
def test_each_command_refuses_tables_of_another_build(
    run: Commands, empty_database: str
) -> None:
    migrate(Target(empty_database))
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(FOREIGN)
        before = connection.execute(ROWS).fetchall()
        there = ("--database-url", empty_database)

        refused = [run(*words, *there) for words in REFUSED]

        assert connection.execute(ROWS).fetchall() == before
    assert {done.returncode for done in refused} == {78}
    sentence = f"another build of jobsd than this program: {migrations()[0].title} differs"
    assert all(sentence in done.stderr and "DROP SCHEMA" in done.stderr for done in refused)
    assert {done.stdout for done in refused[1:]} == {""}


def test_doctor_rates_them_and_ends_with_78(run: Commands, empty_database: str) -> None:
    migrate(Target(empty_database))
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(FOREIGN)

    found = run.json("doctor", "--database-url", empty_database, status=78)

    (schema,) = [each for each in found if each["subject"] == "schema"]
    assert (schema["level"], set(schema)) == ("FAIL", {"level", "subject", "message"})
    assert "another build" in schema["message"]


@pytest.fixture
def embedded() -> Iterator[Project]:
    """A project on an embedded server of its own."""
    folder: Path = kept_folder("jobsd-other-")
    environ = {"JOBSD_EMBEDDED_DIR": str(folder / "postgres")}
    made = Project(folder, "", **environ)
    made.write("config/queue.yml", "{}\n")
    yield made
    embedded_server(folder, environ).stop()
    shutil.rmtree(folder, ignore_errors=True)


def test_the_advice_of_the_refusal_recreates_a_development_database(embedded: Project) -> None:
    url = embedded.run("db", "url").stdout.strip()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FOREIGN)

    refused = [embedded.run(*words) for words in REFUSED]
    assert {done.returncode for done in refused} == {78}
    assert embedded.run("doctor").returncode == 78
    assert embedded.run("db", "url").stdout.strip() == url

    advice = re.search(r"`(db psql -c .*?)`, and run `(db migrate)`", refused[0].stderr)
    assert advice is not None, refused[0].stderr
    for words in advice.groups():
        done = embedded.run(*shlex.split(words))
        assert done.returncode == 0, done.stderr
    assert embedded.run("db", "status").returncode == 0
