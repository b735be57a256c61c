"""Trees that share a database and differ in settings do not take each other for dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from system.jobs import enqueue, ledger, let_go
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project
    from harness.tree import Tree

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

IMPORT = "import: [trial_jobs]\n"
SHORT = IMPORT + "supervisor: {heartbeat_interval: 2, process_alive_threshold: 5}\n"
NEAR = IMPORT + (
    "supervisor: {heartbeat_interval: 2, process_alive_threshold: 5.1, hang_timeout: 5}\n"
)
LIMITED = "SELECT jobsd.enqueue('trial_jobs.{}', '[{}]', concurrency_key => 'k')"
BEATS = "SELECT min((id, last_heartbeat_at)::text) FROM jobsd.processes WHERE kind = 'worker'"
ERRORS = "SELECT error ->> 'type', error ->> 'reason' FROM jobsd.failed_executions"


def _beats_anew(query: Query, tree: Tree, times: int) -> None:
    """Wait until the first tree has written its worker's heartbeat so many times."""
    for _ in range(times):
        before = query(BEATS)
        wait_until(lambda before=before: query(BEATS) != before, what=tree.reported)  # type: ignore[misc]


@pytest.mark.failure(
    "two trees share a database, one has the defaults, the other `heartbeat_interval: 2, "
    "process_alive_threshold: 5`",
    "neither takes a healthy process of the other for dead: the longest of both thresholds "
    "counts; `doctor` warns",
)
@pytest.mark.parametrize("shorter_polls_first", [False, True])
def test_a_healthy_tree_is_not_pruned_by_one_with_shorter_settings(
    project: Project, query: Query, *, shorter_polls_first: bool
) -> None:
    project.write("config/short.yml", SHORT)
    trees = ((), ("--config", "config/short.yml"))
    first, second = reversed(trees) if shorter_polls_first else trees
    with project.start(*first) as one, project.start(*second) as other:
        for tree in (one, other):
            tree.wait_event("supervisor.ready")
        query(LIMITED.format("held", 1))
        wait_until(lambda: ledger(project) == ["start 1"], what=one.reported)
        query(LIMITED.format("quick", 2))

        _beats_anew(query, one, 5 if shorter_polls_first else 3)
        reported = project.run("doctor").stdout
        let_go(project)
        wait_until(lambda: "ran 2" in ledger(project), what=other.reported)

        assert ledger(project) == ["start 1", "end 1", "ran 2"]
        assert [tree.events("process.pruned") for tree in (one, other)] == [[], []]
        assert query(ERRORS) == []
        (processes,) = [line for line in reported.splitlines() if "\tprocesses\t" in line]
        assert "WARN" in processes
        assert "process_alive_threshold 5 s" in processes
        assert "process_alive_threshold 60 s" in processes


@pytest.mark.failure(
    "a job keeps the interpreter's lock, and `hang_timeout` is just below the threshold",
    "its process is killed, and the job has ended, before any tree takes it for dead",
)
def test_a_job_that_keeps_the_interpreters_lock_ends_before_another_tree_takes_it(
    project: Project, query: Query
) -> None:
    project.write("config/queue.yml", NEAR + "workers: [{queues: default}]\n")
    project.write("config/short.yml", SHORT + "workers: [{queues: other}]\n")
    with project.start() as hangs, project.start("--config", "config/short.yml") as checks:
        for tree in (hangs, checks):
            tree.wait_event("supervisor.ready")

        enqueue(query, "hold_the_lock", 30)

        wait_until(lambda: query(ERRORS), what=hangs.reported)
        assert query(ERRORS) == [("ProcessExitError", "hung")]
        assert checks.events("process.pruned") == []
