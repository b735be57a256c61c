"""Jobs that are performed when they are enqueued."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from jobsd import enqueue_many
from jobsd.testing import assert_enqueued, perform_enqueued

from .shop import alone, call, coroutine, flaky, inside, ran, urgent, welcome

if TYPE_CHECKING:
    from jobsd.testing import MemoryQueue


def test_a_job_is_performed_when_it_is_enqueued(jobs_inline: MemoryQueue) -> None:
    handle = urgent.enqueue()

    assert ran == ["urgent"]
    assert handle.result() == "done"
    assert_enqueued(urgent)
    assert [job.state for job in jobs_inline] == ["finished"]


def test_retries_happen_at_once_and_a_failure_is_raised(jobs_inline: MemoryQueue) -> None:
    flaky.enqueue("value")
    with pytest.raises(ValueError, match="no value"):
        flaky.enqueue("value", "value", "value")

    assert ran == [1, 2, 1, 2, 3]
    assert [job.state for job in jobs_inline] == ["finished", "failed"]


def test_jobs_for_later_are_only_recorded(jobs_inline: MemoryQueue) -> None:
    welcome.using(wait="1h").enqueue(1)

    assert ran == []
    assert [job.state for job in jobs_inline] == ["scheduled"]


def test_several_are_performed_in_their_order(jobs_inline: MemoryQueue) -> None:
    del jobs_inline
    enqueue_many([welcome.with_args(1), urgent.with_args(), welcome.with_args(2)])

    assert ran == [(1, "en"), "urgent", (2, "en")]


def test_a_job_within_a_job_is_performed_within_it(jobs_inline: MemoryQueue) -> None:
    del jobs_inline
    inside.extend([lambda: welcome.enqueue(1), lambda: ran.append("behind")])

    call.enqueue()

    assert ran == ["call", (1, "en"), "behind"]


def test_a_limit_holds_within_a_job(jobs_inline: MemoryQueue) -> None:
    inside.extend([call.enqueue, lambda: ran.append("behind")])

    call.enqueue()

    assert ran == ["call", "behind", "call"]
    assert {job.state for job in jobs_inline} == {"finished"}


def test_inline_a_job_with_a_held_key_and_a_discarding_limit_is_discarded(
    jobs_inline: MemoryQueue,
) -> None:
    del jobs_inline
    from jobsd import Limit, job

    states: list[str] = []

    @job(name="kit.nested", limits_concurrency=Limit(to=1, on_conflict="discard"))
    def nested() -> None:
        states.append(nested.enqueue().state)

    nested.enqueue()

    assert states == ["discarded"]


def test_a_job_may_enqueue_in_threads(jobs_inline: MemoryQueue) -> None:
    def enqueue() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(welcome.enqueue, [1, 2]))

    inside.append(enqueue)
    call.enqueue()

    assert sorted(map(str, ran)) == ["(1, 'en')", "(2, 'en')", "call"]
    assert {job.state for job in jobs_inline} == {"finished"}


def test_coroutines_are_performed_in_a_running_loop(jobs_inline: MemoryQueue) -> None:
    del jobs_inline

    async def enqueue() -> None:
        await coroutine.aenqueue(1)
        await alone.aenqueue(2)

    asyncio.run(enqueue())

    assert ran == [1, 2]
    assert perform_enqueued() == []
