"""Answers are lost on their way, and nothing that they were to bring about is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.project import Project
from outages.ordeal import connect
from system.jobs import LEDGER
from waiting import Stopwatch, let_pass, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from outages.cluster import Cluster

pytestmark = pytest.mark.system

JOBS = """
from jobsd import job

@job
def step(n):
    time.sleep(0.01)
"""
QUEUE = """
import: [trial_jobs]
workers: [{processes: 2, threads: 3}]
dispatchers: [{concurrency_maintenance: false}]
"""
# Some one after the other, and some alone, who come due while answers are lost.
_ENQUEUE = """
SELECT
    count(jobsd.enqueue(
        'trial_jobs.step', to_jsonb(ARRAY[n]), concurrency_key => 'k' || n % 20
    )),
    count(jobsd.enqueue(
        'trial_jobs.step', to_jsonb(ARRAY[n]), concurrency_key => 'alone' || n,
        wait => interval '5 ms' * n
    ))
FROM generate_series(1, 4000) AS n
"""
_OPEN = "SELECT count(*) FROM jobsd.jobs WHERE finished_at IS NULL"
_BESIDE = """
SELECT count(*)
FROM (
    SELECT blocked.concurrency_key AS key
    FROM jobsd.blocked_executions AS blocked
    GROUP BY 1
    HAVING count(position) = 0
) AS waiting
WHERE NOT EXISTS (SELECT FROM jobsd.claims AS claim WHERE claim.concurrency_key = waiting.key)
"""


@pytest.mark.long
@pytest.mark.failure(
    "The standby without which the server commits nothing is away for 17 s, while limited"
    " jobs run; maintenance is switched off.",
    "Ten seconds after it is back no job is blocked beside a free slot, and all jobs continue",
)
def test_after_unanswered_commits_no_job_waits_beside_a_free_slot(
    running: Cluster, url: str, tmp_path: Path
) -> None:
    project = Project(tmp_path, url, LEDGER=str(tmp_path / "ledger"))
    project.write("trial_jobs.py", LEDGER + JOBS)
    project.write("config/queue.yml", QUEUE)
    project.write("config/recurring.yml", "{}\n")
    with project.start() as tree, connect(url) as watcher:
        tree.wait_event("supervisor.ready")
        watcher.execute(_ENQUEUE.encode())
        wait_until(
            lambda: (watcher.execute(_OPEN.encode()).fetchone() or (0,))[0] < 7_900,
            what=tree.reported,
        )

        _wait_for_standby(running, "nobody")
        let_pass(17)
        _wait_for_standby(running, "")

        def is_none(query: str) -> bool:
            return watcher.execute(query.encode()).fetchone() == (0,)

        watch = Stopwatch()
        wait_until(lambda: is_none(_OPEN) or watch.over(10), 20)
        # A key whose slot has just been freed is seen beside it for a moment.
        wait_until(lambda: is_none(_BESIDE), 1, tree.reported)
        wait_until(lambda: is_none(_OPEN), 120, tree.reported)


def _wait_for_standby(running: Cluster, name: str) -> None:
    with connect(running.socket_url) as connection:
        connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'".encode())
        connection.execute("SELECT pg_reload_conf()")
