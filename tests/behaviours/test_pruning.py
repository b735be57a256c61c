"""Who is pruned, by whom, and how often."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from harness.job_rows import assert_only_job_is, claim, make_jobs, process_names
from harness.played_tree import tree_on
from jobsd.processes import registry
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target


def _outsider(session: Session, kind: str) -> int:
    """Write the row of a process of another machine that gives no sign of life."""
    row = session.connection.execute(
        "INSERT INTO jobsd.processes (kind, name, pid, hostname, metadata)"
        " VALUES (%s, %s, 1, 'elsewhere', %s) RETURNING id",
        (kind, f"far-{kind}", json.dumps({"boot": "another", "threads": 1})),
    ).fetchone()
    assert row is not None
    return int(row[0])


def _ages_s(session: Session) -> list[float]:
    return [row.heartbeat_age_s for row in registry.processes(session)]


@pytest.mark.behaviour(14)
def test_no_process_prunes_its_own_tree(target: Target, session: Session) -> None:
    with tree_on(target, process_alive_threshold_s=1) as tree:
        tree.start_monitor()
        (job,) = make_jobs(session, 1)
        worker = tree.start_worker(job, running=(job,))
        before = process_names(session)

        # Neither the worker nor the supervisor, whose part is the test's, comes round.
        tree.kill(worker, signal.SIGSTOP)
        wait_until(lambda: sorted(_ages_s(session))[-2] > 1.5)

        assert process_names(session) == before
        assert_only_job_is(session, job, "claimed")


@pytest.mark.behaviour(15)
def test_a_supervisor_and_its_worker_are_pruned_together_and_the_job_fails_once(
    target: Target, session: Session
) -> None:
    (job,) = make_jobs(session, 1)
    _outsider(session, "supervisor")
    claim(session, _outsider(session, "worker"), [job])
    with tree_on(target, process_alive_threshold_s=1) as tree:
        tree.start_monitor()

        wait_until(lambda: not any(name.startswith("far-") for name in process_names(session)))

        assert_only_job_is(session, job, "failed")
        rows = session.connection.execute("SELECT job_id, attempt FROM jobsd.attempts")
        assert rows.fetchall() == [(job, 1)]
        assert tree.wait_only_event("job.failed")["job_id"] == job
