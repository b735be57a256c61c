"""As process 1 of a container: whatever loses its parent there comes to the supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import psutil
import pytest

from failures.asking import finished
from failures.wrapped import needs, only_child, wrapped
from harness.tree import lives
from system.jobs import enqueue, enqueue_many
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

ORPHANS = 20


@pytest.fixture
def container() -> list[str]:
    """What starts a program as process 1 of a namespace of its own, with its own /proc."""
    return needs("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


def _zombies(pid: int) -> list[psutil.Process]:
    children = psutil.Process(pid).children(recursive=True)
    return [child for child in children if child.is_running() and not lives(child)]


@pytest.mark.failure(
    "the tree is process 1 of a container, and its jobs leave orphan processes that end",
    "all are reaped, no zombie stays; TERM ends the tree in order, and the container with it",
)
def test_as_process_1_a_tree_reaps_outsiders_and_ends_in_order(
    project: Project, query: Query, container: list[str]
) -> None:
    with wrapped(project, container, JOBSD_LOG_LEVEL="debug") as tree:
        started = tree.wait_event("supervisor.ready")
        assert started["pid"] == 1
        init = only_child(tree.process.pid)
        enqueue_many(query, "orphan", [(0.2,)] * ORPHANS)
        finished(query, ORPHANS, tree.reported)
        # Others enter the container from outside, and are nobody's children in it.
        into = ["nsenter", "--target", str(init), "--pid", "--mount"]
        subprocess.run([*into, "sh", "-c", "sleep 0.1 & sleep 0.2 &"], check=True)

        wait_until(lambda: len(tree.events("process.reaped")) >= ORPHANS, what=tree.reported)
        wait_until(lambda: not _zombies(init), 2, "zombies stay")
        tree.children("worker")[0].kill()
        tree.wait_event("process.replaced")
        enqueue(query, "quick", 1)
        finished(query, ORPHANS + 1, tree.reported)
        tree.children()
        os.kill(init, signal.SIGTERM)
        assert tree.process.wait(30) == 0, tree.reported()

        assert tree.events("supervisor.stopped")[0]["exit_status"] == 0
        assert tree.alive() == []
    assert query("SELECT FROM jobsd.processes") == []


@pytest.mark.failure(
    "the container is stopped (TERM to process 1) while the tree still starts",
    "it ends at once, although the kernel withholds from process 1 each signal for which it"
    " has no handler",
)
def test_as_process_1_a_tree_that_still_starts_hears_term(
    project: Project, container: list[str]
) -> None:
    project.write(
        "trial_jobs.py", "import time\nopen('importing', 'w').close()\ntime.sleep(60)\n"
    )
    with wrapped(project, container) as tree:
        wait_until((project.root / "importing").exists, what=tree.reported)
        init = only_child(tree.process.pid)
        tree.children()

        os.kill(init, signal.SIGTERM)

        wait_until(lambda: tree.process.poll() is not None, 2, tree.reported)
        assert tree.process.returncode == 128 + signal.SIGTERM
        wait_until(lambda: tree.alive() == [], 1)


@pytest.mark.failure(
    "jobs have left programs running, one of which ignores TERM and has started others; the "
    "tree ends",
    "what lives in the tree's session ends with it, to the last; a server that has made a "
    "session of its own lives on",
)
def test_what_jobs_have_left_running_ends_with_the_tree(project: Project, query: Query) -> None:
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        enqueue(query, "orphan", 300)
        enqueue(query, "stubborn")
        finished(query, 2, tree.reported)
        text = (project.root / "ledger").read_text(encoding="utf-8")
        pids = [int(pid) for line in text.splitlines() for pid in line.split()[1:-2]]
        left = list(map(psutil.Process, pids))
        assert len(left) == 3

        assert tree.terminate() < 2

        # Killed, each still has to die: that is the kernel's affair.
        wait_until(lambda: not any(map(lives, left)), 1, "some live on")
