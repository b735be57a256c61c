"""A job that takes hours need not begin anew because a worker ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from system.jobs import enqueue, ledger
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

STEPS = 12


@pytest.mark.behaviour(66)
def test_a_job_that_reads_stopping_resumes_at_its_step_after_the_restart(
    project: Project, query: Query
) -> None:
    with project.start() as first:
        first.wait_event("supervisor.ready")
        enqueue(query, "walk", 0, STEPS)
        wait_until(lambda: len(ledger(project)) == 3, what=first.reported)
        assert first.terminate() < 2
    interrupted = len(ledger(project))

    with project.start() as second:
        second.wait_event("supervisor.ready")
        wait_until(lambda: len(ledger(project)) == STEPS, what=second.reported)
        second.terminate()

    assert interrupted == 3
    assert ledger(project) == [f"step {n}" for n in range(STEPS)]
    assert query("SELECT outcome, attempts FROM jobsd.jobs") == [("finished", 1)] * 2
