"""A worker takes the next jobs of a key along, performs them in order, and not for long."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from harness.job_rows import assert_job_is
from jobsd.clock import monotonic
from jobsd.enqueueing import client
from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.policy import Retry
from jobsd.performing.pool import Pool
from jobsd.worker.claiming import limited
from jobsd.worker.constants import AWAKE_S
from waiting import wait_until

from .bodies import gate, noted

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Session
    from jobsd.jobs.claimed_job import ClaimedJob
    from jobsd.performing.perform import Run

    from .conftest import Count, MakeWorker
    from .elsewhere import Knower

_lock = threading.Lock()
running: dict[str, int] = {}
most: dict[str, int] = {}
done: list[tuple[str, int]] = []


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    for seen in (running, most):
        seen.clear()
    done.clear()


def _one(limit: int) -> Limit:
    return Limit(to=limit, key=lambda key, _=0: key)


def _perform(key: str, number: int, seconds: float = 0.0) -> None:
    with _lock:
        running[key] = running.get(key, 0) + 1
        most[key] = max(most.get(key, 0), running[key])
    done.append((key, number))
    # Even no time at all lets another thread run: who may run beside us does.
    time.sleep(seconds)
    with _lock:
        running[key] -= 1


@job(limits_concurrency=_one(1))
def one(key: str, number: int) -> None:
    _perform(key, number)


@job(limits_concurrency=_one(3))
def three(key: str, number: int) -> None:
    _perform(key, number, 0.001)


@job(limits_concurrency=Limit(group="g", key="k"))
def slow(number: int) -> None:
    noted.append(number)
    assert gate.wait(60)


@job(limits_concurrency=Limit(group="g", key="k"))
def quick(number: int) -> None:
    noted.append(number)


@job(limits_concurrency=Limit(group="g", key="k", on_conflict="discard"))
def sole(number: int) -> None:
    noted.append(number)


@job(limits_concurrency=Limit(key="other"))
def other() -> None:
    noted.append("other")


@job
def plain(number: int) -> None:
    noted.append(number)


@job(max_attempts=2, limits_concurrency=Limit(group="g", key="k"))
def once_more(number: int) -> None:
    noted.append(number)
    if noted.count(number) == 1:
        raise Retry(after=0)


def _check_order() -> None:
    for key in {key for key, _ in done}:
        numbers = [number for each, number in done if each == key]
        assert numbers == sorted(numbers)


@pytest.mark.parametrize("many", [True, False])
@pytest.mark.parametrize("keys", [1, 7])
def test_each_key_runs_in_order_and_one_at_a_time(
    keys: int, make_worker: MakeWorker, count: Count, *, many: bool
) -> None:
    drafts = [one.with_args(f"k{n % keys}", n) for n in range(500)]
    if many:
        enqueue_many(drafts)
    else:
        for draft in drafts:
            client.enqueue(draft)

    make_worker().until(lambda: len(done) == 500 and not count("claims"))

    _check_order()
    assert set(most.values()) == {1}
    assert count("blocked_executions") == 0


def test_two_workers_hand_keys_to_each_other_and_break_no_order(
    make_worker: MakeWorker, count: Count
) -> None:
    first, second = make_worker("worker-1"), make_worker("worker-2")
    enqueue_many(one.with_args(f"k{n % 5}", n) for n in range(500))

    def both(until: Callable[[], bool]) -> bool:
        second.worker.poll()
        return until()

    first.until(lambda: both(lambda: len(done) == 500))

    _check_order()
    assert set(most.values()) == {1}
    first.until(lambda: both(lambda: not count("claims")))


def test_as_many_jobs_run_at_once_as_the_limit_allows(
    make_worker: MakeWorker, count: Count
) -> None:
    enqueue_many(three.with_args("k", n) for n in range(200))

    make_worker(threads=6).until(lambda: len(done) == 200 and not count("claims"))

    assert most == {"k": 3}


def test_what_waits_behind_a_job_that_runs_for_long_goes_back(
    make_worker: MakeWorker, count: Count
) -> None:
    enqueue_many(quick.with_args(n) for n in range(200))
    driven = make_worker()
    driven.until(lambda: len(noted) == 200 and not count("claims"))
    enqueue_many([slow.with_args(-1), *(quick.with_args(n) for n in range(5))])
    driven.until(lambda: noted[-1] == -1)

    driven.until(lambda: count("claimed_executions") == 1)

    assert count("blocked_executions") == 5
    gate.set()
    driven.until(lambda: noted[-5:] == [0, 1, 2, 3, 4])


def test_a_more_urgent_job_of_the_key_goes_before_the_rest(
    make_worker: MakeWorker, count: Count
) -> None:
    enqueue_many([slow.with_args(0), *(quick.with_args(n) for n in range(1, 5))])
    driven = make_worker()
    driven.until(lambda: noted == [0] and count("claimed_executions") == 1)
    quick.using(priority=-1).enqueue(-1)

    gate.set()
    driven.until(lambda: len(noted) == 6)

    assert noted == [0, -1, 1, 2, 3, 4]


def test_jobs_retried_at_once_leave_no_gap(make_worker: MakeWorker, count: Count) -> None:
    enqueue_many(once_more.with_args(n) for n in range(5))

    make_worker().until(lambda: len(noted) == 10 and not count("claims"))

    assert count("blocked_executions") == 0


@pytest.mark.behaviour(46)
def test_jobs_of_a_paused_queue_hold_up_no_other_queue(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    quick.using(queue="paused").enqueue(1)
    quick.enqueue(2)
    session.connection.execute("INSERT INTO jobsd.pauses (queue_name) VALUES ('paused')")
    driven = make_worker()
    driven.until(lambda: noted == [2] and not count("claims"))

    session.connection.execute("DELETE FROM jobsd.pauses")
    session.connection.execute("SELECT pg_notify('jobsd.wake', 'resumed paused')")

    driven.until(lambda: noted == [2, 1])


def test_a_key_with_its_first_job_for_another_worker_is_left_to_that_worker(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    first = quick.using(queue="mail").enqueue(1).id
    quick.enqueue(2)
    default = make_worker("worker-1", queues=("default",))
    for _ in range(20):
        default.worker.poll()
    assert noted == []

    mail = make_worker("worker-2", queues=("mail",))
    mail.until(lambda: noted == [1] and not count("claims"))
    default.until(lambda: noted == [1, 2])

    assert first is not None
    assert_job_is(session, first, "finished")


def test_beside_a_job_for_another_worker_those_run_that_have_a_slot_of_their_own(
    make_worker: MakeWorker,
) -> None:
    three.using(queue="mail").enqueue("k", 1)
    for number in (2, 3, 4):
        three.enqueue("k", number)

    make_worker(queues=("default",)).until(lambda: len(done) == 3)

    assert most["k"] <= 2


def test_a_first_job_of_an_unknown_class_is_left_to_workers_that_know_it(
    make_worker: MakeWorker, session: Session, knower: Knower, count: Count
) -> None:
    knower("elsewhere")
    session.connection.execute("SELECT jobsd.enqueue('elsewhere', concurrency_key => 'x')")
    session.connection.execute(
        "SELECT jobsd.enqueue(%s, '[1]', concurrency_key => 'x')", (quick.definition.name,)
    )
    other.enqueue()
    driven = make_worker(unknown_class_after_s=600)

    driven.until(lambda: noted == ["other"] and not count("claims"))

    assert count("blocked_executions") == 2


def test_a_job_of_a_class_unknown_to_all_workers_fails_and_the_key_continues(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    session.connection.execute("SELECT jobsd.enqueue('nowhere', concurrency_key => 'x')")
    session.connection.execute(
        "SELECT jobsd.enqueue(%s, '[1]', concurrency_key => 'x')", (quick.definition.name,)
    )

    make_worker(unknown_class_after_s=0).until(lambda: noted == [1])

    assert count("failed_executions WHERE error ->> 'type' = 'UnknownJobError'") == 1


@pytest.mark.behaviour(75, 77)
@pytest.mark.parametrize("keep", [True, False])
def test_a_discarding_job_that_meets_a_full_key_is_dropped_by_the_worker(
    make_worker: MakeWorker, session: Session, count: Count, *, keep: bool
) -> None:
    slow.enqueue(0)
    driven = make_worker(keep=keep)
    driven.until(lambda: noted == [0])
    late = sole.using(wait=3600).enqueue(1).id
    # As the dispatcher does once it is due.
    session.connection.execute(
        "WITH gone AS (DELETE FROM jobsd.scheduled_executions RETURNING *)"
        " INSERT INTO jobsd.blocked_executions (job_id, priority, queue_name,"
        " concurrency_key, concurrency_limit, yields)"
        " SELECT job_id, priority, queue_name, concurrency_key, 1, true FROM gone"
    )

    driven.until(lambda: not count("blocked_executions"))

    kept = f"jobs WHERE id = {late} AND outcome = 'discarded'"
    assert count(kept if keep else f"jobs WHERE id <> {late}") == 1


def test_a_limited_job_less_urgent_than_many_plain_ones_waits_for_these(
    make_worker: MakeWorker,
) -> None:
    enqueue_many(plain.with_args(n) for n in range(2000))
    quick.using(priority=5).enqueue(-1)

    make_worker(threads=1).until(lambda: len(noted) == 2001)

    assert noted[-1] == -1


def test_behind_many_jobs_of_a_full_key_others_start_and_these_are_blocked_once(
    make_worker: MakeWorker,
    count: Count,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limited, "BATCH_MAX", 10)
    monkeypatch.setattr(limited, "SEARCH_MAX", 40)
    monkeypatch.setattr(limited, "BREADTH", 5)
    monkeypatch.setattr(limited, "CLAIMED_MAX", 50)
    slow.enqueue(0)
    first = make_worker("worker-1")
    first.until(lambda: noted == [0])
    for number in range(300):
        quick.enqueue(number)
    other.enqueue()
    second = make_worker("worker-2")

    second.until(lambda: noted == [0, "other"])
    second.until(lambda: not count("all_ready_executions"))

    assert count("places WHERE state = 'blocked'") == 300


@pytest.mark.parametrize("late", [True, False])
def test_a_series_that_the_worker_had_to_doubt_is_one_series_afterwards(
    make_worker: MakeWorker, count: Count, monkeypatch: pytest.MonkeyPatch, *, late: bool
) -> None:
    enqueue_many(one.with_args("k", n) for n in range(100))
    driven = make_worker()
    driven.until(lambda: len(done) == 100 and not count("claims"))
    pool, verify, collect = driven.worker.pool, Pool.verify, Pool.collect

    def collect_late(self: Pool) -> list[Run]:
        # Its thread has done with the series, when we come to collect.
        if self._trust_s == 0.0:
            wait_until(lambda: all(each.closed for each in self.series.values()))
        return collect(self)

    def believe(self: Pool, holds: Callable[[ClaimedJob], bool], asked_at: float) -> None:
        # All of them are in doubt by now.
        wait_until(lambda: len(self._doubted) == self.uncollected)
        self._trust_s = 30.0
        verify(self, holds, asked_at)

    monkeypatch.setattr(Pool, "verify", believe)
    if late:
        monkeypatch.setattr(Pool, "collect", collect_late)
    pool._trust_s = 0.0
    enqueue_many(one.with_args("k", n) for n in range(100, 200))

    driven.until(lambda: len(done) == 200 and not count("claims"))

    assert done == [("k", n) for n in range(200)]
    assert most == {"k": 1}


def test_a_job_behind_dropped_ones_of_a_bulk_is_met_at_once(
    make_worker: MakeWorker,
) -> None:
    quick.using(queue="elsewhere", priority=9).enqueue(0)
    enqueue_many([sole.with_args(1), sole.with_args(2), quick.with_args(3), quick.with_args(4)])

    make_worker(queues=["default"]).until(lambda: len(noted) == 2)

    assert noted == [3, 4]


def test_a_worker_that_meets_no_limited_job_hardly_searches_for_some(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = make_worker(prefetch=1)
    driven.until(driven.at_rest)
    asked: list[int] = []
    claim = limited.Limited.claim

    def search(self: limited.Limited, *args: Any, **kwargs: Any) -> int:
        asked.append(1)
        return claim(self, *args, **kwargs)

    monkeypatch.setattr(limited.Limited, "claim", search)
    began = monotonic()
    enqueue_many(plain.with_args(n) for n in range(200))

    driven.until(lambda: len(noted) == 200)

    assert len(asked) <= 12 + (monotonic() - began) / AWAKE_S
