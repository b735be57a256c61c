"""Workers that have done enough are replaced, and nobody waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project
    from harness.tree import Tree

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system


def _replaced(tree: Tree, setting: str) -> None:
    """Wait until the first worker was recycled; its successor must have been up before.

    That a worker is replaced is told when it is told to end.
    """
    tree.wait_event("process.recycling")
    recycling = tree.events("process.recycling")[0]
    assert (recycling["limit"], recycling["process_kind"]) == (setting, "worker")
    tree.wait_event("process.replaced")
    replaced = tree.events("process.replaced")[0]
    assert (replaced["reason"], replaced["kind"]) == ("recycled", "worker")
    # What was planned is no warning; a misfortune is one, as process.exited.
    assert (replaced["level"], recycling["level"]) == ("info", "info")
    assert replaced["predecessor"] == recycling["process_name"]
    wait_until(lambda: _times(tree, "process.stopped", recycling["process_name"]))
    (up,) = _times(tree, "process.started", replaced["name"])
    (gone,) = _times(tree, "process.stopped", recycling["process_name"])
    assert up < replaced["timestamp"]
    assert up < gone
    assert not tree.events("process.exited"), tree.reported()


def _run_thirty(query: Query, done: int) -> None:
    query("SELECT jobsd.enqueue('trial_jobs.quick', '[1]') FROM generate_series(1, 30)")
    wait_until(lambda: query(_DONE)[0] in {(done,), (done + 1,)})


def _times(tree: Tree, event: str, name: str) -> list[str]:
    return [each["timestamp"] for each in tree.events(event) if each["process_name"] == name]


def test_a_worker_is_replaced_after_max_jobs_and_all_jobs_finish(
    project: Project, query: Query
) -> None:
    project.write(
        "config/queue.yml", "import: [trial_jobs]\nworkers: [{queues: '*', max_jobs: 20}]\n"
    )

    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        project.run("enqueue", "trial_jobs.slow", "[1.5]")
        _run_thirty(query, 30)
        _run_thirty(query, 60)
        _replaced(tree, "max_jobs")
        # What it ran went on to its end: nobody is killed for a succession.
        wait_until(lambda: query(_DONE) == [(61,)])
        tree.terminate()

    assert query("SELECT count(*) FROM jobsd.attempts") == [(0,)]


@pytest.mark.failure(
    "a job leaks memory",
    "beyond `max_memory` its worker gets a successor, which is ready before the old worker"
    " drains",
)
def test_a_worker_is_replaced_when_it_is_too_big(project: Project) -> None:
    project.write(
        "config/queue.yml", "import: [trial_jobs]\nworkers: [{queues: '*', max_memory: 100M}]\n"
    )
    project.write("trial_jobs.py", _GREEDY)

    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        project.run("enqueue", "trial_jobs.grow", "[120]")
        _replaced(tree, "max_memory")
        tree.terminate()


def test_a_worker_is_replaced_when_it_is_too_old(project: Project) -> None:
    project.write(
        "config/queue.yml", "import: [trial_jobs]\nworkers: [{queues: '*', max_age: 1s}]\n"
    )

    with project.start() as tree:
        _replaced(tree, "max_age")
        tree.terminate()


_DONE = "SELECT count(*) FROM jobsd.jobs WHERE outcome = 'finished'"

_GREEDY = """
from jobsd import job
kept = []

@job
def grow(mebibytes):
    kept.append(bytearray(b"x" * (mebibytes << 20)))
"""
