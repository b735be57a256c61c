"""The series of a heartbeat's age is that of a place: it stays when a process is replaced."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

import pytest

from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project
    from harness.tree import Tree

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

AGE = re.compile(
    r'^jobsd_process_heartbeat_age_seconds\{kind="(\w+)",name="([^"]+)"\}', re.MULTILINE
)
CONFIG = "dispatchers: [{}]\nworkers: [{queues: a, processes: 2}, {queues: b}]\n"


def series(project: Project) -> list[tuple[str, str]]:
    """Return kind and name of each series; none is there twice."""
    found: list[tuple[str, str]] = AGE.findall(project.run("metrics").stdout)
    assert len(found) == len(set(found))
    return sorted(found)


def _once_there(project: Project, count: int) -> list[tuple[str, str]]:
    """Return the series, once there are so many: each process knows its tree then."""
    wait_until(lambda: len(series(project)) == count)
    return series(project)


def _kill_and_wait(tree: Tree, kind: str) -> None:
    before = len(tree.events("process.replaced"))
    os.kill(tree.children(kind)[0].pid, signal.SIGKILL)
    tree.wait_event("process.replaced", before + 1)


def test_a_process_that_is_replaced_has_the_series_of_the_one_before(project: Project) -> None:
    project.write("config/queue.yml", CONFIG)
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        first = _once_there(project, 6)
        for kind in ("worker", "dispatcher", "worker"):
            _kill_and_wait(tree, kind)
        then = _once_there(project, 6)
        tree.terminate()
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        again = _once_there(project, 6)
        tree.terminate()

    assert first == then == again
    names = [name.rsplit("/", 1) for _, name in first]
    assert [number for _, number in names] == [
        *("dispatcher-1", "monitor-1", "supervisor-1", "worker-1", "worker-2", "worker-3")
    ]
    (tree_name,) = {tree for tree, _ in names}
    assert tree_name.startswith(f"{os.uname().nodename}/{project.root.name[:40]}-")


def test_two_trees_of_one_host_are_kept_apart(project: Project) -> None:
    project.write("config/queue.yml", "workers: [{}]\n")
    project.write("config/mail.yml", "workers: [{queues: mail}]\n")
    with (
        project.start() as one,
        project.start("--config", "config/mail.yml", "--metrics-bind", "off") as other,
    ):
        one.wait_event("supervisor.ready")
        other.wait_event("supervisor.ready")

        assert len({name.rsplit("/", 1)[0] for _, name in _once_there(project, 6)}) == 2
        one.terminate()
        other.terminate()


def test_a_process_without_a_number_goes_by_its_name(project: Project, query: Query) -> None:
    project.write("config/queue.yml", "workers: [{}]\n")
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        _once_there(project, 3)
        query(
            "UPDATE jobsd.processes SET metadata = metadata - 'number'"
            " WHERE kind = 'worker' RETURNING 1"
        )
        ((name,),) = query("SELECT name FROM jobsd.processes WHERE kind = 'worker'")

        assert ("worker", name) in series(project)
        tree.terminate()
