"""One job has one outcome, whoever else has an opinion."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

import pytest

from jobsd.database.connection import Session
from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import job
from jobsd.jobs.policy import Discard
from jobsd.supervisor.recovery.claims import DeadProcess, recover
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Target

    from .conftest import Count, Driven, MakeWorker

ROUNDS = 40

_ran: list[object] = []
_gate = threading.Event()


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    _ran.clear()
    _gate.clear()
    yield
    _gate.set()


@job
def held() -> None:
    _ran.append(current_job().id)
    assert _gate.wait(60)


@job(queue="own", max_attempts=2, backoff=lambda _attempt: 0)
def note_itself() -> None:
    current = current_job()
    _ran.append((current.id, current.attempt, current.queue_name, current.class_name))
    if current.attempt == 1:
        raise OSError("once")


@job
def fail() -> None:
    raise ValueError("again")


@job
def discard() -> None:
    raise Discard("no use")


@job(max_attempts=5, discard_on=(LookupError,))
def drop() -> None:
    raise KeyError("it is gone")


def _run_one(driven: Driven) -> None:
    _ran.clear()
    _gate.clear()
    held.enqueue()
    driven.until(lambda: _ran)


@pytest.mark.failure(
    "a job ends at the moment when its worker is pruned",
    "it has one outcome",
)
@pytest.mark.behaviour(31)
def test_a_job_that_ends_while_its_worker_is_pruned_has_one_outcome(
    make_worker: MakeWorker, target: Target, session: Session, count: Count
) -> None:
    driven = make_worker(threads=1)
    (row,) = session.connection.execute("SELECT id FROM jobsd.processes").fetchall()
    dead = DeadProcess(row[0], "worker-test", {"type": "ProcessPrunedError"}, threads=1)
    with contextlib.closing(Session(target, "undertaker")) as other:
        for n in range(ROUNDS):
            _run_one(driven)
            undertaker = threading.Thread(target=recover, args=(other, dead))
            undertaker.start()
            if n % 2:
                undertaker.join()
            _gate.set()
            driven.until(driven.at_rest)
            undertaker.join()

    assert count("jobs WHERE attempts = 1") == ROUNDS
    assert ROUNDS // 2 <= count("failed_executions") <= ROUNDS
    assert count("failed_executions") + count("jobs WHERE outcome = 'finished'") == ROUNDS
    assert count("failed_executions JOIN jobsd.jobs ON id = job_id AND outcome <> ''") == 0


@pytest.mark.behaviour(65)
def test_a_running_job_knows_its_id_and_its_attempt(
    make_worker: MakeWorker, count: Count
) -> None:
    stored = note_itself.enqueue()

    make_worker().until(lambda: count("jobs WHERE outcome = 'finished'"))

    name = f"{__name__}.note_itself"
    assert _ran == [(stored.id, 1, "own", name), (stored.id, 2, "own", name)]


@pytest.mark.behaviour(62)
def test_a_failure_replaces_an_old_failed_row(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    stored = fail.enqueue()
    session.connection.execute(
        "INSERT INTO jobsd.failed_executions (job_id, failed_at, error)"
        " VALUES (%s, now() - interval '1 h', '{}')",
        (stored.id,),
    )

    make_worker().until(lambda: count("attempts"))

    (row,) = session.connection.execute(
        "SELECT job_id, error ->> 'message', failed_at > now() - interval '1 min'"
        " FROM jobsd.failed_executions"
    ).fetchall()
    assert row == (stored.id, "again", True)


@pytest.mark.behaviour(64)
def test_a_job_is_dropped_by_the_class_of_its_exception(
    make_worker: MakeWorker, count: Count
) -> None:
    drop.enqueue()

    make_worker().until(lambda: count("jobs WHERE outcome = 'discarded' AND attempts = 1"))

    assert (count("failed_executions"), count("scheduled_executions")) == (0, 0)


@pytest.mark.behaviour(64)
def test_a_discarded_job_has_not_failed(make_worker: MakeWorker, count: Count) -> None:
    discard.enqueue()
    driven = make_worker()

    driven.until(lambda: count("jobs WHERE outcome = 'discarded' AND finished_at IS NOT NULL"))

    assert (count("failed_executions"), count("attempts"), count("claims")) == (0, 1, 0)


@job
def end_as(outcome: str) -> None:
    _ran.append(outcome)
    assert _gate.wait(60)
    if outcome == "failed":
        raise ValueError(outcome)


def test_the_failures_and_the_successes_of_a_claim_are_recorded_in_one_turn(
    make_worker: MakeWorker, count: Count
) -> None:
    enqueue_many(end_as.with_args(outcome) for outcome in ("failed", "finished", "failed"))
    driven = make_worker()
    driven.until(lambda: len(_ran) == 3)
    assert count("claims") == 1
    _gate.set()
    wait_until(lambda: not driven.worker.pool.in_hand)

    driven.worker.poll()

    assert count("claims") == 0
    assert count("jobs WHERE outcome = 'finished'") == 1
