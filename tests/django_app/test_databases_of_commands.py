"""Where the commands of a project find its database: in its settings, or what it configures."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from psycopg import conninfo

from django_app.project import SQLITE, database

if TYPE_CHECKING:
    from django_app.project import DjangoProject

pytestmark = pytest.mark.system


def _name_of(url: str) -> object:
    return conninfo.conninfo_to_dict(url)["dbname"]


@pytest.mark.parametrize("by", ["the environment", "jobsd.configure"])
def test_a_project_without_postgresql_may_name_the_queue(
    by: str, project: DjangoProject, empty_database: str
) -> None:
    project.configure({"default": SQLITE})
    if by == "the environment":
        project.environ["QUEUE_DATABASE_URL"] = empty_database
    else:
        project.write("shop/jobs.py", f"import jobsd\njobsd.configure({empty_database!r})\n")

    url = project.manage("jobs", "db", "url")

    assert _name_of(url.strip()) == _name_of(empty_database)


@pytest.mark.parametrize(
    "program", ["manage.py jobs", "-m jobsd.daemon"], ids=["manage", "daemon"]
)
@pytest.mark.parametrize(
    ("file", "schema"),
    [("{}", "of_the_shop"), ("database: {schema: other}", "other")],
    ids=["without", "with"],
)
def test_commands_have_the_schema_that_the_project_configures(
    program: str, file: str, schema: str, project: DjangoProject
) -> None:
    project.configure({"default": SQLITE})
    project.environ["JOBSD_IMPORT"] = "jobsd.django.setup"
    project.write("config/queue.yml", file)
    configured = "import jobsd\njobsd.configure('postgresql:///shop', schema='of_the_shop')\n"
    project.write("shop/jobs.py", configured)

    done = project.run(*program.split(), "db", "url", "--json")

    assert json.loads(done.stdout)["schema"] == schema, done.stderr


@pytest.mark.parametrize("by_init", [True, False])
def test_the_setup_module_hands_on_the_database(
    project: DjangoProject, empty_database: str, *, by_init: bool
) -> None:
    project.configure({"default": database(empty_database)})
    project.environ |= {"JOBSD_ENV": "production", "VIRTUAL_ENV": sys.prefix}
    if by_init:
        assert "INSTALLED_APPS" not in project.manage("jobs", "init")
        del project.environ["DJANGO_SETTINGS_MODULE"]
        words = "import os; os.execv('bin/jobs', ['jobs', 'db', 'url'])"
        done = project.run("-c", words)
    else:
        project.write("config/queue.yml", "import: [jobsd.django.setup]\n")
        done = project.run("-m", "jobsd.daemon", "db", "url")

    assert done.returncode == 0, done.stderr
    assert _name_of(done.stdout.strip()) == _name_of(empty_database)


@pytest.mark.failure(
    "an application whose database the daemon would use can't be loaded",
    "78 with its error; no embedded database is made instead",
)
def test_an_application_that_fails_is_no_reason_to_make_a_database(
    project: DjangoProject,
) -> None:
    project.configure({"default": SQLITE})
    project.write("config/queue.yml", "import: [jobsd.django.setup]\n")
    project.write("settings.py", "raise RuntimeError('no settings')\n")
    project.environ["JOBSD_EMBEDDED_DIR"] = str(project.root / "postgres")

    done = project.run("-m", "jobsd.daemon", "start", "--until-empty")

    assert done.returncode == 78
    assert "can't be asked: RuntimeError: no settings" in done.stderr
    assert not (project.root / "postgres").exists()
