"""Instances of Django's models as arguments, in a real project."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from django_app.project import DjangoProject, database
from docs.pages import blocks, guide

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

MORE_JOBS = """
@job
async def greet_soon(user, by_name=None):
    print(f"soon, {user.username}, {by_name['other'].first_name or 'nobody'}")

@job
def fails_without(user):
    print("performed without")

@job
def passes_on(user):
    greet.enqueue(user, [user])
"""
ENQUEUE = """
import json
from django.contrib.auth.models import User
from django.db import connection
from jobsd import ArgumentError
from shop.jobs import *

ann, bob, gone = (User.objects.create(username=name) for name in ("ann", "bob", "gone"))
greet.enqueue(ann, [bob, ann])
greet_soon.enqueue(ann, by_name={"other": bob})
passes_on.enqueue(bob)
greet.enqueue(gone)
fails_without.enqueue(gone)
greet.perform_now(ann)
for new in (User(username="new"), User(pk=4711, username="keyed")):
    try:
        greet.enqueue(new)
    except ArgumentError as error:
        print("REFUSED", error)
gone.delete()
User.objects.filter(pk=bob.pk).update(first_name="Bob")
"""


def test_a_job_gets_its_instances_as_they_are_when_it_is_performed(
    tmp_path: Path, empty_database: str
) -> None:
    project = DjangoProject(tmp_path)
    project.configure({"default": database(empty_database)})
    project.write("shop/jobs.py", blocks(guide("django"), "python")[2] + MORE_JOBS)

    project.manage("migrate", "-v", "0")
    reported = project.shell(ENQUEUE)
    said = project.manage("jobs", "start", "--until-empty", "--log-format", "json")

    assert "hello, ann and 0 others" in reported
    refused = "REFUSED an instance of auth.user must be saved before it can be an argument"
    assert reported.count(refused) == 2
    lines: list[dict[str, Any]] = [
        json.loads(line) for line in said.splitlines() if "{" in line
    ]
    printed = sorted(str(line["event"]) for line in lines if "job_id" in line)
    greetings = [text for text in printed if text.startswith(("hello", "soon", "performed"))]
    assert greetings == ["hello, ann and 2 others", "hello, bob and 1 others", "soon, ann, Bob"]
    with psycopg.connect(empty_database) as connection:
        failed = connection.execute("SELECT error ->> 'message' FROM jobsd.failed_executions")
        assert failed.fetchall() == [("auth.user 3, to which an argument refers, is gone",)]
        discarded = "SELECT count(*) FROM jobsd.jobs WHERE outcome = 'discarded'"
        assert connection.execute(discarded).fetchone() == (1,)


ELSEWHERE = """
import json
from django.contrib.auth.models import User, UserManager
from django.core.management import call_command
from jobsd.django.instances import Instances

call_command("migrate", "auth", database="other", verbosity=0)

class Hiding(UserManager):
    def get_queryset(self):
        return super().get_queryset().none()

class HiddenUser(User):
    objects = Hiding()
    class Meta:
        proxy, app_label = True, "shop"

instances = Instances()

def again(instance):
    return instances.find(json.loads(json.dumps(instances.write(instance))))

User.objects.create(username="first")
other = User.objects.using("other").create(username="ann")
found = again(other)
print("FOUND", found.username, found._state.db)
hidden = HiddenUser._base_manager.create(username="bob")
print("HIDDEN", HiddenUser.objects.count(), again(hidden).username)
"""


def test_an_instance_is_sought_in_its_own_database_and_past_a_manager_that_hides_it(
    tmp_path: Path, empty_database: str
) -> None:
    project = DjangoProject(tmp_path)
    other = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "other.sqlite3")}
    project.configure({"default": database(empty_database), "other": other})
    project.manage("migrate", "-v", "0")

    reported = project.shell(ELSEWHERE).splitlines()

    assert "FOUND ann other" in reported
    assert "HIDDEN 0 bob" in reported


ASSERTIONS = """
from django.contrib.auth.models import User
from django.test import TestCase
from jobsd.testing import assert_enqueued, refute_enqueued
from shop.jobs import greet

class Instances(TestCase):
    def test_instances_are_compared_by_reference(self):
        ann, bob = (User.objects.create(username=each) for each in ("ann", "bob"))
        greet.enqueue(ann, friends=[bob])
        assert_enqueued(greet, args=[User.objects.get(pk=ann.pk)], kwargs={"friends": [bob]})
        refute_enqueued(greet, args=[bob, [ann]])
        said = rf"greet.User {bob.pk}\\).*\\n.*greet.User {ann.pk}, .*User {bob.pk}"
        with self.assertRaisesRegex(AssertionError, said):
            assert_enqueued(greet, args=[bob])
"""


def test_assertions_compare_instances_and_print_their_keys(
    tmp_path: Path, empty_database: str
) -> None:
    project = DjangoProject(tmp_path)
    project.configure({"default": database(empty_database)})
    project.write("shop/jobs.py", blocks(guide("django"), "python")[2])
    project.write("shop/tests.py", ASSERTIONS)

    done = project.run("manage.py", "test", "--noinput")

    assert (done.returncode, "Ran 1 test" in done.stderr) == (0, True), done.stderr
