"""The tasks of Django 6 as jobs: each row of the table in the guide."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from conftest import drop_database, make_database
from django_app.project import WITH_SIX, DjangoProject, database
from docs.pages import blocks, guide

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.system

MORE_TASKS = """
from django.db import transaction
from django.tasks import signals
from jobsd import Discard, job

@task(max_attempts=2, backoff=lambda attempt: 0)
def breaks(word):
    raise LookupError(word)

@task
def dropped():
    raise Discard

@task
def odd():
    return object()

@task
def add(one, two=0):
    return (one, two)

@job
def plain():
    pass

def told(name):
    def receive(sender, task_result, **kwargs):
        facts = (name, task_result.task.name, str(task_result.status), task_result.attempts)
        print("signal", *facts, len(task_result.errors))
    return receive

RECEIVERS = [told(name) for name in ("enqueued", "started", "finished")]
signals.task_enqueued.connect(RECEIVERS[0])
signals.task_started.connect(RECEIVERS[1])
signals.task_finished.connect(RECEIVERS[2])
"""
ENQUEUE = """
import asyncio, json
from datetime import timedelta
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.tasks import exceptions, task, task_backends
from django.utils import timezone
from shop.tasks import *

facts = {}
user = User.objects.create(username="ann")
with transaction.atomic():
    reminded = remind.enqueue(user.id)
    facts["status"] = str(reminded.status)
    later = timezone.now() + timedelta(days=1)
    facts["later"] = add.using(run_after=later).enqueue(1).id
try:
    with transaction.atomic():
        facts["rolled back"] = add.enqueue(1).id
        raise KeyError
except KeyError:
    pass
facts["remind"] = reminded.id
facts["attempt"] = asyncio.run(attempt.aenqueue(7)).id
facts["add"] = add.using(priority=-5).enqueue((1, 2), two=3).id
facts["breaks"] = breaks.enqueue("no").id
facts["dropped"] = dropped.enqueue().id
facts["odd"] = odd.enqueue().id
facts["plain"] = str(plain.enqueue().id)
with connection.cursor() as cursor:
    cursor.execute("SELECT class_name, queue_name, priority FROM jobsd.jobs ORDER BY id")
    facts["rows"] = cursor.fetchall()
    unknown = "INSERT INTO jobsd.jobs (queue_name, class_name) VALUES ('mail', 'os.getcwd')"
    cursor.execute(f"{unknown} RETURNING id")
    facts["unknown"] = str(cursor.fetchone()[0])
naive = timezone.now().replace(tzinfo=None)
for name, wrong in (("queue", {"queue_name": "no"}), ("aware", {"run_after": naive})):
    try:
        add.using(**wrong)
    except exceptions.InvalidTask as error:
        facts[name] = str(error)
print("FACTS", json.dumps(facts))
"""
CHECK = """
import asyncio, json, sys
from django.tasks import task_backends
from shop.tasks import *

ids = json.loads(sys.argv[1])
backend = task_backends["default"]
seen = {}
for name, job_id in ids.items():
    try:
        result = backend.get_result(job_id)
    except Exception as error:
        seen[name] = type(error).__name__
        continue
    names = ("enqueued_at", "started_at", "last_attempted_at", "finished_at")
    seen[name] = {
        "status": str(result.status), "args": result.args, "kwargs": result.kwargs,
        "times": [bool(getattr(result, each)) for each in names],
        "worker_ids": result.worker_ids, "attempts": result.attempts,
        "errors": [(error.exception_class_path, error.traceback) for error in result.errors],
        "classes": [error.exception_class.__name__ for error in result.errors],
        "value": result.return_value if str(result.status) == "SUCCESSFUL" else None,
        "task": [result.task.module_path, result.task.priority, result.task.queue_name],
        "later": bool(result.task.run_after), "backend": result.backend,
    }
