"""What a project gets by `INSTALLED_APPS = ["jobsd.django"]`, with the real Django."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from conftest import database_on
from django_app.project import SQLITE, DjangoProject, database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.system


@pytest.fixture
def queue_database(server_url: str) -> Iterator[str]:
    with database_on(server_url) as url:
        yield url


def _stored(url: str) -> list[object]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT arguments -> 0 FROM jobsd.jobs ORDER BY id")
        return [row[0] for row in rows]


ENQUEUE = """
from django.contrib.auth.models import User
from django.db import transaction
from jobsd import enqueue_many
from shop.jobs import count, welcome

with transaction.atomic():
    user = User.objects.create(username="ann")
    welcome.enqueue(user.id)
    try:
        with transaction.atomic():
            welcome.enqueue(-1)
            raise KeyError
    except KeyError:
        pass
    with transaction.atomic():
        enqueue_many([count.with_args()])
try:
    with transaction.atomic():
        welcome.enqueue(-2)
        enqueue_many([welcome.with_args(-3)])
        raise KeyError
except KeyError:
    pass
count.enqueue()
"""
LOGS = """
import logging
from jobsd import HeartbeatJob

@job(name="logs")
def logs():
    logging.getLogger("shop.jobs").info("written by logging")

def enqueue_more():
    logs.enqueue()
    HeartbeatJob.enqueue()
"""


def test_a_project_needs_one_line(project: DjangoProject, empty_database: str) -> None:
    project.configure({"default": database(empty_database)})

    project.manage("migrate", "-v", "0")
    project.shell(ENQUEUE)
    said = project.manage("jobs", "start", "--until-empty", "--log-format", "json")

    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    printed = [line["event"] for line in lines if "job_id" in line]
    finished = [line for line in lines if line["event"] == "job.failed"]
    assert {"welcome, ann", "there are 1 users"} <= set(printed)
    assert (finished, len(_stored(empty_database))) == ([], 3)
    assert "no database" not in project.manage("check")


def test_django_itself_runs_the_commands_as_manage_py_does(
    project: DjangoProject, empty_database: str
) -> None:
    project.configure({"default": database(empty_database)})

    done = project.run("-m", "django", "jobs", "check")

    assert done.returncode == 0, done.stdout + done.stderr


def test_lines_stay_whole_under_the_logging_of_a_project(
    project: DjangoProject, empty_database: str
) -> None:
    project.configure({"default": database(empty_database)})
    jobs = (project.root / "shop/jobs.py").read_text(encoding="utf-8")
    project.write("shop/jobs.py", jobs + LOGS)
    project.manage("migrate", "-v", "0")
    project.shell("from shop.jobs import enqueue_more\nenqueue_more()")

    said = project.manage("jobs", "start", "--until-empty", "--log-format", "json")

    lines = [json.loads(line) for line in said.splitlines()]
    (logged,) = (line for line in lines if line["event"] == "written by logging")
    (beat,) = (line for line in lines if line["event"].startswith("[HEARTBEAT]"))
    assert (logged["job_id"], logged["class_name"]) == (1, "logs")
    assert (beat["job_id"], "executed successfully" in beat["event"]) == (2, True)


TESTS = """
from django.db import transaction
from django.test import TestCase, TransactionTestCase
from jobsd import job, queues
from asgiref.sync import sync_to_async
from jobsd import aenqueue_many, find
from jobsd.testing import JobsMixin, assert_enqueued, perform_enqueued, refute_enqueued
from shop.jobs import count


@job(name="promote")
def promote(name):
    from django.contrib.auth.models import User
    User.objects.filter(username=name).update(is_staff=True)


class Rolled(TestCase):
    def test_a_job_is_rolled_back(self):
        count.enqueue()
        with transaction.atomic():
            count.enqueue()
        assert_enqueued(count)

    def test_a_job_is_performed_within_the_transaction(self):
        from django.contrib.auth.models import User
        User.objects.create(username="ann")
        promote.enqueue("ann")
        assert_enqueued(promote, args=["ann"])
        perform_enqueued(promote)
        self.assertTrue(User.objects.get(username="ann").is_staff)

    async def test_a_job_of_a_coroutine_is_rolled_back(self):
        await count.aenqueue()
        await aenqueue_many([count.with_args()])

    def test_nothing_is_left(self):
        from django.db import connection
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM jobsd.jobs")
            self.assertEqual(cursor.fetchone(), (0,))


class Recorded(JobsMixin, TestCase):
    def test_a_job_is_recorded(self):
        count.enqueue()
        self.assert_enqueued(count)
        self.assertEqual(len(self.jobs), 1)


class Committed(TransactionTestCase):
    def test_a_job_is_committed(self):
        refute_enqueued(count)
        self.assertEqual(count.enqueue().state, "ready")
        assert_enqueued(count)

    def test_nothing_is_left_of_the_test_before(self):
        self.test_a_job_is_committed()

    async def test_a_job_of_a_coroutine_is_seen_by_others(self):
        job = await count.aenqueue()
        self.assertEqual((await sync_to_async(find)(job.id)).state, "ready")
