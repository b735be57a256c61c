"""A tree whose log is a file: one for all processes, opened again by all of them."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from harness.tree import COMMAND, ENDS_WITH_US
from system.jobs import enqueue
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

ROWS = "SELECT count(*) FROM jobsd.processes"


def test_after_mv_and_usr1_every_process_writes_to_the_new_file(
    project: Project, query: Query
) -> None:
    project.write(
        "config/queue.yml",
        "import: [trial_jobs]\nlogs: {file: log/test.log, format: console, slow_after: 1ms}\n",
    )
    log, moved = project.root / "log/test.log", project.root / "log/test.log.1"
    tree = subprocess.Popen(
        [*ENDS_WITH_US, *COMMAND, "start"],
        cwd=project.root,
        env=project.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: log.exists() and "supervisor.ready" in log.read_text("utf-8"))
        wait_until(lambda: query(ROWS) == [(4,)])
        log.rename(moved)
        tree.send_signal(signal.SIGUSR1)
        wait_until(lambda: log.exists() and "logs.reopened" in log.read_text("utf-8"))
        enqueue(query, "mixed", 1, 0.01, "finish")
        wait_until(lambda: "job.slow" in log.read_text("utf-8"))
        tree.send_signal(signal.SIGTERM)
        printed, noted = tree.communicate(timeout=60)
    finally:
        tree.kill()

    lines = log.read_text("utf-8").splitlines()
    stopped = {line.rpartition("by=")[2].partition("[")[0] for line in lines}
    assert {"supervisor", "monitor", "dispatcher", "worker"} <= stopped
    assert "stopp" not in moved.read_text("utf-8")
    assert [line for line in lines if "jobsd" not in line] == []
    assert (tree.returncode, printed) == (0, "")
    assert noted == f"jobsd: the log is written to {log}\n"


def test_a_log_that_can_not_be_written_refuses_the_start(project: Project) -> None:
    done = project.run("start", "--log-file", "trial_jobs.py/log")

    assert (done.returncode, done.stdout) == (78, "")
    assert "log can't be written: Not a directory" in done.stderr
    assert "--log-file" in done.stderr
