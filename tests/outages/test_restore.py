"""A queue is restored to a point in time, and what has ended since does not run again."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import psycopg
import pytest

from harness.project import Project
from outages.cluster import Cluster, cluster, place
from system.jobs import LEDGER, ledger
from waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

JOBS = """
from jobsd import job

@job
def pay(name):
    ledger("paid", name)
"""
SETTINGS = "import: [bank_jobs]\nlogs: {file: jobs.log}\nworkers: [{}]\ndispatchers: [{}]\n"
TASKS = "tick: {class: HeartbeatJob, schedule: every second}\n"


def _enqueue(project: Project, *names: str, wait: str = "0 s") -> None:
    with psycopg.connect(project.environ["DATABASE_URL"], autocommit=True) as connection:
        for name in names:
            connection.execute(
                "SELECT jobsd.enqueue('bank_jobs.pay', %s, wait => %s::interval)",
                (json.dumps([name]), wait),
            )


def _run_all(project: Project, count: int) -> None:
    """Run a tree until this number of payments were made and recorded."""
    with project.start("--log-jobs") as tree:
        wait_until(lambda: len(ledger(project)) == count)
        wait_until(lambda: project.run("list", "--state", "ready", "--ids").stdout == "")
        tree.terminate()


def _restore(restored: Cluster, archive: Path) -> None:
    """Start a base backup, and end its recovery at the point `before`."""
    (restored.data / "standby.signal").unlink()
    (restored.data / "recovery.signal").touch()
    restored.start(
        restore_command=f"cp {archive}/%f %p",
        recovery_target_name="before",
        recovery_target_action="promote",
    )


@pytest.mark.failure(
    "The database is restored to a point in time, and jobs have ended after it.",
    "Nothing runs after `start --paused`; `restore-report` finds them in the log, and discards"
    " them before `queues resume --all`",
)
def test_no_job_is_done_twice_after_a_restore_to_a_point_in_time(tmp_path: Path) -> None:
    with place() as archive, cluster() as primary, place() as restored:
        target = archive.folder
        primary.settings = {"archive_mode": "on", "archive_command": f"cp %p {target}/%f"}
        project = Project(tmp_path, primary.start_with_tables().url)
        project.environ["LEDGER"] = str(tmp_path / "ledger")
        project.write("bank_jobs.py", LEDGER + JOBS)
        project.write("config/queue.yml", SETTINGS)
        restored.copy(primary)
        _enqueue(project, *(f"ready {number}" for number in range(8)))
        _enqueue(project, "scheduled", wait="1 s")
        _enqueue(project, "much later", wait="1 day")
        with primary.connect() as connection:
            connection.execute("SELECT pg_create_restore_point('before')")
        _enqueue(project, *(f"lost {number}" for number in range(5)))
        _run_all(project, 14)
        with primary.connect() as connection:
            connection.execute("SELECT pg_switch_wal()")
        primary.stop()
        _restore(restored, target)

        project.environ["DATABASE_URL"] = restored.url
        project.write("config/recurring.yml", TASKS)
        with project.start("--paused") as tree:
            # The tree before has written it once.
            log = tmp_path / "jobs.log"
            wait_until(lambda: log.read_text("utf-8").count("supervisor.ready") == 2)
            _enqueue(project, *(f"new {number}" for number in range(5)))
            report = json.loads(project.run("restore-report", "jobs.log", "--json").stdout)
            assert Counter(row["state"] for row in report) == {"ready": 8, "scheduled": 1}
            done = project.run("restore-report", "jobs.log", "--discard", "--yes")
            assert done.returncode == 0, done.stderr
            assert len(ledger(project)) == 14
            assert project.run("health", "--within", "1m").returncode == 1

            assert project.run("queues", "resume", "--all").returncode == 0

            wait_until(lambda: len(ledger(project)) == 19)
            wait_until(lambda: project.run("health", "--within", "1m").returncode == 0)
            tree.terminate()

        assert set(Counter(ledger(project)).values()) == {1}
        left = json.loads(project.run("list", "--state", "scheduled", "--json").stdout)
        assert [row["class_name"] for row in left] == ["bank_jobs.pay"]