"""


def test_test_databases_have_the_tables(project: DjangoProject, empty_database: str) -> None:
    project.configure({"default": database(empty_database)})
    project.write("shop/tests.py", TESTS)

    done = project.run("manage.py", "test", "--parallel", "2", "--noinput")

    assert (done.returncode, "OK" in done.stderr) == (0, True), done.stderr
    with psycopg.connect(empty_database) as connection:
        name = connection.info.dbname
        left = "SELECT datname FROM pg_database WHERE datname LIKE {}"
        rows = connection.execute(sql.SQL(left).format(f"test_{name}%")).fetchall()
    assert rows == []


AFTER_A_RESTART = """
import os, psycopg
from django.contrib.auth.models import User
from django.db import connection
from jobsd import job
from jobsd.django import queue
from shop.jobs import count

@job(name="plain")
def plain():
    print(f"there are {{User.objects.count()}} users")

for _ in range(2):
    count.perform_now()
    plain.perform_now()
    with psycopg.connect({url!r}, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
count.perform_now()
plain.perform_now()

@job(name="ages")
def ages():
    User.objects.count()
    connection.close_at = 0

ages.perform_now()
os.environ["PYTHONPATH"] = "/given"
print("PATH", queue.environ("/nowhere/manage.py")["PYTHONPATH"])
print("OPEN", connection.connection is not None, "client_encoding" in queue.target().url)
"""


def test_no_job_fails_by_a_connection_of_before(
    project: DjangoProject, empty_database: str
) -> None:
    project.configure({"default": database(empty_database)})
    project.manage("migrate", "-v", "0")

    printed = project.shell(AFTER_A_RESTART.format(url=empty_database))

    assert printed.count("there are 0 users") == 6
    assert "OPEN False False" in printed
    assert "PATH /nowhere:/given" in printed


BEHIND = """
from django.db import transaction
from jobsd import enqueue_many
from shop.jobs import welcome

with transaction.atomic():
    print(welcome.enqueue(1).state)
print(welcome.enqueue(2).state)

try:
    with transaction.atomic():
        enqueue_many(welcome.with_args(n) for n in (3, 4))
        raise LookupError
except LookupError:
    pass
with transaction.atomic():
    jobs = enqueue_many(welcome.with_args(n) for n in (5, 6))
    print(len(enqueue_many([])), jobs.stored, jobs[0].state, jobs[1].id)
print(len(jobs), jobs.stored, jobs.duplicates, [job.state for job in jobs[:]])
"""


def test_a_queue_of_its_own_gets_jobs_after_the_commit(
    project: DjangoProject, empty_database: str, queue_database: str
) -> None:
    both = {"default": database(empty_database), "queue": database(queue_database)}
    project.configure(both, alias="queue")
    project.manage("migrate", "-v", "0", "--database", "queue")

    printed = project.shell(BEHIND)

    assert printed.splitlines() == [
        *("pending", "ready"),
        *("0 0 pending None", "2 2 0 ['ready', 'ready']"),
    ]
    assert _stored(queue_database) == [1, 2, 5, 6]


BEHIND_IN_TESTS = """
from django.db import connections
from django.test import TestCase
from jobsd import AfterCommitError
from jobsd.testing import assert_enqueued, refute_enqueued
from shop.jobs import welcome


class OfBoth(TestCase):
    databases = "__all__"

    def test_captured_enqueues_are_rolled_back_too(self):
        with self.captureOnCommitCallbacks(execute=True):
            welcome.enqueue(1)
        assert_enqueued(welcome, args=[1])

    def test_nothing_is_left(self):
        refute_enqueued(welcome)


class OfOne(TestCase):
    def test_a_database_that_is_not_named_is_refused(self):
        with self.assertRaisesRegex(AfterCommitError, "Add 'queue' to"):
            with self.captureOnCommitCallbacks(execute=True):
                welcome.enqueue(1)
"""


def test_tests_of_a_queue_of_its_own_may_capture_what_waits(
    project: DjangoProject, empty_database: str, queue_database: str
) -> None:
    both = {"default": database(empty_database), "queue": database(queue_database)}
    project.configure(both, alias="queue")
    project.write("shop/tests.py", BEHIND_IN_TESTS)

    done = project.run("manage.py", "test", "--noinput")

    assert (done.returncode, "OK" in done.stderr) == (0, True), done.stderr


@pytest.mark.parametrize(
    ("alias", "reported"), [("queue", "jobsd.E001"), ("default", "jobsd.E002")]
)
def test_a_database_that_will_not_do_is_found_by_check(
    alias: str, reported: str, tmp_path: Path
) -> None:
    project = DjangoProject(tmp_path, sys.executable)
    project.configure({"default": SQLITE}, alias=alias)

    done = project.run("manage.py", "check")

    assert (done.returncode, reported in done.stderr) == (1, True), done.stderr
