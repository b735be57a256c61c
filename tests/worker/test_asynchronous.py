"""Coroutines and functions: so many at once, on one loop and in threads."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import threading
import time
from decimal import getcontext
from typing import TYPE_CHECKING, cast

import pytest

from jobsd.enqueueing import client
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.performing.hand import ThreadDiedError

from .bodies import gate, note, noted, wait_for_gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.event_recorder import EventRecorder
    from jobsd.performing.coroutines import Coroutines

    from .conftest import Count, MakeWorker

loops: set[int] = set()
cancels: list[Callable[[], None]] = []
of_either_sort = pytest.mark.parametrize("coroutines", [None, 4], ids=["threads", "coroutines"])
most = [0, 0]


class Begun:
    """The threads of a name that have begun since this was made."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._before = {*threading.enumerate()}

    def alive(self) -> list[threading.Thread]:
        now = (each for each in threading.enumerate() if each.name == self._name)
        return [each for each in now if each not in self._before]


@job
async def anote(value: object) -> None:
    loops.add(id(asyncio.get_running_loop()))
    noted.append(value)


@job
async def await_gate(value: object) -> None:
    """Wait without blocking the loop, and count how many do."""
    most[0] += 1
    most[1] = max(most)
    noted.append(value)
    while not gate.is_set():  # noqa: ASYNC110 - the gate is that of threads
        await asyncio.sleep(0.005)
    most[0] -= 1


@job
async def report(number: int) -> None:
    getcontext().prec = number
    await asyncio.sleep(0)
    noted.append((current_job().id > 0, current_job().attempt, getcontext().prec))


@job
async def cancel_tasks() -> None:
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


@job
async def drain_now() -> None:
    for cancel_all in cancels:
        cancel_all()


@job(max_attempts=2)
async def fail() -> None:
    await asyncio.sleep(0)
    raise ValueError("no")


@job(timeout="50ms")
async def sleep_for_ever() -> None:
    await asyncio.sleep(60)


@job
async def block() -> None:
    time.sleep(2.5)  # noqa: ASYNC251 - that is what is told of


@job(limits_concurrency=Limit(to=2, key="same"))
async def limited(value: object) -> None:
    most[0] += 1
    most[1] = max(most)
    await asyncio.sleep(0.02)
    most[0] -= 1
    noted.append(value)


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    loops.clear()
    most[:] = [0, 0]
    yield
    gate.set()


def test_coroutines_run_at_once_in_one_loop_up_to_their_limit(
    make_worker: MakeWorker, count: Count
) -> None:
    client.enqueue_many([await_gate.with_args(n) for n in range(60)])
    driven = make_worker(coroutines=50)

    driven.until(lambda: len(noted) == 50)
    assert driven.worker.pool.busy == 50
    assert len(driven.context.entry.running()) == 50
    gate.set()
    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 60)

    assert most[1] == 50
    assert sorted(noted, key=str) == sorted(range(60), key=str)
    assert driven.context.entry.running() == []
    assert count("claims") == 0


def test_a_thousand_that_wait_are_all_begun_before_any_of_them_ends(
    make_worker: MakeWorker, count: Count
) -> None:
    client.enqueue_many([await_gate.with_args(n) for n in range(1000)])
    driven = make_worker(coroutines=1000)

    # So a thousand of a second take about a second: 1.3 s at a load of 16 on two cores.
    driven.until(lambda: len(noted) == 1000)
    assert len(driven.context.entry.running()) == 1000
    gate.set()
    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 1000)


def test_each_has_a_context_of_its_own_and_the_loop_is_one(
    make_worker: MakeWorker, count: Count
) -> None:
    client.enqueue_many([report.with_args(n) for n in range(1, 6)])
    client.enqueue_many([anote.with_args(0) for _ in range(100)])
    driven = make_worker(coroutines=100)

    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 105)

    assert [each for each in noted if each] == [(True, 1, n) for n in range(1, 6)]
    assert len(loops) == 1


@of_either_sort
def test_functions_and_coroutines_run_in_one_order_up_to_the_capacity(
    make_worker: MakeWorker, count: Count, coroutines: int | None
) -> None:
    """Whichever they are, and where there are threads or a loop: claims know no kinds."""
    mixed = [(wait_for_gate, await_gate)[n % 2].with_args(n) for n in range(20)]
    client.enqueue_many(mixed)
    driven = make_worker(threads=4, coroutines=coroutines, prefetch=0)

    driven.until(lambda: len(noted) == 4)
    facts = driven.context.entry
    driven.until(lambda: (facts.busy, facts.busy_coroutines) == (4, 2))
    assert (facts.threads, len(facts.running())) == (4, 4)
    assert count("claimed_executions") == 4
    gate.set()
    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 20)

    assert set(noted[:4]) == {0, 1, 2, 3}
    assert sorted(noted, key=str) == sorted(range(20), key=str)
    assert most[1] <= 4
    driven.until(lambda: (facts.busy, facts.busy_coroutines, facts.running()) == (0, 0, []))


def test_a_coroutine_among_threads_shares_the_loop_of_the_process(
    make_worker: MakeWorker, count: Count
) -> None:
    client.enqueue_many([anote.with_args(n) for n in range(30)])
    driven = make_worker(threads=3)

    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 30)

    assert len(loops) == 1


