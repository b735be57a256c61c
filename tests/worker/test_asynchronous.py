"""Asynchronous jobs: one loop for all of a process, fed beside its threads."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import contextlib
import time
from decimal import getcontext
from typing import TYPE_CHECKING

import pytest

from jobsd.acts import queues
from jobsd.database.connection import Session as Connection
from jobsd.enqueueing import client
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit

from .bodies import gate, note, noted, wait_for_gate
from .elsewhere import enqueue, park, survey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.event_recorder import EventRecorder
    from jobsd.database.connection import Session, Target

    from .conftest import Count, Driven, MakeWorker

loops: set[int] = set()
cancels: list[Callable[[], None]] = []
most = [0, 0]


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


def at_rest(driven: Driven) -> bool:
    return driven.at_rest() and not driven.worker._asynchronous.coroutines.uncollected


def test_many_run_at_once_in_one_loop_up_to_so_many(
    make_worker: MakeWorker, count: Count
) -> None:
    client.enqueue_many([await_gate.with_args(n) for n in range(60)])
    driven = make_worker(threads=1, coroutines=50)

    driven.until(lambda: len(noted) == 50)
    assert driven.worker._asynchronous.coroutines.busy == 50
    assert len(driven.context.entry.coroutines()) == 50
    assert driven.context.entry.running() == driven.context.entry.coroutines()
    gate.set()
    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 60)

    assert most[1] == 50
    assert sorted(noted, key=str) == sorted(range(60), key=str)
    assert driven.context.entry.coroutines() == []
    assert count("claims") == 0


def test_a_thousand_that_wait_are_all_begun_before_any_of_them_ends(
    make_worker: MakeWorker, count: Count
) -> None:
    client.enqueue_many([await_gate.with_args(n) for n in range(1000)])
    driven = make_worker(threads=1, coroutines=1000)

    # So a thousand of a second take about a second: 1.3 s at a load of 16 on two cores.
    driven.until(lambda: len(noted) == 1000)
    assert len(driven.context.entry.coroutines()) == 1000
    gate.set()
    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 1000)


def test_each_has_a_context_of_its_own_and_the_loop_is_one(
    make_worker: MakeWorker, count: Count
) -> None:
    client.enqueue_many([report.with_args(n) for n in range(1, 6)])
    client.enqueue_many([anote.with_args(0) for _ in range(100)])
    driven = make_worker(threads=1, coroutines=100)

    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 105)

    assert [each for each in noted if each] == [(True, 1, n) for n in range(1, 6)]
    assert len(loops) == 1


def test_functions_and_coroutines_never_hold_each_other_up(
    make_worker: MakeWorker, count: Count
) -> None:
    """Whichever come first: a claim for one kind passes over the other, and moves none."""
    client.enqueue_many([wait_for_gate.with_args(n) for n in range(300)])
    client.enqueue_many([anote.with_args("coroutine") for _ in range(5)])
    client.enqueue_many([await_gate.with_args("waits") for _ in range(300)])
    client.enqueue_many([note.with_args("function") for _ in range(5)])
    driven = make_worker(threads=2, coroutines=20)

    driven.until(lambda: noted.count("coroutine") == 5)
    driven.until(lambda: noted.count("waits") == 20)
    assert count("parked_executions") == 0
    driven.until(lambda: count("claimed_executions") == 2 + 20)
    gate.set()
    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 610, 30)

    assert noted.count("function") == 5
    assert sorted(each for each in noted if isinstance(each, int)) == list(range(300))
    assert most[1] == 20


@pytest.mark.parametrize("patterns", [("*",), ("first", "other*")])
def test_a_coroutine_behind_many_functions_of_many_priorities_starts_while_these_wait(
    make_worker: MakeWorker,
    count: Count,
    monkeypatch: pytest.MonkeyPatch,
    patterns: tuple[str, ...],
) -> None:
    """By several walks, each over some of the functions; and those come before it as before."""
    monkeypatch.setattr("jobsd.worker.claiming.ways.WALK_MIN", 5)
    monkeypatch.setattr("jobsd.worker.claiming.ways.WALK_MAX", 40)
    drafts = [
        wait_for_gate.using(queue="first", priority=n % 7).with_args(n) for n in range(80)
    ]
    client.enqueue_many([*drafts, anote.using(queue="other_1", priority=9).with_args("behind")])
    driven = make_worker(threads=1, coroutines=10, queues=patterns, prefetch=0)

    driven.until(lambda: "behind" in noted)

    assert count("claimed_executions") <= 2
    assert count("jobs WHERE attempts > 0") <= 1
    gate.set()
    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 81, 30)
    order = [each for each in noted if isinstance(each, int)]
    assert order == sorted(order, key=lambda n: (n % 7, n))


def test_a_coroutine_is_seen_that_comes_or_is_committed_behind_the_walk(
    make_worker: MakeWorker, target: Target, count: Count
) -> None:
    make = "SELECT jobsd.enqueue(%s, '[\"late\"]')"
    with contextlib.closing(Connection(target, "late")) as late:
        with late.connection.transaction():
            late.connection.execute(make, (anote.definition.name,))
            client.enqueue_many([wait_for_gate.with_args(n) for n in range(50)])
            driven = make_worker(threads=1, coroutines=10)
            anote.enqueue("first")
            driven.until(lambda: "first" in noted)
        driven.until(lambda: "late" in noted)
    anote.enqueue("last")

    driven.until(lambda: "last" in noted)

    assert count("jobs WHERE outcome = 'finished'") >= 2


def test_a_function_starts_behind_many_coroutines_that_wait(
    make_worker: MakeWorker, count: Count
) -> None:
    client.enqueue_many([await_gate.with_args("waits") for _ in range(300)])
    note.using(priority=3).enqueue("function")
    driven = make_worker(threads=2, coroutines=5, prefetch=0)

    driven.until(lambda: "function" in noted and count("claimed_executions") == 5)

    assert count("ready_executions") == 295


def test_a_coroutine_of_a_paused_queue_is_walked_over_until_it_is_resumed(
    make_worker: MakeWorker, session: Session
) -> None:
    wait_for_gate.enqueue("function")
    wait_for_gate.enqueue("another")
    queues.pause("off", session=session)
    anote.using(queue="off").enqueue("paused")
    anote.using(priority=1).enqueue("other")
    driven = make_worker(threads=1, coroutines=5)
    driven.until(lambda: "other" in noted)
    assert "paused" not in noted

    queues.resume("off", session=session)

    driven.until(lambda: "paused" in noted)


@pytest.mark.parametrize("own", [True, False])
def test_a_parked_coroutine_is_claimed_while_no_thread_is_free(
    make_worker: MakeWorker, session: Session, *, own: bool
) -> None:
    """And a parked function is not: its lane is left alone."""
    wait_for_gate.enqueue("function")
    driven = make_worker(threads=1, coroutines=5, prefetch=0)
    driven.until(lambda: noted)
    anote.enqueue("common")
    park(session, enqueue((anote if own else note).definition.name, '["parked"]'))
    survey(driven)

    driven.until(lambda: "common" in noted and ("parked" in noted) is own)
    assert ("parked" in noted) is own
    gate.set()
    driven.until(lambda: "parked" in noted)


def test_without_room_for_any_they_run_in_threads(
    make_worker: MakeWorker, count: Count
) -> None:
    anote.enqueue("in a thread")
    driven = make_worker(coroutines=0)

    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 1)

    assert noted == ["in a thread"]
    assert driven.worker._asynchronous.coroutines._loop is None


def test_a_process_that_runs_none_has_no_loop(make_worker: MakeWorker) -> None:
    note.enqueue(1)
    driven = make_worker(coroutines=100)

    driven.until(lambda: noted and at_rest(driven))

    assert driven.worker._asynchronous.coroutines._loop is None


def test_failures_and_limits_of_time_are_those_of_threads(
    make_worker: MakeWorker, count: Count
) -> None:
    first, second = fail.enqueue(), sleep_for_ever.enqueue()
    driven = make_worker(coroutines=100)

    driven.until(lambda: count("attempts WHERE error IS NOT NULL") == 2)

    assert count(f"scheduled_executions WHERE job_id = {first.id}") == 1
    query = f"failed_executions WHERE job_id = {second.id}"
    assert count(f"{query} AND error ->> 'type' = 'TimeLimitExceeded'") == 1
    assert count(f"{query} AND error ->> 'stack' LIKE '%in sleep_for_ever%'") == 1


def test_limits_hold(make_worker: MakeWorker, count: Count) -> None:
    client.enqueue_many([limited.with_args(n) for n in range(8)])
    driven = make_worker(threads=3, coroutines=100)

    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 8, 30)

    assert most[1] <= 2
    assert sorted(noted, key=str) == list(range(8))


def test_what_still_runs_at_the_deadline_of_a_drain_goes_back(
    make_worker: MakeWorker, count: Count
) -> None:
    await_gate.enqueue("never")
    driven = make_worker(coroutines=100)
    driven.worker._drain_s = 0.2
    driven.until(lambda: noted)

    driven.drain()

    assert count("ready_executions") + count("parked_executions") == 1
    assert count("jobs WHERE attempts = 0") == 1


def test_tasks_that_a_job_cancels_before_they_begin_fail(
    make_worker: MakeWorker, count: Count
) -> None:
    """And their slots are free: what comes afterwards runs."""
    client.enqueue_many([cancel_tasks.with_args(), anote.with_args(1), anote.with_args(2)])
    driven = make_worker(threads=3, coroutines=3)

    driven.until(lambda: count("failed_executions") == 2)
    client.enqueue_many([anote.with_args(n) for n in (3, 4, 5)])
    driven.until(lambda: noted == [3, 4, 5])

    assert count("failed_executions WHERE error ->> 'type' LIKE '%CancelledError'") == 2


def test_tasks_that_a_drain_cancels_before_they_begin_go_back(
    make_worker: MakeWorker, count: Count
) -> None:
    client.enqueue_many([drain_now.with_args(), anote.with_args(1), anote.with_args(2)])
    driven = make_worker(threads=3, coroutines=3)
    cancels[:] = [driven.worker._asynchronous.coroutines._cancel_all]

    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 1)
    driven.drain()
    cancels.clear()

    assert count("ready_executions") == 2
    assert count("jobs WHERE attempts = 0 AND outcome IS NULL") == 2


def test_functions_that_follow_a_flow_of_coroutines_do_not_lie_here(
    make_worker: MakeWorker, count: Count
) -> None:
    """They come with a claim that was for as many as the loop has room for, and go back."""
    client.enqueue_many([anote.with_args("coroutine") for _ in range(40)])
    client.enqueue_many([wait_for_gate.with_args(n) for n in range(100)])
    client.enqueue_many([anote.with_args("behind") for _ in range(5)])
    driven = make_worker(threads=2, coroutines=50, prefetch=0)

    driven.until(lambda: noted.count("behind") == 5)
    driven.until(lambda: count("claimed_executions") == 2)
    assert count("jobs WHERE attempts > 0 AND outcome IS NULL") == 0
    gate.set()
    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 145, 30)

    assert sorted(each for each in noted if isinstance(each, int)) == list(range(100))


@pytest.mark.failure(
    "an asynchronous job blocks the loop of its process",
    "it is named, with the stack of where it stands; the threads go on",
)
def test_a_job_that_blocks_the_loop_is_named(
    make_worker: MakeWorker, recorder: EventRecorder
) -> None:
    heard = recorder.facts("job.blocking")
    blocked = block.enqueue()
    driven = make_worker(coroutines=100)
    driven.until(lambda: driven.worker._asynchronous.coroutines.busy)
    note.enqueue("beside it")

    driven.until(lambda: heard and noted)
    driven.until(lambda: at_rest(driven))

    assert noted == ["beside it"]
    assert [each["job_id"] for each in heard] == [blocked.id]
    assert "in block" in str(heard[0]["stack"])
