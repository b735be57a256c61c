"""A worker that stood still neither starts nor claims before it knows what is its own."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from jobsd.clock import monotonic
from jobsd.jobs.burial import bury
from jobsd.jobs.client import enqueue_many
from jobsd.processes import registry

from .bodies import gate, note, noted, wait_for_gate
from .deaths import death

if TYPE_CHECKING:
    from jobsd.database.connection import Session

    from .conftest import Count, MakeWorker


@pytest.mark.failure(
    "A worker stands still between its claim and the start of the jobs.",
    "It asks whether they are still its own before it starts any.",
)
def test_a_worker_that_stood_still_starts_nothing_that_was_given_to_others(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    enqueue_many(wait_for_gate.with_args(i) for i in range(3))
    driven = make_worker(threads=1, prefetch=5, trust_s=0.2)
    driven.until(lambda: len(noted) == 1 and driven.worker._pool.waiting == 2)
    bury(session, death(session, threads=1))
    session.connection.execute("DELETE FROM jobsd.ready_executions")
    stood_still_until = monotonic() + 0.3
    while monotonic() < stood_still_until:
        assert not gate.wait(0.05)

    gate.set()
    driven.until(lambda: not driven.worker._pool.uncollected)

    assert (len(noted), count("jobs WHERE outcome = 'finished'")) == (1, 0)


def test_a_worker_that_stood_still_goes_on_with_what_is_still_its_own(
    make_worker: MakeWorker, count: Count
) -> None:
    enqueue_many(wait_for_gate.with_args(i) for i in range(3))
    driven = make_worker(threads=1, prefetch=5, trust_s=0.2)
    driven.until(lambda: len(noted) == 1 and driven.worker._pool.waiting == 2)
    stood_still_until = monotonic() + 0.3
    while monotonic() < stood_still_until:
        assert not gate.wait(0.05)

    gate.set()
    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 3)

    assert sorted(map(str, noted)) == ["0", "1", "2"]


def test_a_worker_that_stood_still_beats_before_it_claims(
    make_worker: MakeWorker, session: Session
) -> None:
    driven = make_worker(trust_s=0.2)
    driven.until(driven.at_rest)
    session.connection.execute("UPDATE jobsd.processes SET last_heartbeat_at = '2000-01-01'")
    threading.Event().wait(0.3)
    note.enqueue(1)

    driven.until(lambda: noted)

    (worker,) = registry.processes(session)
    assert worker.heartbeat_age_s < 60
