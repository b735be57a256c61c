"""The test kit in test cases of Django: it agrees with production about rollbacks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from django_app.project import SQLITE, WITH_SIX, DjangoProject, database
from docs.pages import blocks, guide

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

TESTS = """
from django.db import transaction
from django.test import TestCase, TransactionTestCase
from jobsd import find
from jobsd.testing import JobsMixin, assert_enqueued, perform_enqueued, refute_enqueued
from shop.jobs import count, welcome


def enqueue_twice(kept, undone):
    with transaction.atomic():
        welcome.enqueue(kept)
        try:
            with transaction.atomic():
                welcome.enqueue(undone)
                raise KeyError
        except KeyError:
            pass


class Agrees:
    databases = {databases!r}

    def test_what_is_rolled_back_is_not_enqueued(self):
        try:
            with transaction.atomic():
                enqueue_twice(1, 2)
                raise KeyError
        except KeyError:
            pass
        refute_enqueued()

    def test_what_is_committed_is_enqueued_without_its_savepoints(self):
        enqueue_twice(1, 2)
        assert_enqueued(welcome, args=[1])
        refute_enqueued(welcome, args=[2])

    def test_a_job_outside_of_a_block_is_enqueued_at_once(self):
        self.assertEqual(count.enqueue().state, "ready")
        assert_enqueued(count)

    def test_jobs_are_performed(self):
        with transaction.atomic():
            count.enqueue()
        self.assertEqual([job.state for job in perform_enqueued()], ["finished"])


class InTransaction(Agrees, TestCase):
    def test_find_sees_the_jobs_of_the_test(self):
        self.assertEqual(find(count.enqueue()).state, "ready")


class Committed(Agrees, TransactionTestCase):
    def test_find_sees_the_jobs_of_the_test(self):
        self.assertEqual(find(count.enqueue()).state, "ready")


class Recorded(JobsMixin, Agrees, TestCase):
    pass


class RecordedWhereItCommits(JobsMixin, Agrees, TransactionTestCase):
    pass
"""


@pytest.mark.parametrize("apart", [False, True], ids=["one database", "two databases"])
def test_the_kit_agrees_with_production_about_rollbacks(
    tmp_path: Path, empty_database: str, *, apart: bool
) -> None:
    project = DjangoProject(tmp_path, sys.executable)
    databases: dict[str, dict[str, object]] = {"default": database(empty_database)}
    if apart:
        databases = {"default": {**SQLITE}, "queue": database(empty_database)}
    project.configure(databases, alias=[*databases][-1])
    project.write("shop/tests.py", TESTS.replace("{databases!r}", repr({*databases})))

    done = project.run("manage.py", "test", "--noinput")

    assert (done.returncode, "OK" in done.stderr) == (0, True), done.stderr


TASKS = """
from django.tasks import task

@task
def double(number):
    return 2 * number
"""
TESTS_OF_TASKS = """
from django.tasks import TaskResultStatus
from django.test import TestCase, TransactionTestCase
from jobsd.testing import assert_enqueued, perform_enqueued, refute_enqueued
from shop.tasks import double


class OfTasks:
    def test_a_result_is_refreshed(self):
        result = double.enqueue(21)
        assert_enqueued(double, args=[21])
        refute_enqueued(double, args=[22])
        self.assertEqual(result.status, TaskResultStatus.READY)

        perform_enqueued(double)

        result.refresh()
        self.assertEqual(result.status, TaskResultStatus.SUCCESSFUL)
        self.assertEqual(result.return_value, 42)


class InTransaction(OfTasks, TestCase):
    pass


class Committed(OfTasks, TransactionTestCase):
    pass
"""


@pytest.mark.skipif(not WITH_SIX, reason="needs Django 6")
def test_the_kit_knows_the_tasks_of_django(tmp_path: Path, empty_database: str) -> None:
    project = DjangoProject(tmp_path, WITH_SIX)
    project.configure({"default": database(empty_database)})
    with (tmp_path / "settings.py").open("a") as file:
        file.write(blocks(guide("django"), "python")[3])
    project.write("shop/tasks.py", TASKS)
    project.write("shop/tests.py", TESTS_OF_TASKS)

    done = project.run("manage.py", "test", "--noinput")

    assert (done.returncode, "OK" in done.stderr) == (0, True), done.stderr
