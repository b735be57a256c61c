"""`restart` stops the tree in order, and starts it again in the process that has its id."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from waiting import wait_until

if TYPE_CHECKING:
    from system.commands import Commands

pytestmark = pytest.mark.system


HOLDING = """
import time
from jobsd import job

@job
def hold() -> None:
    time.sleep(3)
"""


def _begun(pid: int) -> str:
    """Return when the kernel saw the process begin, which an execution does not change."""
    return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[19]


def test_a_restarted_tree_has_the_process_id_and_other_processes(run: Commands) -> None:
    with run.project.start("--pidfile", "jobs.pid") as tree:
        tree.wait_event("supervisor.ready")
        pid, began = tree.process.pid, _begun(tree.process.pid)
        before = {child.pid for child in tree.children()}

        done = run.json("restart")

        assert (done["pid"], done["status"]) == (pid, 0)
        assert _begun(pid) == began
        after = {child.pid for child in tree.children()}
        assert len(after) == len(before)
        assert not before & after
        assert len(tree.events("supervisor.stopped")) == 1
        assert len(tree.events("supervisor.ready")) == 2
        assert (run.project.root / "jobs.pid").read_text("utf-8") == f"{pid}\n"
        assert run("restart").stderr.startswith("the daemon has restarted in ")
        assert run("stop").returncode == 0
        assert tree.process.wait(5) == 0


@pytest.mark.failure(
    "`restart` meets a fault of the configuration",
    "it ends with 78 and the faults, and the tree continues unchanged",
)
def test_a_restart_into_a_faulty_configuration_is_refused(run: Commands) -> None:
    with run.project.start() as tree:
        tree.wait_event("supervisor.ready")
        before = {child.pid for child in tree.children()}
        run.project.write("config/queue.yml", "wrokers: []\n")

        done = run("restart")

        assert (done.returncode, done.stdout) == (78, "")
        assert done.stderr.startswith('error: unknown key "wrokers"\n  at config/queue.yml:1:1')
        assert {child.pid for child in tree.children()} == before


@pytest.mark.failure(
    "a module can't be imported after a `restart`",
    "the tree has ended, as at a start; the command ends with 3 and names the log",
)
def test_a_restart_that_does_not_come_up_is_reported(run: Commands) -> None:
    with run.project.start() as tree:
        tree.wait_event("supervisor.ready")
        run.project.write("shop_jobs.py", "1 / 0\n")

        done = run("restart")

        assert done.returncode == 3
        assert "has ended instead; its log says why" in done.stderr
        assert tree.process.wait(5) == 78


@pytest.mark.failure(
    "TERM comes while a tree restarts",
    "the tree ends, and is not started again",
)
def test_a_stop_wins_over_a_restart(run: Commands) -> None:
    run.project.write("shop_jobs.py", HOLDING)
    with run.project.start("--log-jobs") as tree:
        run("enqueue", "shop_jobs.hold")
        tree.wait_event("job.started")
        waiting = threading.Thread(target=lambda: run("restart"))
        waiting.start()
        tree.wait_event("supervisor.stopping")

        os.kill(tree.process.pid, signal.SIGTERM)

        assert tree.process.wait(20) == 0
        waiting.join(20)
    assert len(tree.events("supervisor.ready")) == 1


def test_jobs_wait_for_the_end_of_a_restart_and_none_is_lost(run: Commands) -> None:
    with run.project.start() as tree:
        tree.wait_event("supervisor.ready")
        for number in range(3):
            run("enqueue", "shop_jobs.welcome", f"[{number}]")
        run("restart")
        for number in range(3, 6):
            run("enqueue", "shop_jobs.welcome", f"[{number}]")

        wait_until(lambda: len(run.rows("list", "--state", "finished")) == 6)


def test_restart_without_a_supervisor_ends_with_3(run: Commands) -> None:
    done = run("restart")

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: no supervisor runs in ")
