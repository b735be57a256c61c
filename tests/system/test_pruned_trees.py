"""A tree that stood still is declared dead by another, and changes nothing when it goes on."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from system.jobs import ledger, let_go
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project
    from harness.tree import Tree

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

QUEUE = """
import: [trial_jobs]
supervisor: {{heartbeat_interval: 0.2, process_alive_threshold: {}}}
"""
PLACES = """
SELECT j.arguments ->> 0, j.outcome, j.attempts, f.error ->> 'type'
FROM jobsd.jobs j LEFT JOIN jobsd.failed_executions f ON f.job_id = j.id ORDER BY j.id
"""
WORKERS = "SELECT count(*) FROM jobsd.processes WHERE kind = 'worker'"
OF = "SELECT arguments ->> 0 FROM jobsd.{} JOIN jobsd.jobs ON id = job_id"


def _send(tree: Tree, number: signal.Signals) -> None:
    for pid in (tree.process.pid, *(child.pid for child in tree.children())):
        os.kill(pid, number)


@pytest.mark.failure(
    "a whole tree stands still until another has declared it dead, then goes on",
    "its jobs have failed with a `ProcessPrunedError` and stay failed, and their slots belong"
    " to other jobs by then; the tree registers again by itself",
)
@pytest.mark.behaviour(14, 15, 30)
def test_a_tree_that_was_pruned_and_goes_on_changes_nothing(
    project: Project, query: Query
) -> None:
    project.write("config/queue.yml", QUEUE.format(1))
    enqueue = "SELECT jobsd.enqueue('trial_jobs.{}', '[{}]', concurrency_key => 'k')"
    with project.start() as frozen:
        frozen.wait_event("supervisor.ready")
        query(enqueue.format("held", 1))
        wait_until(lambda: ledger(project) == ["start 1"], what=frozen.reported)
        query(enqueue.format("quick", 2))
        _send(frozen, signal.SIGSTOP)
        with project.start() as other:
            wait_until(lambda: "ran 2" in ledger(project), 20, what=other.reported)
            wait_until(lambda: query(PLACES)[1][1] == "finished", what=other.reported)
            # Its row goes with the last of its claims, which may take one poll more.
            wait_until(lambda: query(WORKERS) == [(1,)], what=other.reported)
            query(enqueue.format("until_told_to_stop", 3))
            query(enqueue.format("quick", 4))
            wait_until(lambda: "start 3" in ledger(project), what=other.reported)

            let_go(project)
            _send(frozen, signal.SIGCONT)
            assert frozen.wait_event("process.replaced")["reason"] == "row"
            wait_until(lambda: "end 1" in ledger(project), what=frozen.reported)
            # The worker registers anew by itself, or is replaced where the monitor is quicker.
            frozen.wait_event("process.stopped")
            wait_until(lambda: query(WORKERS) == [(2,)], what=frozen.reported)

            assert query(PLACES) == [
                ("1", None, 1, "ProcessPrunedError"),
                ("2", "finished", 1, None),
                ("3", None, 0, None),
                ("4", None, 0, None),
            ]
            assert query("SELECT job_ids[1]::text FROM jobsd.claims WHERE slot = 1") == query(
                "SELECT id::text FROM jobsd.jobs WHERE arguments ->> 0 = '3'"
            )
            # It may have been in the series of job 3, and goes back then.
            wait_until(lambda: query(OF.format("blocked_executions")) == [("4",)])
            other.terminate(signal.SIGQUIT)
        frozen.terminate(signal.SIGQUIT)
