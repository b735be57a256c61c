"""A limited job overtakes nothing that is more urgent: not what was given back, or not seen."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.worker.asynchronous import Aim

from .bodies import gate, note, noted, wait_for_gate

if TYPE_CHECKING:
    from .conftest import Count, MakeWorker

MANY_S = 1e6


@job
async def coroutine() -> None: ...


@job(limits_concurrency=Limit(key="k"))
def limited(number: int) -> None:
    noted.append(number)


def test_what_was_given_back_goes_before_a_limited_job_that_is_less_urgent(
    make_worker: MakeWorker, count: Count
) -> None:
    """It lies before the cursor: a claim that finds nothing behind that says little."""
    enqueue_many([wait_for_gate.with_args("held"), *(note.with_args(n) for n in range(20))])
    driven = make_worker(threads=1, prefetch=100)
    claiming, pool = driven.worker._claiming, driven.worker._pool
    driven.until(lambda: noted == ["held"] and pool.waiting == 20)
    # As if a sweep were so costly that the next one is far away.
    claiming.ways.both.cursor._walked_s = MANY_S
    driven.worker._ledger.give_back(pool.take_back())
    driven.until(lambda: count("ready_executions") == 20)
    limited.using(priority=5).enqueue(-1)
    gate.set()
    driven.until(driven.at_rest)

    for _ in range(3):
        claiming.ways.both.polling.poll_now()
        claiming.limited.searches.now()
        driven.worker.poll()
    driven.until(driven.at_rest)
    claiming.ways.both.cursor._walked_s = 0.0
    claiming.ways.poll_now()
    driven.until(lambda: len(noted) == 22)

    assert noted[-1] == -1


def test_a_claim_for_coroutines_alone_says_nothing_of_functions(
    make_worker: MakeWorker, count: Count
) -> None:
    """A thread may become idle between the claim, for which it had no room, and its answer."""
    driven = make_worker(threads=1)
    driven.until(driven.at_rest)
    worker, claiming = driven.worker, driven.worker._claiming
    enqueue_many(note.with_args(n) for n in range(20))
    limited.using(priority=5).enqueue(-1)
    claiming.limited.searches.now()

    request = claiming.request(Aim(kind=True, limit=5), monotonic(), worker._process_id)
    result = worker._turns.take(worker._ledger.recording(), release=[], request=request)
    assert result is not None
    claiming.finish(request, result)

    assert (result.size, count("claims")) == (0, 0)
    driven.until(lambda: len(noted) == 21)
    assert noted[-1] == -1
