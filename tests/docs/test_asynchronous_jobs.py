"""What the pages say of asynchronous jobs: Django's ORM through a restart, a shared engine."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import conninfo

from docs.pages import blocks, guide
from enqueueing.drivers import address
from harness.project import Project
from jobsd.configuration.target import embedded_server
from kept import kept_folder
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.tree import Tree
    from jobsd.embedded import Server

pytestmark = pytest.mark.system

QUEUE = "import: [{}]\nworkers: [{{threads: 3}}]\n"

SETTINGS = """
INSTALLED_APPS = ["jobsd.django"]
DATABASES = {{
    "default": {{
        "ENGINE": "django.db.backends.postgresql", "NAME": {dbname!r}, "USER": {user!r},
        "HOST": {host!r}, "PORT": {port!r}, "CONN_MAX_AGE": {age}, "CONN_HEALTH_CHECKS": True,
    }},
    "queue": {queue!r},
}}
JOBSD_DATABASE = "queue"
"""
SHOP = """
from django.db import models

from jobsd import job


class Order(models.Model):
    class Meta:
        app_label, db_table = "shop", "orders"


@job(name="count_async")
async def count_async(number):
    print(f"async {number}: {await Order.objects.acount()} orders")


@job(name="count")
def count(number):
    print(f"plain {number}: {Order.objects.count()} orders")
"""


@pytest.fixture
def server() -> Iterator[Server]:
    """The server of an application, which may be restarted."""
    folder = kept_folder("jobsd-django-")
    environ = {**os.environ, "JOBSD_EMBEDDED_DIR": str(folder / "postgres")}
    made = embedded_server(folder, environ)
    try:
        with psycopg.connect(made.ensure()) as connection:
            connection.execute("CREATE TABLE orders (id int)")
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _django_project(root: Path, queue_url: str, url: str, *, age: int) -> Project:
    project = Project(root, queue_url, DJANGO_SETTINGS_MODULE="shop_settings")
    parts = conninfo.conninfo_to_dict(url)
    names = {"NAME": "dbname", "USER": "user", "HOST": "host", "PORT": "port"}
    of_queue = conninfo.conninfo_to_dict(queue_url)
    queue = {name: of_queue[key] for name, key in names.items() if key in of_queue}
    queue["ENGINE"] = "django.db.backends.postgresql"
    project.write("shop_settings.py", SETTINGS.format(**parts, age=age, queue=queue))
    project.write("shop.py", SHOP)
    project.write("config/queue.yml", QUEUE.format("jobsd.django.setup, shop"))
    assert project.run("db", "migrate").returncode == 0
    return project


def _ended(tree: Tree) -> dict[str, list[str]]:
    """Return the numbers of the jobs that have told their count, by their kind."""
    reported = "\n".join(tree.lines)
    return {
        kind: re.findall(rf"{kind} (\d+): 0 orders", reported) for kind in ("async", "plain")
    }


def _enqueue(project: Project, numbers: range) -> None:
    for number in numbers:
        for name in ("count_async", "count"):
            assert project.run("enqueue", name, f"[{number}]").returncode == 0


@pytest.mark.failure(
    "Django's database is restarted below asynchronous and other jobs",
    "all later jobs succeed",
)
@pytest.mark.parametrize("age", [0, 60])
def test_jobs_with_djangos_orm_survive_a_restart_of_its_database(
    age: int, tmp_path: Path, empty_database: str, server: Server
) -> None:
    project = _django_project(tmp_path, empty_database, server.url(), age=age)
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        _enqueue(project, range(3))
        wait_until(lambda: {len(v) for v in _ended(tree).values()} == {3}, 30, tree.reported)
        server.stop()
        server.ensure()

        _enqueue(project, range(3, 7))

        wait_until(
            lambda: tree.events("job.failed") or {len(v) for v in _ended(tree).values()} == {7},
            30,
            tree.reported,
        )
        tree.terminate()
    assert [event["error"]["message"] for event in tree.events("job.failed")] == []


def test_an_engine_for_each_thread_that_keeps_no_connections_serves_asynchronous_jobs(
    tmp_path: Path, empty_database: str
) -> None:
    url, options = address("asyncpg", empty_database)
    whole = url.update_query_dict({name: str(value) for name, value in options.items()})
    (program,) = blocks(guide("async-jobs"), "py")
    project = Project(
        tmp_path,
        empty_database,
        APP_DATABASE_URL=whole.render_as_string(hide_password=False),
    )
    project.write("users.py", program)
    (workers,) = blocks(guide("async-jobs"), "yaml")
    project.write("config/queue.yml", f"import: [users]\n{workers}")
    with psycopg.connect(empty_database) as connection:
        connection.execute("CREATE TABLE users (id int)")
    assert project.run("db", "migrate").returncode == 0
    project.python(
        "from users import count_users\nfrom jobsd import enqueue_many\n"
        "enqueue_many(count_users.with_args(n) for n in range(30))\n"
    )

    with project.start() as tree:
        wait_until(
            lambda: (
                tree.events("job.failed")
                or len(re.findall(r"count \d+: 0 users", "\n".join(tree.lines))) == 30
            ),
            30,
            tree.reported,
        )
        tree.terminate()

    assert [event["error"]["message"] for event in tree.events("job.failed")] == []
