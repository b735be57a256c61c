"""Somebody holds the row of a worker locked for longer than a heartbeat is believed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import errors

from waiting import Stopwatch, wait_until

from .bodies import gate, note, noted, wait_for_gate

if TYPE_CHECKING:
    from jobsd.database.connection import Target

    from .conftest import Count, MakeWorker

TRUST_S = 0.3


@pytest.mark.failure(
    "Another session holds the row of a worker locked for longer than a third of the"
    " threshold.",
    "The worker claims and records nothing until it is released, as in an outage; then what"
    " it ran meanwhile is recorded, once.",
)
def test_a_worker_that_can_not_beat_waits_and_loses_and_doubles_nothing(
    make_worker: MakeWorker, target: Target, count: Count
) -> None:
    wait_for_gate.enqueue()
    driven = make_worker(target=replace(target, deadline_s=1.0), threads=1, trust_s=TRUST_S)
    driven.until(lambda: noted)
    note.enqueue("behind it")
    with psycopg.connect(target.url) as holder:
        holder.execute("SELECT FROM jobsd.processes FOR UPDATE")
        held = Stopwatch()
        gate.set()
        wait_until(lambda: held.over(2 * TRUST_S))

        for _ in range(2):
            # Its process waits that out, and tells an outage.
            with pytest.raises(errors.LockNotAvailable):
                driven.worker.poll()
            driven.worker.disconnect()
            with pytest.raises(errors.LockNotAvailable):
                driven.worker.connect()

        assert count("jobs WHERE outcome IS NULL AND attempts = 0") == 2
        assert noted == [None]
    driven.worker.connect()
    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 2)

    assert noted == [None, "behind it"]
    assert count("jobs WHERE attempts = 1") == 2
    assert count("claims") == 0
