"""A queue in a database of its own: the router, the check, and the command in errors."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import psycopg
import pytest

from conftest import database_on
from django_app.project import SETTINGS, SQLITE, DjangoProject, database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.system

ROUTED = '\nDATABASE_ROUTERS = ["jobsd.django.Router"]\n'


@pytest.fixture
def apart(tmp_path: Path, empty_database: str) -> DjangoProject:
    """A project on SQLite whose queue has a database of its own, and that has no router."""
    project = DjangoProject(tmp_path, sys.executable)
    project.configure({"default": SQLITE, "queue": database(empty_database)}, alias="queue")
    return project


@pytest.fixture
def second_database(server_url: str) -> Iterator[str]:
    with database_on(server_url) as url:
        yield url


def _tables(url: str) -> set[object]:
    with psycopg.connect(url) as connection:
        query = (
            "SELECT schemaname || '.' || tablename FROM pg_tables"
            " WHERE schemaname IN ('public', 'jobsd')"
        )
        return {row[0] for row in connection.execute(query)}


def _add_router(project: DjangoProject) -> None:
    settings = (project.root / "settings.py").read_text(encoding="utf-8")
    project.write("settings.py", settings + ROUTED)


def test_the_router_keeps_each_table_in_its_database(
    tmp_path: Path, empty_database: str, second_database: str
) -> None:
    project = DjangoProject(tmp_path, sys.executable)
    both = {"default": database(empty_database), "queue": database(second_database)}
    project.configure(both, alias="queue")
    _add_router(project)

    project.manage("migrate", "-v", "0")
    project.manage("migrate", "-v", "0", "--database", "queue")

    default, queue = _tables(empty_database), _tables(second_database)
    assert {"public.auth_user", "jobsd.jobs"} & default == {"public.auth_user"}
    assert {name for name in queue if str(name).startswith("public.")} == {
        "public.django_migrations"
    }
    assert "jobsd.jobs" in queue


def test_a_queue_of_its_own_without_a_router_is_a_warning(apart: DjangoProject) -> None:
    without = apart.manage("check")
    _add_router(apart)

    assert "jobsd.W001" in without
    assert "manage.py migrate --database queue" in without
    assert "jobsd.W001" not in apart.manage("check")


def test_the_router_has_no_say_where_there_is_one_database(
    tmp_path: Path, empty_database: str
) -> None:
    project = DjangoProject(tmp_path, sys.executable)
    project.write(
        "settings.py",
        SETTINGS.format(databases={"default": database(empty_database)}, alias="default")
        + ROUTED,
    )

    project.manage("migrate", "-v", "0")

    assert {"public.auth_user", "jobsd.jobs"} <= _tables(empty_database)


def test_an_enqueue_without_tables_names_the_command_of_django(apart: DjangoProject) -> None:
    done = apart.run(
        "-c", "import django\ndjango.setup()\nfrom shop.jobs import *\nwelcome.enqueue(1)"
    )

    assert "run `manage.py migrate --database queue`" in done.stderr
