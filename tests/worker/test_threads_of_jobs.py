"""What a job knows in the threads that it begins."""

from __future__ import annotations

import asyncio
import threading
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.acts.cancels import cancel
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import job
from waiting import wait_until

from .bodies import gate, id_of, noted, turn

if TYPE_CHECKING:
    from rows import Rows

    from .conftest import MakeWorker

left: list[threading.Thread] = []


def note_the_cancel() -> None:
    noted.append("began")
    while not current_job().cancelled:
        gate.wait(0.001)
    noted.append("cancelled")


def keep_whole() -> None:
    with current_job().shield():
        note_the_cancel()
        assert gate.wait(60)
        noted.append("kept whole")


@job
async def come_next() -> None:
    pass


@job
async def watch_in_a_thread() -> None:
    await asyncio.to_thread(note_the_cancel)


@job
async def shield_in_a_thread() -> None:
    await asyncio.to_thread(keep_whole)
    await asyncio.sleep(60)


@job
def shield_in_a_thread_of_a_function() -> None:
    thread = threading.Thread(target=copy_context().run, args=(keep_whole,), daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.001)  # The interrupt would leave the lock of the gate taken.
    while True:
        noted[-1] = "kept whole"


@job
def leave_a_thread() -> None:
    left[:] = [
        threading.Thread(
            target=copy_context().run, args=(ask_when_the_gate_opens,), daemon=True
        )
    ]
    left[0].start()


@job
def leave_a_shield() -> None:
    left[:] = [
        threading.Thread(
            target=copy_context().run, args=(shield_until_the_gate_opens,), daemon=True
        )
    ]
    left[0].start()
    while not noted:
        gate.wait(0.001)


def shield_until_the_gate_opens() -> None:
    with current_job().shield():
        noted.append("shielded")
        assert gate.wait(60)


def ask_when_the_gate_opens() -> None:
    assert gate.wait(60)
    noted.append(current_job().cancelled)


@pytest.mark.failure(
    "A job is cancelled while a thread that has its context (`asyncio.to_thread`) works for it",
    "The thread sees `cancelled`, and its shield is kept: the job is interrupted at the end of"
    " the shield",
)
@pytest.mark.parametrize("coroutines", [None, 10])
def test_a_thread_of_a_coroutine_learns_that_its_job_is_cancelled(
    coroutines: int | None, make_worker: MakeWorker, rows: Rows
) -> None:
    job_id = id_of(watch_in_a_thread.enqueue())
    driven = make_worker(coroutines=coroutines)
    driven.until(lambda: noted)

    cancel(job_id)
    driven.until(lambda: "cancelled" in noted)

    driven.until(lambda: rows("SELECT outcome FROM jobsd.jobs") == ["discarded"])


@pytest.mark.failure(
    "A job is cancelled while a thread that has its context (`asyncio.to_thread`) works for it",
    "The thread sees `cancelled`, and its shield is kept: the job is interrupted at the end of"
    " the shield",
)
@pytest.mark.parametrize("body", [shield_in_a_thread, shield_in_a_thread_of_a_function])
def test_a_shield_in_a_thread_of_a_job_is_kept_and_the_interrupt_comes_at_its_end(
    body: Any, make_worker: MakeWorker, rows: Rows
) -> None:
    job_id = id_of(body.enqueue())
    driven = make_worker(coroutines=10)
    driven.until(lambda: noted)

    cancel(job_id)
    driven.until(lambda: "cancelled" in noted)
    come_next.enqueue()
    outcomes = "SELECT outcome FROM jobsd.jobs ORDER BY id"
    driven.until(lambda: rows(outcomes)[1] == "finished")
    assert rows(outcomes) == [None, "finished"]
    gate.set()
    driven.until(lambda: rows(outcomes) == ["discarded", "finished"])

    assert noted == ["began", "cancelled", "kept whole"]


def test_a_thread_that_outlives_its_job_takes_no_cancel_of_the_next_one_for_its_own(
    make_worker: MakeWorker, rows: Rows
) -> None:
    leave_a_thread.enqueue()
    driven = make_worker(threads=1)
    driven.until(lambda: rows("SELECT outcome FROM jobsd.jobs") == ["finished"])
    job_id = id_of(turn.enqueue())
    driven.until(lambda: noted)
    thread = driven.worker.pool.seats()[0]  # pyright: ignore[reportPrivateUsage]
    thread.shield()
    cancel(job_id)
    driven.until(lambda: thread.interrupt)

    gate.set()
    wait_until(lambda: not left[0].is_alive())

    assert noted == ["turned", False]
    thread.shields -= 1
    driven.until(lambda: rows("SELECT outcome FROM jobsd.jobs WHERE outcome = 'discarded'"))


def test_a_thread_that_outlives_its_job_shields_no_other(
    make_worker: MakeWorker, rows: Rows
) -> None:
    leave_a_shield.enqueue()
    driven = make_worker(threads=1)
    driven.until(lambda: rows("SELECT outcome FROM jobsd.jobs") == ["finished"])
    job_id = id_of(turn.enqueue())
    driven.until(lambda: "turns" in noted or "turned" in noted)

    cancel(job_id)
    driven.until(lambda: rows("SELECT 1 FROM jobsd.jobs WHERE outcome = 'discarded'"))

    assert left[0].is_alive()
    gate.set()
    wait_until(lambda: not left[0].is_alive())
