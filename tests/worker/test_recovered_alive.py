"""A worker that was declared dead and lives takes nothing from who has its jobs by now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.supervisor.recovery.claims import recover

from .bodies import gate, noted, wait_for_gate
from .dead_processes import dead_process

if TYPE_CHECKING:
    from jobsd.database.connection import Session

    from .conftest import Count, MakeWorker


@job(limits_concurrency=Limit(to=1, key="k"))
def end_as(how: str) -> None:
    """Note the argument, wait until the gate is open, and end as it says."""
    noted.append(how)
    assert gate.wait(60)
    if how == "fails":
        raise ValueError(how)


@pytest.mark.failure(
    "a worker that was declared dead ends its job, and finished jobs are not kept",
    "the job stays: it belongs to another worker, or has failed",
)
def test_it_erases_no_job_that_is_not_its_own(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    for value in range(2):
        wait_for_gate.enqueue(value)
    driven = make_worker(keep=False)
    driven.until(lambda: len(noted) == 2)

    recover(session, dead_process(session, threads=3))
    gate.set()
    driven.until(driven.at_rest)

    assert (count("jobs"), count("failed_executions"), count("attempts")) == (2, 2, 2)


@pytest.mark.failure(
    "A worker that was declared dead ends a limited job that holds its slot elsewhere by now.",
    "The slot stays with the worker that runs the job now, and no other job gets it.",
)
@pytest.mark.parametrize("how", ["succeeds", "fails"])
def test_it_frees_no_slot_that_its_job_holds_elsewhere(
    how: str, make_worker: MakeWorker, session: Session, count: Count
) -> None:
    held = end_as.enqueue(how)
    end_as.enqueue("next")
    recovered = make_worker()
    recovered.until(lambda: noted)
    recover(session, dead_process(session, release=True))
    make_worker("worker-other").until(lambda: len(noted) == 2)

    gate.set()
    recovered.until(recovered.at_rest)

    slots = session.connection.execute("SELECT job_ids FROM jobsd.claims WHERE slot = 1")
    assert slots.fetchall() == [([held.id],)]
    assert (count("blocked_executions"), noted) == (1, [how, how])
