"""What the operators of the original type, grep, query and scrape, against a real tree."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from harness.project import Project
from ports import free_port
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.tree import Tree

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

CONFIG = Path(__file__).parents[2] / "config"

SEED = """\
default:
  dispatchers:
    - polling_interval: 1
      batch_size: 500
  workers:
    - queues: "*"
      threads: 3
      processes: <%= ENV.fetch("JOB_CONCURRENCY", 1) %>
      polling_interval: 0.1
"""


@pytest.fixture
def shipped(tmp_path: Path, empty_database: str) -> Project:
    """A project with the configuration as it is shipped."""
    (tmp_path / "config").mkdir()
    for name in ("queue.yml", "recurring.yml"):
        shutil.copy(CONFIG / name, tmp_path / "config" / name)
    return Project(tmp_path, empty_database, JOBSD_METRICS_BIND="127.0.0.1:0")


@pytest.fixture
def tree(shipped: Project) -> Iterator[Tree]:
    """The shipped tree, once its first heartbeat was logged."""
    port = free_port()
    with shipped.start(JOBSD_METRICS_BIND=f"127.0.0.1:{port}") as started:
        wait_until(lambda: _heartbeats(started), 20, started.reported)
        shipped.environ["PORT"] = str(port)
        yield started


def _heartbeats(tree: Tree) -> list[str]:
    return [line for line in tree.lines if "[HEARTBEAT]" in line]


def _get(project: Project, path: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{project.environ['PORT']}{path}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_heartbeat_is_logged_and_stored_within_seconds_of_the_start(
    tree: Tree, shipped: Project, query: Query
) -> None:
    reported = json.loads(_heartbeats(tree)[0])
    word, _, facts = reported["event"].partition(" ")

    assert word == "[HEARTBEAT]"
    assert set(json.loads(facts)) == {"timestamp", "environment", "hostname", "message"}
    assert json.loads(facts)["message"] == "Heartbeat job executed successfully"
    # Once in five minutes there is a second one: every one that is logged is stored.
    stored = "SELECT * FROM jobsd.heartbeat_logs ORDER BY executed_at DESC LIMIT 10"
    wait_until(lambda: len(query(stored)) == len(_heartbeats(tree)))
    assert shipped.run("heartbeat", "verify", "--within", "10m").returncode == 0
    health = shipped.run("health")
    assert (health.returncode, json.loads(health.stdout)["healthy"]) == (0, True)


def test_it_answers_over_http(tree: Tree, shipped: Project) -> None:
    assert tree.process.poll() is None
    wait_until(lambda: _get(shipped, "/readyz")[0] == 200)
    answers = {path: _get(shipped, path) for path in ("/healthz", "/livez", "/metrics", "/no")}

    assert {path: status for path, (status, _) in answers.items()} == {
        "/healthz": 200,
        "/livez": 200,
        "/metrics": 200,
        "/no": 404,
    }
    assert json.loads(answers["/healthz"][1])["healthy"] is True
    assert 'jobsd_processes{kind="worker"} 1.0' in answers["/metrics"][1]


def test_promtool_accepts_the_metrics(tree: Tree, shipped: Project) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    assert tree.process.poll() is None
    _, exposition = _get(shipped, "/metrics")

    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=exposition,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_the_processes_are_found_by_ps(tree: Tree) -> None:
    titles = [" ".join(psutil.Process(tree.process.pid).cmdline())]
    titles += [" ".join(child.cmdline()) for child in tree.children()]

    for kind in ("supervisor", "monitor", "dispatcher", "scheduler", "worker"):
        assert any(title.startswith(f"jobsd {kind}") for title in titles), titles


def test_the_recurring_tasks_are_listed(tree: Tree, shipped: Project) -> None:
    assert tree.process.poll() is None
    listed = json.loads(shipped.run("recurring", "list", "--json").stdout)

    assert {task["key"] for task in listed} >= {"heartbeat", "clear_finished"}


def test_the_queue_file_of_the_seed_starts_job_concurrency_workers(
    project: Project,
) -> None:
    project.write("config/queue.yml", SEED)
    with project.start(JOB_CONCURRENCY="4") as tree:
        tree.wait_event("supervisor.ready")

        assert len(tree.children("worker")) == 4


def test_a_new_recurring_job_in_four_steps(project: Project, query: Query) -> None:
    project.write(
        "daily.py",
        "from jobsd import Job\n\n\nclass DailyCleanupJob(Job):\n    queue = 'default'\n\n"
        "    def perform(self):\n        print('cleaned up')\n        return 'cleaned up'\n",
    )
    project.write("config/queue.yml", "import: [daily]\n")
    project.write(
        "config/recurring.yml",
        "production:\n  daily_cleanup:\n    class: DailyCleanupJob\n"
        "    schedule: at 3am every day\n",
    )
    production = {"JOBSD_ENV": "production"}

    performed = project.run("perform", "DailyCleanupJob", **production)
    assert (performed.returncode, "cleaned up" in performed.stdout) == (0, True), (
        performed.stderr
    )
    with project.start(**production) as tree:
        tree.wait_event("supervisor.ready")
        wait_until(lambda: query("SELECT FROM jobsd.recurring_tasks"), 10, tree.reported)
        found = project.write(
            "find_it.py",
            "from jobsd import RecurringTask\n"
            "task = RecurringTask.find_by(name='daily_cleanup')\n"
            "print(task.key, task.schedule, task.class_name)\n"
            "print([one.key for one in RecurringTask.all()])\n",
        )
        done = subprocess.run(
            [sys.executable, str(found)],
            cwd=project.root,
            env={**project.environ, **production},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    assert done.stdout == (
        "daily_cleanup at 3am every day DailyCleanupJob\n['daily_cleanup']\n"
    ), done.stderr
