"""What a worker gives back keeps its place before what is less urgent."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.jobs.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit

from .bodies import gate, note, noted, wait_for_gate

if TYPE_CHECKING:
    from .conftest import Count, MakeWorker


@job(limits_concurrency=Limit(key="k"))
def limited(number: int) -> None:
    noted.append(number)


def test_what_was_given_back_goes_before_a_limited_job_that_is_less_urgent(
    make_worker: MakeWorker, count: Count
) -> None:
    """It lies before the cursor: a claim that finds nothing behind that says little."""
    enqueue_many([*(note.with_args(n) for n in range(300)), wait_for_gate.with_args("held")])
    enqueue_many(note.with_args(n) for n in range(100))
    driven = make_worker(threads=1)
    driven.until(lambda: noted[-1:] == ["held"] and count("ready_executions") == 100)
    cursor = driven.worker._claiming.ways.both.cursor
    cursor.begin_claim()
    cursor._sweep_due, cursor._swept_at = False, monotonic()
    cursor._sweep_allowed_at = monotonic() + 0.5
    limited.using(priority=5).enqueue(-1)
    driven.worker._claiming.limited.search_now()

    gate.set()
    driven.until(lambda: len(noted) == 402)

    assert noted[-1] == -1
