"""Jobs whose claim was taken from their worker, and jobs that move, as a search sees them."""

from __future__ import annotations

import contextlib
import threading
from functools import partial
from typing import TYPE_CHECKING

from harness.job_rows import lost_jobs_of, places
from jobsd.database.connection import Session, Target
from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.policy import Retry, Snooze
from jobsd.states import lost

from .bodies import gate, noted, wait_for_gate

if TYPE_CHECKING:
    from harness.event_recorder import EventRecorder

    from .conftest import Count, Driven, MakeWorker


_put_off = set[int]()


@job(max_attempts=5, limits_concurrency=Limit(to=2, key="k"))
def move(number: int) -> None:
    """Be put off and tried anew, both to begin again at once, and succeed."""
    if number not in _put_off:
        _put_off.add(number)
        raise Snooze("0")
    if current_job().attempt < 5:
        raise Retry(after="0")
    noted.append(number)


def test_a_job_with_a_deleted_claim_and_no_place_is_lost(
    make_worker: MakeWorker, session: Session, recorder: EventRecorder
) -> None:
    heard = recorder.facts("claims.lost")
    stored = wait_for_gate.enqueue(1)
    driven = make_worker()
    driven.until(lambda: noted)
    session.connection.execute("DELETE FROM jobsd.claims")

    gate.set()
    driven.until(lambda: heard)

    assert (lost_jobs_of(session), places(session)) == ([stored.id], {})


def test_jobs_of_a_claim_that_was_given_back_are_not_lost(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    wait_for_gate.enqueue(1)
    driven = make_worker()
    driven.until(lambda: noted)
    session.connection.execute(
        "WITH gone AS (DELETE FROM jobsd.claims RETURNING job_ids)"
        " INSERT INTO jobsd.ready_executions SELECT unnest(job_ids), 1, 0, 'default' FROM gone"
    )

    gate.set()
    driven.until(lambda: count("jobs WHERE outcome = 'finished'"))

    assert lost_jobs_of(session) == []


def test_no_job_seems_lost_while_many_move(make_worker: MakeWorker, target: Target) -> None:
    _put_off.clear()
    jobs, found = list[int](), list[int]()
    searches, over = [0], threading.Event()

    def search() -> None:
        patient = Target(target.url, target.schema, deadline_s=60)
        with contextlib.closing(Session(patient, "search")) as mine:
            while not over.is_set():
                found.extend(lost_jobs_of(mine))
                with mine.connection.transaction():
                    found.extend(lost.hold(mine, [*jobs]))
                searches[0] += 1

    searcher = threading.Thread(target=search)
    searcher.start()
    driven = make_worker(threads=4)
    try:
        while searches[0] <= 20:
            more = range(len(jobs), len(jobs) + 400)
            jobs += [each.id or 0 for each in enqueue_many(map(move.with_args, more))]
            driven.until(partial(_all_ended, driven, len(jobs)), within_s=60)
    finally:
        over.set()
        searcher.join()

    assert found == []


def _all_ended(driven: Driven, jobs: int) -> bool:
    return len(noted) == jobs and driven.at_rest()
