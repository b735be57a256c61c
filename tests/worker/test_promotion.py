"""Whoever waits for a slot has it in the turn that records the job which held it."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.jobs.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.policy import Discard, Retry
from system.tree import wait_for

from .bodies import gate, noted

if TYPE_CHECKING:
    from .conftest import Count, MakeWorker


@job(max_attempts=2, limits_concurrency=Limit(to=1))
def hold(how: str) -> None:
    noted.append(how)
    assert gate.wait(20)
    match how:
        case "fail":
            raise KeyboardInterrupt
        case "retry":
            raise Retry(after="1h")
        case "discard":
            raise Discard
        case _:
            pass


@pytest.mark.parametrize("how", ["finish", "fail", "retry", "discard"])
def test_the_turn_that_records_a_holder_promotes_the_next(
    how: str, make_worker: MakeWorker, count: Count
) -> None:
    enqueue_many([hold.with_args(how), hold.with_args("next")])
    driven = make_worker()
    driven.until(lambda: noted and driven.worker.poll())
    assert count("blocked_executions") == 1
    gate.set()
    wait_for(lambda: not driven.worker._pool.in_hand)

    driven.worker.poll()

    assert (count("blocked_executions"), count("concurrency_slots")) == (0, 1)