seen["async"] = asyncio.run(remind.aget_result(ids["remind"])).return_value
print("SEEN", json.dumps(seen))
"""


class Facts:
    """What was enqueued, what the workers have said, and what Django saw afterwards."""

    def __init__(self, url: str, root: Any) -> None:
        project = DjangoProject(root, WITH_SIX)
        settings, tasks = blocks(guide("django"), "python")[3:]
        project.configure({"default": database(url)})
        with (root / "settings.py").open("a") as file:
            file.write(settings)
        project.write("shop/tasks.py", tasks + MORE_TASKS)
        project.manage("migrate", "-v", "0")
        self.reported = project.shell(ENQUEUE)
        self.enqueued: dict[str, Any] = json.loads(self.reported.split("FACTS ")[1])
        self.said = project.manage("jobs", "start", "--until-empty", "--log-format", "json")
        ids = {name: each for name, each in self.enqueued.items() if str(each).isdecimal()}
        ids |= {"nonsense": "pending", "missing": "999999"}
        checked = project.run("-c", f"import django\ndjango.setup()\n{CHECK}", json.dumps(ids))
        assert checked.returncode == 0, checked.stderr
        self.seen: dict[str, Any] = json.loads(checked.stdout.split("SEEN ")[1])

    def signals(self, name: str) -> list[str]:
        """Return the signals about one task."""
        printed = [json.loads(line)["event"] for line in self.said.splitlines() if "{" in line]
        reported = [*self.reported.splitlines(), *printed]
        return [line for line in reported if line.startswith("signal") and f" {name} " in line]


@pytest.fixture(scope="module")
def facts(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facts]:
    if not WITH_SIX:
        pytest.skip("JOBSD_TEST_DJANGO6_PYTHON names no Python with Django 6")
    url, name = make_database(server_url)
    yield Facts(url, tmp_path_factory.mktemp("tasks"))
    drop_database(server_url, name)


def test_a_task_joins_the_transaction(facts: Facts) -> None:
    assert facts.enqueued["status"] == "READY"
    assert facts.seen["rolled back"] == "TaskResultDoesNotExist"
    rows = [tuple(row) for row in facts.enqueued["rows"]]
    assert rows.count(("shop.tasks.add", "default", 0)) == 1


def test_a_larger_priority_is_a_smaller_one_of_the_job(facts: Facts) -> None:
    rows = [tuple(row) for row in facts.enqueued["rows"]]

    assert ("shop.tasks.remind", "mail", -10) in rows
    assert ("shop.tasks.add", "default", 5) in rows
    assert facts.seen["remind"]["task"] == ["shop.tasks.remind", 10, "mail"]
    assert facts.seen["add"]["task"] == ["shop.tasks.add", -5, "default"]


def test_a_task_that_has_finished(facts: Facts) -> None:
    seen = facts.seen["remind"]

    assert (seen["status"], seen["value"]) == ("SUCCESSFUL", "reminded ann")
    assert seen["times"] == [True] * 4
    assert (seen["attempts"], len(seen["worker_ids"]), seen["errors"]) == (1, 1, [])
    assert seen["worker_ids"][0].startswith("worker-")
    assert (seen["backend"], facts.seen["async"]) == ("default", "reminded ann")


def test_arguments_and_values_are_as_django_writes_them(facts: Facts) -> None:
    seen = facts.seen["add"]

    assert (seen["args"], seen["kwargs"], seen["value"]) == ([[1, 2]], {"two": 3}, [[1, 2], 3])


def test_a_coroutine_gets_its_context(facts: Facts) -> None:
    assert facts.seen["attempt"]["value"] == [1, 7]


def test_a_task_that_fails_has_an_error_for_each_attempt(facts: Facts) -> None:
    seen = facts.seen["breaks"]
    paths = [path for path, _ in seen["errors"]]

    assert (seen["status"], seen["attempts"]) == ("FAILED", 2)
    assert (paths, seen["classes"]) == (["builtins.LookupError"] * 2, ["LookupError"] * 2)
    assert "raise LookupError(word)" in seen["errors"][0][1]
    assert all(each.startswith("worker-") for each in seen["worker_ids"])
    assert seen["times"] == [True] * 4


def test_a_task_that_is_discarded_has_failed(facts: Facts) -> None:
    assert facts.seen["dropped"]["status"] == "FAILED"


def test_a_value_that_is_no_json_fails_the_task(facts: Facts) -> None:
    assert facts.seen["odd"]["classes"] == ["TypeError"]


def test_a_task_for_later_waits(facts: Facts) -> None:
    seen = facts.seen["later"]

    assert (seen["status"], seen["later"], seen["attempts"]) == ("READY", True, 0)
    assert seen["times"] == [True, False, False, False]


@pytest.mark.parametrize("name", ["nonsense", "missing", "plain"])
def test_an_id_of_no_task_has_no_result(name: str, facts: Facts) -> None:
    assert facts.seen[name] == "TaskResultDoesNotExist"


def test_an_unregistered_path_is_unknown(facts: Facts) -> None:
    assert facts.seen["unknown"] == "UnknownJobError"


def test_django_refuses_invalid_queues_and_times(facts: Facts) -> None:
    assert facts.enqueued["queue"] == "Queue 'no' is not valid for backend."
    assert facts.enqueued["aware"] == "run_after must be an aware datetime."


def test_signals_are_sent_at_the_enqueue_each_attempt_and_the_end(facts: Facts) -> None:
    assert facts.signals("remind") == [
        "signal enqueued remind READY 0 0",
        "signal started remind RUNNING 1 0",
        "signal finished remind SUCCESSFUL 1 0",
    ]
    assert facts.signals("breaks") == [
        "signal enqueued breaks READY 0 0",
        "signal started breaks RUNNING 1 0",
        "signal started breaks RUNNING 2 0",
        "signal finished breaks FAILED 2 1",
    ]
    assert facts.signals("attempt")[1:] == [
        "signal started attempt RUNNING 1 0",
        "signal finished attempt SUCCESSFUL 1 0",
    ]


@pytest.mark.skipif(
    sys.executable == WITH_SIX, reason="the Django of these tests is no older one"
)
def test_an_older_django_raises_the_required_version() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from jobsd.django import TasksBackend"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "TasksBackend needs Django 6, and this is 5." in done.stderr
