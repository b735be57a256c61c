"""A tree whose application enqueues into another database is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import conninfo

from conftest import database_on
from harness.project import Project
from ports import free_port
from relay import Relay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.system


@pytest.fixture
def other(server_url: str) -> Iterator[str]:
    with database_on(server_url) as url:
        yield conninfo.make_conninfo(url, password="5E5AME-of-the-shop")


def _project(root: Path, url: str, *given: object) -> Project:
    project = Project(root, url)
    project.write("config/queue.yml", "import: [shop]\n")
    arguments = ", ".join(map(repr, given))
    project.write("shop.py", f"import jobsd\njobsd.configure({arguments})\n")
    return project


@pytest.mark.failure(
    "the application and the daemon name two databases",
    "the start is refused with 78 and both, without passwords; nothing is made in either",
)
def test_two_databases_are_refused_with_both(
    tmp_path: Path, empty_database: str, other: str
) -> None:
    project = _project(tmp_path, empty_database, other)

    done = project.run("start", "--until-empty")

    assert done.returncode == 78, done.stderr
    for url in (empty_database, other):
        assert f"dbname={conninfo.conninfo_to_dict(url)['dbname']}" in done.stderr
    assert "5E5AME" not in done.stderr + done.stdout
    with psycopg.connect(empty_database) as connection:
        row = connection.execute("SELECT to_regnamespace('jobsd')").fetchone()
    assert row == (None,)


def test_another_schema_is_refused(tmp_path: Path, empty_database: str) -> None:
    project = _project(tmp_path, empty_database, empty_database)
    project.write("config/queue.yml", "import: [shop]\ndatabase: {schema: other}\n")

    done = project.run("start", "--until-empty")

    assert done.returncode == 78, done.stderr
    assert "schema=other" in done.stderr


@pytest.mark.parametrize(
    ("variable", "status"), [("DATABASE_URL", 78), ("QUEUE_DATABASE_URL", 0)]
)
def test_the_database_of_sqlalchemy_counts_unless_the_queue_has_one_of_its_own(
    variable: str, status: int, tmp_path: Path, empty_database: str, other: str
) -> None:
    project = Project(tmp_path, "", FLASK_APP="shop")
    project.environ[variable] = empty_database
    project.write("config/queue.yml", "import: [jobsd.flask.setup]\n")
    parts = conninfo.conninfo_to_dict(other)
    uri = (
        f"postgresql+psycopg://{parts['user']}:{parts['password']}@/{parts['dbname']}"
        f"?host={parts['host']}&port={parts['port']}"
    )
    project.write(
        "shop.py",
        "from flask import Flask\nfrom jobsd.flask import Jobs\napp = Flask('shop')\n"
        f"app.config['SQLALCHEMY_DATABASE_URI'] = {uri!r}\nJobs(app)\n",
    )

    done = project.run("start", "--until-empty")

    assert done.returncode == status, done.stderr
    assert ("these are two" in done.stderr) is (status == 78)


def test_another_way_to_the_same_database_will_do(tmp_path: Path, empty_database: str) -> None:
    other_way = conninfo.make_conninfo(empty_database, application_name="shop")

    done = _project(tmp_path, empty_database, other_way).run("start", "--until-empty")

    assert done.returncode == 0, done.stderr


@pytest.mark.failure(
    "the application and the daemon name two databases, and one of them can't be reached",
    "the start warns that they were not compared, and goes on; the monitor compares them every"
    " 5 s until it can, and reports two once as `database.foreign`; a tree that has no tables"
    " yet makes none and waits",
)
def test_a_database_that_can_not_be_reached_is_a_warning(
    tmp_path: Path, empty_database: str
) -> None:
    nowhere = f"postgresql://me:5E5AME-of-the-shop@127.0.0.1:{free_port()}/shop"

    done = _project(tmp_path, empty_database, nowhere).run("start", "--until-empty")

    assert done.returncode == 0, done.stderr
    assert "not compared" in done.stdout + done.stderr
    assert "5E5AME" not in done.stdout + done.stderr


def test_a_database_that_comes_later_is_compared_then(
    tmp_path: Path, empty_database: str, other: str
) -> None:
    port = free_port()
    way = conninfo.make_conninfo(
        other, host="127.0.0.1", port=str(port), sslmode="disable", gssencmode="disable"
    )
    with _project(tmp_path, empty_database, way).start() as tree:
        tree.wait_event("supervisor.ready")
        Relay(other, port)

        tree.wait_event("database.foreign")

        assert "5E5AME" not in tree.reported()
