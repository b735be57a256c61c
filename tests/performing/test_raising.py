"""What a strike leaves as it was: other threads, trace functions, and all other code."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.errors import InterruptError, TimeLimitExceeded
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.definition import job
from jobsd.jobs.interrupts import Interruptible
from jobsd.performing import raising
from jobsd.performing.interrupter import Interrupter
from jobsd.performing.perform import SUCCESS
from jobsd.performing.pool import Pool
from performing.posted import collect, post
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from jobsd.scoreboard.entry import ScoreboardEntry

by_events = pytest.mark.skipif(not raising.NEEDED, reason="Python raises it at the right place")
noted: list[object] = []
over: list[bool] = []
begun = threading.Semaphore(0)
gate = threading.Event()
monitoring: Any = getattr(sys, "monitoring", None)


class StopError(InterruptError):
    """What a test interrupts jobs with."""


@job
def turn_until_the_gate_opens() -> None:
    begun.release()
    try:
        while not gate.is_set():
            noted[:] = [threading.gettrace(), sys.gettrace()]
    finally:
        noted.append("cleaned up")


def call_something() -> None:
    pass


@job(timeout=600)
def be_traced() -> None:
    def trace(_frame: FrameType, _event: str, _argument: object) -> None:
        noted.append("traced")

    sys.settrace(trace)
    try:
        begun.release()
        # Without a call: a strike within the trace function would make Python drop it.
        while not over:
            pass
    finally:
        noted[:] = [sys.gettrace() is trace]
        str.upper("a")
        call_something()
        sys.settrace(None)


@job
def sleep_in_c() -> None:
    begun.release()
    try:
        time.sleep(3)
        noted.append("went on")
    finally:
        noted.append("cleaned up")


@job
def wait_for_a_lock() -> None:
    begun.release()
    with held:
        noted.append("has the lock")
        while not gate.is_set():
            pass


@job(timeout=0.001)
def end_soon() -> None:
    pass


@job(timeout=0.001)
def turn_for_ever() -> None:
    while True:
        pass


held = threading.Lock()


@pytest.fixture
def pool(entry: ScoreboardEntry) -> Iterator[Pool]:
    noted.clear()
    over.clear()
    gate.clear()
    made = Pool(2, entry, lambda: None)
    yield made
    gate.set()
    over.append(True)
    made.close()
    for thread in made.threads:
        thread.join(60)


def claimed(job_id: int, body: Any) -> ClaimedJob:
    name = body.definition.name
    return ClaimedJob(1, job_id, name, "[]", "mail", 0, 1, 0.0, None, 0, job_id)


def tools() -> list[str | None]:
    return [monitoring.get_tool(tool) for tool in raising.TOOLS]


def events_of(body: Any) -> list[int]:
    code = body.definition.perform.__code__
    return [monitoring.get_local_events(tool, code) for tool in raising.TOOLS]


def test_a_neighbour_in_the_same_code_is_neither_struck_nor_traced(pool: Pool) -> None:
    post(pool, *(claimed(n, turn_until_the_gate_opens) for n in (1, 2)))
    for _ in range(2):
        assert begun.acquire(timeout=60)

    assert pool.interrupt(1, StopError)

    (struck,) = collect(pool)
    assert (struck.job.id, type(struck.outcome.exception)) == (1, StopError)
    wait_until(lambda: noted == [None, None])
    gate.set()
    assert collect(pool)[0].outcome is SUCCESS


def test_the_trace_function_of_a_debugger_is_there_again_behind_a_strike(pool: Pool) -> None:
    post(pool, claimed(1, be_traced))
    assert begun.acquire(timeout=60)

    assert pool.interrupt(1, StopError)

    assert isinstance(collect(pool)[0].outcome.exception, StopError)
    assert noted == [True, "traced"]


@by_events
def test_events_end_with_the_strike_and_other_jobs_have_none(pool: Pool) -> None:
    post(pool, claimed(1, turn_until_the_gate_opens), claimed(2, be_traced))
    for _ in range(2):
        assert begun.acquire(timeout=60)
    assert tools() == [None, None]

    assert pool.interrupt(1, StopError)
    collect(pool)

    wait_until(lambda: tools() == [None, None])
    assert events_of(turn_until_the_gate_opens) == [0, 0]
    assert events_of(be_traced) == [0, 0]
    over.append(True)
    assert collect(pool)[0].outcome is SUCCESS


@by_events
def test_code_in_which_a_thread_waits_in_c_has_events_only_for_a_moment(pool: Pool) -> None:
    post(pool, claimed(1, sleep_in_c))
    assert begun.acquire(timeout=60)

    assert pool.interrupt(1, StopError)

    wait_until(lambda: pool.seats()[0].sent or pool.seats()[1].sent)
    assert tools() == [None, None]
    assert noted == []
    assert isinstance(collect(pool)[0].outcome.exception, StopError)
    assert noted == ["cleaned up"]


@by_events
def test_a_thread_that_waits_for_a_lock_is_struck_once_it_has_it(pool: Pool) -> None:
    with held:
        post(pool, claimed(1, wait_for_a_lock))
        assert begun.acquire(timeout=60)
        assert pool.interrupt(1, StopError)
        interrupter = pool._interrupter
        wait_until(lambda: any(each._stood for each in [*interrupter._open.values()]))
        wait_until(lambda: tools() == [None, None])
        assert noted == []

    (run,) = collect(pool)

    assert isinstance(run.outcome.exception, StopError)
    assert not held.locked()


@by_events
def test_where_others_have_all_tools_an_interrupt_comes_nevertheless(pool: Pool) -> None:
    wait_until(lambda: tools() == [None, None])
    for tool in raising.TOOLS:
        monitoring.use_tool_id(tool, "another")
    try:
        post(pool, claimed(1, turn_for_ever))

        assert isinstance(collect(pool)[0].outcome.exception, TimeLimitExceeded)
        assert tools() == ["another", "another"]
    finally:
        for tool in raising.TOOLS:
            monitoring.free_tool_id(tool)


def test_a_limit_counts_though_the_strike_of_the_job_before_is_not_settled() -> None:
    """The thread has begun the next job before the interrupter has looked again."""
    interrupter = Interrupter([None])
    (seat,) = interrupter.seats()
    seat.job = claimed(1, turn_for_ever)
    assert interrupter.interrupt(1, StopError)
    try:
        wait_until(lambda: seat.interrupt == (seat.job, StopError))
        seat.due = 0
        # There is no thread that could be struck: each strike is open when the job ends.
        for job_id in range(2, 51):
            seat.job = claimed(job_id, turn_for_ever)
            wait_until(lambda: seat.interrupt == (seat.job, TimeLimitExceeded))
    finally:
        interrupter.end()


@by_events
def test_the_events_of_a_strike_that_never_came_end_with_the_job(pool: Pool) -> None:
    post(pool, *(claimed(n, end_soon) for n in range(1, 51)))

    collect(pool, 50)

    wait_until(lambda: tools() == [None, None])


@by_events
def test_a_code_that_two_struck_threads_run_keeps_its_events_for_the_second() -> None:
    first, second = (Interruptible(thread_id=n) for n in (-1, -2))
    frame = sys._getframe()
    made = raising.Raising()

    def body() -> list[int]:
        return [monitoring.get_local_events(tool, frame.f_code) for tool in raising.TOOLS]

    try:
        assert made.watch(first, frame)
        assert made.watch(second, frame)
        made.leave(first)
        assert any(body())
    finally:
        made.leave(second)

    assert body() == [0, 0]
