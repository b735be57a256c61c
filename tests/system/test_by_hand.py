"""What an operator does to jobs of a tree that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from system.jobs import enqueue, ledger, let_go
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

FAILED = "SELECT FROM jobsd.failed_executions JOIN jobsd.jobs ON id = job_id WHERE attempts = 2"


@pytest.mark.behaviour(61)
@pytest.mark.parametrize("many", [False, True])
def test_failed_jobs_that_are_retried_have_all_their_attempts_again(
    project: Project, query: Query, *, many: bool
) -> None:
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        jobs = [project.run("enqueue", "trial_jobs.fail_twice").stdout.strip()]
        if many:
            jobs += [project.run("enqueue", "trial_jobs.fail_twice").stdout.strip()]
        wait_until(lambda: len(query(FAILED)) == len(jobs), what=tree.reported)

        done = project.run("retry", *(("--all", "--yes") if many else jobs))

        assert done.returncode == 0, done.stderr
        wait_until(lambda: len(ledger(project)) == 4 * len(jobs), what=tree.reported)
        wait_until(lambda: len(query(FAILED)) == len(jobs), what=tree.reported)
    words = [f"{job_id} attempt {n}" for job_id in jobs for n in (1, 1, 2, 2)]
    assert sorted(ledger(project)) == sorted(words)


@pytest.mark.behaviour(63)
def test_a_job_that_runs_is_not_discarded_and_ends(project: Project, query: Query) -> None:
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        job_id = enqueue(query, "held", 1)
        wait_until(lambda: ledger(project) == ["start 1"], what=tree.reported)

        done = project.run("discard", str(job_id))

        assert (done.returncode, "claimed" in done.stderr) == (6, True), done.stderr
        let_go(project)
        outcome = f"SELECT outcome FROM jobsd.jobs WHERE id = {job_id}"
        wait_until(lambda: query(outcome) == [("finished",)], what=tree.reported)
