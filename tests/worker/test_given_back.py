"""A limited job overtakes nothing that is more urgent: not what was given back, or not seen."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit

from .bodies import gate, note, noted, wait_for_gate

if TYPE_CHECKING:
    from .conftest import Count, MakeWorker

MANY_S = 1e6


@job(limits_concurrency=Limit(key="k"))
def limited(number: int) -> None:
    noted.append(number)


def test_released_jobs_start_before_a_less_urgent_limited_job(
    make_worker: MakeWorker, count: Count
) -> None:
    """It lies before the cursor: a claim that finds nothing behind that says little."""
    enqueue_many([wait_for_gate.with_args("held"), *(note.with_args(n) for n in range(20))])
    driven = make_worker(threads=1, prefetch=100)
    claiming, pool = driven.worker.claiming, driven.worker.pool
    driven.until(lambda: noted == ["held"] and pool.waiting == 20)
    # As if a sweep were so costly that the next one is far away.
    claiming.cursor.swept_at = claiming.cursor.sweep_allowed_at = monotonic() + MANY_S
    driven.worker.ledger.give_back(pool.take_back())
    driven.until(lambda: count("ready_executions") == 20)
    limited.using(priority=5).enqueue(-1)
    gate.set()
    driven.until(driven.at_rest)

    for _ in range(3):
        claiming.polling.poll_now()
        claiming.limited.search.now()
        driven.worker.poll()
    driven.until(driven.at_rest)
    claiming.cursor.swept_at = claiming.cursor.sweep_allowed_at = 0.0
    claiming.polling.poll_now()
    driven.until(lambda: len(noted) == 22)

    assert noted[-1] == -1
