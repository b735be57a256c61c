"""What a worker does after its connection broke in the middle of a claim."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.enqueueing.client import enqueue_many
from waiting import wait_until

from .bodies import note, noted, wait_for_gate

if TYPE_CHECKING:
    from jobsd.database.connection import Session

    from .conftest import Count, MakeWorker


@pytest.mark.failure(
    "The connection breaks in a claim whose commit waits for a standby, for hours.",
    "Whenever it is done, the worker reads it back and returns the jobs, also when it is idle.",
)
def test_a_claim_that_is_committed_long_after_its_connection_broke_is_given_back(
    make_worker: MakeWorker, session: Session, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = make_worker()
    monkeypatch.setattr("jobsd.worker.worker.RECONCILE_S", 0.05)
    driven.worker.disconnect()
    driven.worker.connect()
    monkeypatch.setattr(driven.worker, "_fresh_s", 3600)  # it does not connect again
    driven.until(lambda: driven.worker.claiming.idle.stands)
    session.connection.execute(
        "INSERT INTO jobsd.jobs (id, queue_name, class_name) VALUES (5, 'q', 'x')"
    )
    session.connection.execute(
        "INSERT INTO jobsd.claims (process_id, job_ids) VALUES (%s, '{5}')",
        (driven.worker.process_id,),
    )

    driven.until(lambda: not count("claims WHERE job_ids = '{5}'"))

    driven.until(lambda: count("failed_executions WHERE job_id = 5"))


@pytest.mark.parametrize("runs", [True, False])
def test_a_rest_ends_when_claims_are_to_be_read_back(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch, *, runs: bool
) -> None:
    """A worker without claims, whose connection has never broken, has none to read back."""
    monkeypatch.setattr("jobsd.worker.worker.RECONCILE_S", 1.0)
    driven = make_worker(threads=1)
    rests: list[float] = []

    def has_rested() -> bool:
        rests.append(driven.asked_rest_s)
        return len(rests) > 10

    if runs:
        wait_for_gate.enqueue()
        driven.until(lambda: noted)
        driven.until(has_rested)
        assert 0 < max(rests) <= 1
    else:
        driven.until(lambda: driven.asked_rest_s > 1)


@pytest.mark.failure(
    "Hundreds of jobs with large arguments, behind many quick ones, are more than can be read"
    " in the time of a statement.",
    "The worker starts again with a few of them, and runs them all",
)
def test_a_claim_that_was_too_large_is_not_made_again(
    make_worker: MakeWorker, count: Count
) -> None:
    enqueue_many(note.with_args(i) for i in range(3000))
    driven = make_worker()
    driven.until(lambda: len(noted) > 1000)
    wait_until(lambda: not driven.worker.pool.in_hand)

    driven.worker.disconnect()
    driven.worker.connect()
    driven.worker.poll()

    assert count("claimed_executions") <= 3


def test_of_a_claim_that_holds_nothing_that_we_know_nothing_is_left(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    wait_for_gate.enqueue(1)
    driven = make_worker()
    driven.until(lambda: noted)
    # Ours was recorded, by a statement whose answer was lost; the row of another one is gone.
    session.connection.execute("UPDATE jobsd.claims SET job_ids = '{999}'")
    driven.worker.disconnect()
    driven.worker.connect()

    assert not count("claims")
    assert not driven.worker.ledger.has_claims