@of_either_sort
def test_a_process_that_runs_no_coroutine_has_no_loop_among_threads(
    make_worker: MakeWorker, coroutines: int | None
) -> None:
    begun = Begun("job-loop")
    note.enqueue(1)
    driven = make_worker(threads=4, coroutines=coroutines)

    driven.until(lambda: noted and driven.at_rest())

    assert len(begun.alive()) == (0 if coroutines is None else 1)


def test_a_thread_for_functions_among_coroutines_ends_after_a_rest(
    make_worker: MakeWorker, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are made when needed, as many as run at once, and serve again before they end."""
    monkeypatch.setattr("jobsd.performing.coroutines.REST_S", 0.5)
    driven = make_worker(coroutines=10)
    helpers = Begun("job-helper")

    client.enqueue_many([wait_for_gate.with_args(n) for n in range(20)])
    driven.until(lambda: len(noted) == 10)
    assert len(helpers.alive()) == 10
    gate.set()
    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 20)
    assert len(helpers.alive()) == 10

    driven.until(lambda: not helpers.alive())
    note.enqueue("later")
    driven.until(lambda: "later" in noted)
    driven.until(driven.at_rest)


@pytest.mark.failure(
    "a thread that runs functions among coroutines ends with its job",
    "the process ends, and the job gets a failed attempt",
)
def test_a_helper_thread_that_has_died_ends_the_process(make_worker: MakeWorker) -> None:
    driven = make_worker(coroutines=2)
    helpers = cast("Coroutines", driven.worker.pool)._helpers
    dead = threading.Thread(target=int, name="job-helper")
    dead.start()
    dead.join()
    helpers.threads.append(dead)

    with pytest.raises(ThreadDiedError):
        driven.worker.poll()
    helpers.threads.remove(dead)


def test_an_urgent_job_goes_before_waiting_ones(make_worker: MakeWorker, count: Count) -> None:
    client.enqueue_many([await_gate.with_args(n) for n in range(4)])
    driven = make_worker(coroutines=2, prefetch=4)
    driven.until(lambda: len(noted) == 2 and count("claimed_executions") == 4)

    await_gate.using(priority=-1).enqueue(-1)
    driven.until(lambda: count("claimed_executions") == 5)
    gate.set()
    driven.until(lambda: len(noted) == 5)

    assert noted[2] == -1


@of_either_sort
def test_failures_and_limits_of_time_are_those_of_functions(
    make_worker: MakeWorker, count: Count, coroutines: int | None
) -> None:
    first, second = fail.enqueue(), sleep_for_ever.enqueue()
    driven = make_worker(threads=4, coroutines=coroutines)

    driven.until(lambda: count("attempts WHERE error IS NOT NULL") == 2)

    assert count(f"scheduled_executions WHERE job_id = {first.id}") == 1
    query = f"failed_executions WHERE job_id = {second.id}"
    assert count(f"{query} AND error ->> 'type' = 'TimeLimitExceeded'") == 1
    assert count(f"{query} AND error ->> 'stack' LIKE '%in sleep_for_ever%'") == 1


def test_limits_hold(make_worker: MakeWorker, count: Count) -> None:
    client.enqueue_many([limited.with_args(n) for n in range(8)])
    driven = make_worker(coroutines=100)

    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 8, 30)

    assert most[1] <= 2
    assert sorted(noted, key=str) == list(range(8))


@of_either_sort
def test_what_still_runs_at_the_deadline_of_a_drain_goes_back(
    make_worker: MakeWorker, count: Count, coroutines: int | None
) -> None:
    await_gate.enqueue("never")
    driven = make_worker(threads=4, coroutines=coroutines, drain_s=0.2)
    driven.until(lambda: noted)

    driven.drain()

    assert count("ready_executions") + count("parked_executions") == 1
    assert count("jobs WHERE attempts = 0") == 1


def test_tasks_that_a_job_cancels_before_they_begin_fail(
    make_worker: MakeWorker, count: Count
) -> None:
    """And their slots are free: what comes afterwards runs."""
    client.enqueue_many([cancel_tasks.with_args(), anote.with_args(1), anote.with_args(2)])
    driven = make_worker(coroutines=3)

    driven.until(lambda: count("failed_executions") == 2)
    client.enqueue_many([anote.with_args(n) for n in (3, 4, 5)])
    driven.until(lambda: noted == [3, 4, 5])

    assert count("failed_executions WHERE error ->> 'type' LIKE '%CancelledError'") == 2


def test_tasks_that_a_drain_cancels_before_they_begin_go_back(
    make_worker: MakeWorker, count: Count
) -> None:
    client.enqueue_many([drain_now.with_args(), anote.with_args(1), anote.with_args(2)])
    driven = make_worker(coroutines=3)
    cancels[:] = [driven.worker.pool._loop._cancel_all]

    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 1)
    driven.drain()
    cancels.clear()

    assert count("ready_executions") == 2
    assert count("jobs WHERE attempts = 0 AND outcome IS NULL") == 2


@pytest.mark.failure(
    "an asynchronous job blocks the loop of its process",
    "it is named, with the stack of where it stands; the threads go on",
)
def test_a_job_that_blocks_the_loop_is_named(
    make_worker: MakeWorker, recorder: EventRecorder
) -> None:
    heard = recorder.facts("job.blocking")
    blocked = block.enqueue()
    driven = make_worker(threads=2)
    driven.until(lambda: driven.worker.pool.busy)
    note.enqueue("beside it")

    driven.until(lambda: heard and noted)
    driven.until(driven.at_rest)

    assert noted == ["beside it"]
    assert [each["job_id"] for each in heard] == [blocked.id]
    assert "in block" in str(heard[0]["stack"])
