"""What a coroutine can do to the loop that it shares with others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jobsd.jobs.definition import job

from .bodies import gate, noted

if TYPE_CHECKING:
    from harness.event_recorder import EventRecorder

    from .conftest import Count, MakeWorker


@job
async def stop_the_loop() -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)


@job
async def await_the_gate() -> None:
    noted.append("waits")
    while not gate.is_set():  # noqa: ASYNC110 - the gate is that of threads
        await asyncio.sleep(0.005)


@pytest.mark.failure(
    "A coroutine stops the event loop that it shares with others",
    "The loop goes on, and the neighbours finish; the stop is reported",
)
def test_a_coroutine_that_stops_the_loop_harms_no_neighbour(
    make_worker: MakeWorker, count: Count, recorder: EventRecorder
) -> None:
    heard = recorder.facts("thread.failed")
    await_the_gate.enqueue()
    driven = make_worker(coroutines=10)
    driven.until(lambda: noted)

    for finished in (1, 2):
        stop_the_loop.enqueue()
        driven.until(lambda: count("jobs WHERE outcome = 'finished'") == finished)  # noqa: B023
    gate.set()
    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 3)

    assert count("jobs WHERE attempts > 1") == 0
    assert ["stopped the event loop" in str(each["error"]) for each in heard] == [True, True]
