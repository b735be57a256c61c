"""What the two files, and what an earlier tree has left, let start."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from system.jobs import enqueue, ledger
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system


@pytest.mark.behaviour(1)
def test_without_a_file_jobs_of_any_queue_run_and_due_ones_are_dispatched(
    project: Project, query: Query
) -> None:
    (project.root / "config/queue.yml").unlink()
    with project.start("--import", "trial_jobs") as tree:
        tree.wait_event("supervisor.ready")
        enqueue(query, "quick", 1, queue="any queue")

        query("SELECT jobsd.enqueue('trial_jobs.quick', '[2]', wait => '100 ms')")

        wait_until(lambda: sorted(ledger(project)) == ["ran 1", "ran 2"], what=tree.reported)
        reported = [str(event["warning"]) for event in tree.events("configuration.warning")]
        assert [warning.split()[0] for warning in reported] == [
            "config/queue.yml",
            "config/recurring.yml",
        ]


@pytest.mark.behaviour(2)
def test_workers_alone_leave_a_job_scheduled_that_is_due(
    project: Project, query: Query
) -> None:
    project.write("config/queue.yml", "import: [trial_jobs]\nworkers: [{}]\n")
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        query("SELECT jobsd.enqueue('trial_jobs.quick', '[1]', wait => '10 ms')")
        due = (
            "SELECT FROM jobsd.scheduled_executions WHERE scheduled_at < now() - interval '1 s'"
        )

        wait_until(lambda: query(due), 5)

        assert ledger(project) == []
        assert '"no_dispatcher"' in project.run("show", "1", "--json").stdout


@pytest.mark.behaviour(3)
def test_nothing_to_run_is_refused_and_registers_nothing(
    project: Project, query: Query
) -> None:
    project.write("config/queue.yml", "workers: []\ndispatchers: []\n")

    done = project.run("start")

    assert done.returncode == 78
    assert done.stderr.startswith("error: no processes configured\n  at config/queue.yml:1:10")
    assert query("SELECT FROM pg_tables WHERE schemaname = 'jobsd'") == []


@pytest.mark.behaviour(4)
def test_bad_recurring_tasks_refuse_the_start_unless_they_are_skipped(project: Project) -> None:
    project.write(
        "config/recurring.yml",
        "nobody: {class: NobodyJob, schedule: every hour}\n"
        "sometime: {class: HeartbeatJob, schedule: every now and then}\n",
    )

    refused = project.run("start")

    project.write("config/recurring.yml", "sometime: {schedule: every now and then}\n")
    assert (refused.returncode, "sometime.schedule" in refused.stderr) == (78, True)
    with project.start("--skip-recurring") as tree:
        tree.wait_event("supervisor.ready")
        assert tree.children("scheduler") == []


@pytest.mark.behaviour(10)
def test_the_pidfile_of_a_killed_supervisor_stays_and_is_taken_over(project: Project) -> None:
    pidfile = project.root / "run/jobsd.pid"
    with project.start("--pidfile", "run/jobsd.pid") as first:
        first.wait_event("supervisor.ready")
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
        assert pidfile.read_text(encoding="ascii") == f"{first.process.pid}\n"

    with project.start("--pidfile", "run/jobsd.pid") as second:
        second.wait_event("supervisor.ready")
        assert pidfile.read_text(encoding="ascii") == f"{second.process.pid}\n"
        second.terminate()

    assert not pidfile.exists()
