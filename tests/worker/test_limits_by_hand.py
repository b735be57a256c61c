"""What operators do to limited jobs leaves no key behind, and breaks no limit."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.acts import discards, queues, retries
from jobsd.configuration.options import DispatcherOptions
from jobsd.dispatcher.dispatching import Dispatching
from jobsd.dispatcher.maintenance import LimitsCheck
from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit

from .bodies import gate, id_of, noted

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Session, Target

    from .conftest import Count, MakeWorker

_LOCK = threading.Lock()
_running: dict[str, int] = {}
_most: dict[str, int] = {}


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    _running.clear()
    _most.clear()


@job(limits_concurrency=Limit(key=lambda key, _: key))
def fail_once(key: str, number: int) -> None:
    """Fail the first time, and note how many of the key run."""
    with _LOCK:
        _running[key] = _running.get(key, 0) + 1
        _most[key] = max(_most.get(key, 0), _running[key])
        again = number in noted
        noted.append(number)
    with _LOCK:
        _running[key] -= 1
    if not again:
        raise ValueError(number)


@job(limits_concurrency=Limit(key="k"))
def alone(number: int) -> None:
    noted.append(number)


@job(limits_concurrency=Limit(key="three", to=3))
def one_of_three(number: int) -> None:
    noted.append(str(number))
    assert gate.wait(60)


@pytest.fixture
def maintained(session: Session) -> Callable[[Callable[[], bool]], Callable[[], bool]]:
    """Let a dispatcher look after limits before each look at a condition."""
    options = DispatcherOptions()
    check = LimitsCheck(session, options, Dispatching(session, options))

    def after(condition: Callable[[], bool]) -> Callable[[], bool]:
        def maintained_first() -> bool:
            check.check_now()
            check.step()
            return condition()

        return maintained_first

    return after


def test_a_key_with_deleted_first_rows_continues(
    make_worker: MakeWorker,
    session: Session,
    count: Count,
    maintained: Callable[[Callable[[], bool]], Callable[[], bool]],
) -> None:
    enqueue_many(alone.with_args(number) for number in range(6))
    session.connection.execute(
        "DELETE FROM jobsd.jobs WHERE id IN"
        " (SELECT job_id FROM jobsd.blocked_executions ORDER BY job_id LIMIT 3)"
    )

    make_worker().until(maintained(lambda: noted == [3, 4, 5]))

    assert not count("blocked_executions")


def test_jobs_behind_a_locked_one_wait_for_it(make_worker: MakeWorker, target: Target) -> None:
    ids = [id_of(alone.enqueue(number)) for number in range(6)]
    driven = make_worker()

    with psycopg.connect(target.url) as other:
        lock = "SELECT FROM jobsd.blocked_executions WHERE job_id = %s FOR UPDATE"
        other.execute(lock, (ids[3],))
        driven.until(lambda: len(noted) >= 3)
        for _ in range(5):
            driven.worker.poll()
        before = [*noted]
        other.rollback()
    driven.until(lambda: len(noted) == 6)

    assert before == [0, 1, 2]
    assert noted == [0, 1, 2, 3, 4, 5]


def test_the_numbers_of_slots_that_others_hold_are_left_out(
    make_worker: MakeWorker, session: Session
) -> None:
    first = id_of(one_of_three.enqueue(0))
    enqueue_many(one_of_three.with_args(number) for number in (1, 2))
    session.connection.execute(
        "WITH gone AS (DELETE FROM jobsd.blocked_executions WHERE job_id = %s RETURNING *)"
        " INSERT INTO jobsd.claims (process_id, job_ids, concurrency_key, slot)"
        " SELECT 1, ARRAY[job_id], concurrency_key, 2 FROM gone",
        (first,),
    )

    make_worker().until(lambda: {*noted} == {"1", "2"})

    slots = session.connection.execute("SELECT slot FROM jobsd.claims ORDER BY slot").fetchall()
    assert slots == [(1,), (2,), (3,)]
    gate.set()


def test_jobs_of_a_paused_queue_hold_up_no_others_and_run_when_it_is_resumed(
    make_worker: MakeWorker,
    session: Session,
    maintained: Callable[[Callable[[], bool]], Callable[[], bool]],
) -> None:
    enqueue_many(
        alone.using(queue=queue).with_args(number)
        for number, queue in enumerate(["slow", "slow", "fast", "fast"])
    )
    queues.pause("slow", session=session)
    driven = make_worker()
    driven.until(maintained(lambda: noted == [2, 3]))

    queues.resume("slow", session=session)

    driven.until(maintained(lambda: noted == [2, 3, 0, 1]))


def test_many_hands_at_once_leave_no_job_behind(make_worker: MakeWorker, count: Count) -> None:
    enqueue_many(fail_once.with_args(f"k{number % 4}", number) for number in range(60))
    workers = [make_worker(f"worker-{number}") for number in range(2)]

    def act(seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 - no secret
        for _ in range(10):
            if dice.random() < 0.7:
                retries.retry_all()
            else:
                discards.discard_all(limit=5)

    def is_quiet() -> bool:
        workers[1].worker.poll()
        return not count("blocked_executions") and not count("claims")

    with ThreadPoolExecutor(3) as hands:
        acts = [hands.submit(act, seed) for seed in range(3)]
        workers[0].until(lambda: all(each.done() for each in acts) and is_quiet(), within_s=60)

    assert [each.result() for each in acts] == [None] * 3
    assert set(_most.values()) <= {1}
    assert count("jobs WHERE outcome IS NULL") == count("failed_executions")
