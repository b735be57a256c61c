"""What a tree does is told by fixed names with their facts, and what it does not do is not."""

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

JOB = {"job_id", "class_name", "queue_name"}
FACTS = {
    "process.started": {"process_kind", "process_name", "pid", "hostname"},
    "process.stopped": {"process_kind", "process_name", "pid", "hostname"},
    "process.exited": {"kind", "name", "reason", "signal", "running"},
    "process.replaced": {"kind", "name", "predecessor", "predecessor_pid", "reason"},
    "process.recovered": {"child", "child_pid", "reason", "failed", "released"},
    "jobs.claimed": {"size", "claim_id"},
    "jobs.dispatched": {"size"},
    "jobs.unblocked": {"size"},
    "job.finished": {*JOB, "duration"},
    "job.failed": {*JOB, "attempt", "error"},
    "job.released": JOB,
    "recurring.enqueued": {"task", "run_at", "job_id"},
    "supervisor.stopping": {"at_once"},
    "supervisor.stopped": {"exit_status", "duration"},
}
"""Of each event that there is in Solid Queue, or of what stands for it here."""


@pytest.mark.behaviour(88)
def test_each_transition_is_reported_with_its_facts_and_no_empty_poll_is(
    project: Project, query: Query
) -> None:
    project.write(
        "config/queue.yml", "import: [trial_jobs]\nsupervisor: {shutdown_timeout: 0.3}\n"
    )
    project.write(
        "config/recurring.yml",
        "beat: {class: HeartbeatJob, schedule: every day, run_at_start: true}\n",
    )
    with project.start("--log-level", "debug") as tree:
        tree.wait_event("supervisor.ready")
        query(
            "SELECT jobsd.enqueue('trial_jobs.quick', jsonb_build_array(n),"
            " concurrency_key => 'k') FROM generate_series(0, 1) AS n"
        )
        query("SELECT jobsd.enqueue('trial_jobs.quick', '[2]', wait => '50 ms')")
        enqueue(query, "mixed", 3, 0, "fail")
        tree.wait_event("job.finished", 4)
        tree.wait_event("job.failed")
        os.kill(tree.children("worker")[0].pid, signal.SIGKILL)
        tree.wait_event("process.replaced")
        enqueue(query, "slow")
        wait_until(lambda: "start slow" in ledger(project), what=tree.reported)
        # The monitor of a tree that ends may have too little time to report it.
        os.kill(tree.children("worker")[0].pid, signal.SIGTERM)
        tree.wait_event("job.released")
        tree.terminate()

    reported = {event["event"]: set(event) for event in tree.events()}
    assert {name: facts - reported.get(name, set()) for name, facts in FACTS.items()} == {
        name: set() for name in FACTS
    }
    polls = [*tree.events("jobs.claimed"), *tree.events("jobs.dispatched")]
    assert min(event["size"] for event in polls) > 0
