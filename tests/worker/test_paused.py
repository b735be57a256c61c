"""A worker begins nothing while everything is paused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.acts import everything
from jobsd.enqueueing.client import enqueue_many

from .bodies import gate, note, noted, wait_for_gate

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.scoreboard.scoreboard import Scoreboard

    from .conftest import Count, MakeWorker


def test_a_worker_that_connects_while_everything_is_paused_claims_nothing(
    make_worker: MakeWorker, scoreboard: Scoreboard, session: Session, count: Count
) -> None:
    everything.pause(session)
    note.enqueue(1)
    driven = make_worker(threads=1)
    for _ in range(3):
        driven.worker.poll()

    claimed = count("claimed_executions"), list(noted)
    everything.resume(session)
    scoreboard.everything_paused = 0
    driven.until(lambda: noted == [1])

    assert claimed == (0, [])


def test_a_running_job_ends_while_everything_is_paused_and_no_other_begins(
    make_worker: MakeWorker, scoreboard: Scoreboard, count: Count
) -> None:
    wait_for_gate.enqueue(1)
    driven = make_worker(threads=1)
    driven.until(lambda: driven.worker.pool.busy)
    scoreboard.everything_paused = 1
    enqueue_many(note.with_args(number) for number in range(3))

    gate.set()
    driven.until(lambda: count("claimed_executions") == 0 and driven.at_rest())
    for _ in range(3):
        driven.worker.poll()

    assert count("ready_executions") == 3
    assert noted == [1]
