"""A thread whose series ends gets new jobs in time, and leaves other keys their turn."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple, cast

import pytest

from jobsd.clock import monotonic
from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.performing.pool import Pool
from jobsd.performing.series import Series
from jobsd.worker import worker
from jobsd.worker.claiming import limited
from jobsd.worker.claiming.polling import PrefetchPolicy
from jobsd.worker.constants import BATCH_MAX, CLAIMED_MAX
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.performing.runner import Runner
    from jobsd.scoreboard.entry import ScoreboardEntry

    from .conftest import Count, MakeWorker

going_on = threading.Event()
ran: list[int] = []


@job
def count(number: int) -> None:
    ran.append(number)


@job(limits_concurrency=Limit(key=lambda number: number))
def alone(number: int) -> None:
    ran.append(number)
    going_on.wait(60)


@job(limits_concurrency=Limit(key=lambda number: number))
def swift(number: int) -> None:
    ran.append(number)


@job
def stand() -> None:
    going_on.wait(60)


@pytest.fixture(autouse=True)
def _nothing_ran() -> Iterator[None]:
    ran.clear()
    going_on.clear()
    yield
    going_on.set()


def series(claim_id: int, *numbers: int, most: int = 3) -> Series:
    """Return a series of a key of which some may run: one that stands, or that counts."""
    body, arguments = (count, "[{}]") if numbers else (stand, "[]")
    name = body.definition.name
    jobs = [
        ClaimedJob(claim_id, n, name, arguments.format(n), "default", 0, 1, 0.0, "k", 0, most)
        for n in numbers or range(40)
    ]
    return Series([(each, monotonic()) for each in jobs], "k", most)


def post(pool: Pool, *items: Series) -> None:
    pool.post_together([*items], 0, lambda _: (0, 0))


@pytest.mark.parametrize(("most", "ended"), [(1, 3), (3, 2)])
def test_the_control_thread_is_woken_before_a_series_comes_to_its_end(
    most: int, ended: int, entry: ScoreboardEntry
) -> None:
    woken: list[int] = []
    pool = Pool(2, entry, lambda: woken.append(len(ran)))
    post(pool, series(1))
    wait_until(lambda: pool.busy == 1)

    post(pool, series(2, *range(6), most=most))

    wait_until(lambda: len(ran) == 6)
    assert woken[:1] == [ended]


def test_while_others_wait_for_a_thread_it_is_woken_at_the_end_of_a_series(
    entry: ScoreboardEntry,
) -> None:
    woken: list[int] = []
    pool = Pool(2, entry, lambda: woken.append(len(ran)))
    post(pool, series(1))
    wait_until(lambda: pool.busy == 1)

    post(pool, series(2, *range(6)), series(3))

    wait_until(lambda: len(woken) == 1)
    assert woken == [6]


def test_threads_run_dry_only_without_waiting_jobs(entry: ScoreboardEntry) -> None:
    pool = Pool(3, entry, lambda: None)
    post(pool, series(1), series(2, 1))
    wait_until(lambda: len(ran) == 1)
    dry = [pool.runs_dry]

    post(pool, series(3), series(4), series(5))
    dry.append(pool.runs_dry)

    assert dry == [2, 0]


class Threads(NamedTuple):
    """Three threads of which two have many jobs, and one has none."""

    size: int = 3
    in_hand: int = 42
    waiting: int = 40

    def running_for_s(self) -> list[float]:
        return [0.001] * 2


def test_for_threads_that_run_dry_there_is_room_though_many_jobs_wait_for_others() -> None:
    policy = PrefetchPolicy(3, None)
    policy.observe_durations([0.001])

    assert [policy.room(cast("Runner", Threads()), 1000, dry) for dry in (0, 1)] == [0, 20]


def test_a_worker_claims_for_threads_that_run_dry(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    claiming = make_worker(threads=3).worker.claiming
    claiming.prefetch.observe_durations([0.001])
    for name in Threads._fields:
        monkeypatch.setattr(Pool, name, getattr(Threads(), name), raising=False)

    rooms: list[int] = []
    for dry in (0, 1):
        monkeypatch.setattr(Pool, "runs_dry", dry)
        rooms.append(claiming.room())

    assert rooms == [0, 20]


def test_a_key_that_goes_on_does_not_keep_its_thread_from_another(
    make_worker: MakeWorker, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patient in (limited, worker):
        monkeypatch.setattr(patient, "PATIENCE_S", 60.0)
    enqueue_many(alone.with_args(1) for _ in range(10))
    driven = make_worker(threads=1, prefetch=4)
    driven.until(lambda: ran == [1])
    alone.enqueue(2)
    for each in driven.worker.pool.series.values():
        each.low = len(each.waiting)

    driven.worker.claiming.limited.claim(1, monotonic(), None, registered=False)

    assert count("claims WHERE concurrency_key LIKE '%2'") == 1


def test_a_claim_of_several_keys_brings_more_than_a_batch(
    make_worker: MakeWorker, count: Count
) -> None:
    enqueue_many(swift.with_args(n % 4) for n in range(4 * BATCH_MAX))
    driven = make_worker(threads=3)
    driven.worker.claiming.prefetch.observe_durations([1e-6])

    driven.until(lambda: count("blocked_executions") < 4 * BATCH_MAX)

    assert count("blocked_executions") == 4 * BATCH_MAX - CLAIMED_MAX
