"""Jobs that are cancelled once a worker has claimed them."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.acts.cancels import cancel
from jobsd.clock import monotonic, monotonic_ns
from jobsd.errors import Cancelled
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.policy import Retry, Snooze
from jobsd.supervisor.recovery.claims import recover
from lost_answers import losing
from waiting import wait_until

from .bodies import gate, id_of, note, noted, turn, wait_for_gate
from .dead_processes import dead_process

if TYPE_CHECKING:
    from harness.event_recorder import Emitted, EventRecorder
    from jobsd.database.connection import Session, Target
    from rows import Rows

    from .conftest import Count, Driven, MakeWorker


@job
async def rest() -> None:
    noted.append("rests")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        noted.append(current_job().cancelled)
        raise


@job
def shielded() -> None:
    with current_job().shield():
        noted.append("begun")
        while not current_job().cancelled:
            gate.wait(0.001)
        noted.append("kept whole")
    noted.append("went on")


@job(timeout="1h", kill_after="77s")
def slow_to_stop() -> None:
    noted.append("begun")
    try:
        while not gate.wait(0.01):
            pass
    finally:
        assert gate.wait(60)


@job
async def ashielded() -> None:
    with current_job().shield():
        noted.append("begun")
        while not current_job().cancelled:  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0.001)
        noted.append("kept whole")
    noted.append("went on")


@job
def succeed_all_the_same() -> None:
    try:
        noted.append("begun")
        while True:
            noted[0] = "begun"
    except Cancelled:
        noted.append("cleaned up")


@job(max_attempts=9)
def end(how: str) -> None:
    """Wait in C, where nothing strikes, and end in some way but success."""
    noted.append(how)
    _passed.acquire(timeout=20)
    match how:
        case "retry":
            raise Retry(after=0)
        case "snooze":
            raise Snooze(0)
        case "fail":
            raise KeyboardInterrupt
        case _:
            raise ValueError(how)


@job(limits_concurrency=Limit(to=1, key="k"))
def limited(number: int) -> None:
    noted.append(number)
    gate.wait(60)


_passed = threading.Semaphore(0)


@pytest.fixture
def emitted(recorder: EventRecorder) -> Emitted:
    names = ["job.discarded", "job.released", "job.retried", "job.failed", "job.interrupted"]
    return recorder.events(*names)


def _claimed(make_worker: MakeWorker) -> Driven:
    """Return a worker that has claimed all jobs, of which the first runs."""
    worker = make_worker(threads=1, prefetch=10)
    worker.worker.poll()
    wait_until(lambda: noted)
    return worker


def _discarded(rows: Rows, job_id: int) -> bool:
    found = rows("SELECT outcome, reason FROM jobsd.jobs WHERE id = %s", job_id)
    return found == [("discarded", "cancelled")]


def _strikes(emitted: Emitted) -> list[Any]:
    return [facts["reason"] for name, facts in emitted if name == "job.interrupted"]


def _reasons(emitted: Emitted) -> list[object]:
    return [facts.get("reason") for name, facts in emitted if name == "job.discarded"]


def _counts(worker: Driven) -> tuple[int, ...]:
    queue = worker.context.entry.queue("default")
    names = ("cancelled", "discarded", "retried", "failed", "released")
    return tuple(queue.outcome(name) for name in names)


@pytest.mark.parametrize("wakeups", ["auto", "off"])
def test_a_job_that_runs_is_struck_and_discarded(
    make_worker: MakeWorker, target: Target, rows: Rows, emitted: Emitted, wakeups: str
) -> None:
    worker = make_worker(target=replace(target, wakeups=wakeups))
    job_id = id_of(turn.enqueue())
    worker.until(lambda: noted)

    cancel(job_id)
    worker.until(lambda: _discarded(rows, job_id))

    assert _counts(worker) == (1, 1, 0, 0, 0)
    assert _reasons(emitted) == ["cancelled"]
    # The job may end before the thread that has struck it emits that.
    wait_until(lambda: _strikes(emitted))
    assert _strikes(emitted) == ["Cancelled"]
    (stack,) = rows("SELECT error ->> 'stack' FROM jobsd.attempts WHERE job_id = %s", job_id)
    assert "in turn" in stack


@pytest.mark.parametrize(("wakeups", "bounded"), [("off", True), ("auto", False)])
def test_without_a_listener_a_cancel_is_read_within_a_second(
    make_worker: MakeWorker, target: Target, rows: Rows, wakeups: str, *, bounded: bool
) -> None:
    way = replace(target, wakeups=wakeups)
    # There is room for no further job, so it does not poll for one.
    worker = make_worker(target=way, threads=1, prefetch=0)
    for _again in range(2):
        noted.clear()
        job_id = id_of(turn.enqueue())
        worker.until(lambda: noted)

        worker.until(lambda: worker.asked_rest_s > (0.1 if bounded else 1), 10)
        assert (worker.asked_rest_s < 1) is bounded

        cancel(job_id)
        worker.until(partial(_discarded, rows, job_id))


@pytest.mark.parametrize("coroutines", [0, 2])
def test_a_job_cancelled_by_force_has_its_own_time_to_stop(
    make_worker: MakeWorker, rows: Rows, coroutines: int
) -> None:
    worker = make_worker(coroutines=coroutines)
    slow_to_stop.enqueue()
    worker.until(lambda: noted)
    entry = worker.context.entry

    rows("SELECT jobsd.cancel(id, true) FROM jobsd.jobs")
    worker.until(lambda: 0 < entry.next_hard_ns < monotonic_ns() + 100 * 10**9)

    (overdue,) = entry.overdue(entry.next_hard_ns)
    assert (overdue.limit_s, overdue.grace_s) == (0.0, 77.0)
    gate.set()


def test_a_coroutine_is_cancelled(make_worker: MakeWorker, rows: Rows) -> None:
    worker = make_worker(coroutines=2)
    job_id = id_of(rest.enqueue())
    worker.until(lambda: noted)

    cancel(job_id)
    worker.until(lambda: _discarded(rows, job_id))

    assert noted == ["rests", True]


@pytest.mark.parametrize("made", [shielded, ashielded])
def test_a_shield_is_kept_and_the_job_knows_before(
    made: Any, make_worker: MakeWorker, rows: Rows
) -> None:
    worker = make_worker(coroutines=2)
    job_id = id_of(made.enqueue())
    worker.until(lambda: noted)

    cancel(job_id)
    worker.until(lambda: _discarded(rows, job_id))

    assert noted == ["begun", "kept whole"]


def test_a_cancelled_job_that_succeeds_has_finished(
    make_worker: MakeWorker, rows: Rows
) -> None:
    worker = make_worker()
    job_id = id_of(succeed_all_the_same.enqueue())
    worker.until(lambda: noted)

    cancel(job_id)
    worker.until(lambda: rows("SELECT 1 FROM jobsd.jobs WHERE outcome = 'finished'"))

    assert noted == ["begun", "cleaned up"]
    assert rows("SELECT reason FROM jobsd.jobs WHERE id = %s", job_id) == [None]
    assert _counts(worker) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("how", ["retry", "snooze", "fail", "raise"])
def test_any_other_end_is_a_discard_also_when_the_worker_knows_nothing_yet(
    make_worker: MakeWorker, rows: Rows, emitted: Emitted, how: str, *, keep: bool
) -> None:
    worker = make_worker(keep=keep)
    job_id = id_of(end.enqueue(how))
    worker.until(lambda: noted)
    _passed.release()
    wait_until(lambda: worker.worker.pool.in_hand == 0)

    cancel(job_id)
    # As if it had not heard of it: it records first.
    worker.worker._collect()
    worker.worker._record(monotonic())

    assert _counts(worker) == (1, 1, 0, 0, 0)
    assert _reasons(emitted) == ["cancelled"]
    assert _discarded(rows, job_id) if keep else rows("SELECT 1 FROM jobsd.jobs") == []


def test_a_job_that_was_claimed_and_not_begun_never_begins(
    make_worker: MakeWorker, rows: Rows, emitted: Emitted
) -> None:
    wait_for_gate.enqueue()
    waiting, goes_on = id_of(note.enqueue("never")), id_of(note.enqueue("later"))
    worker = _claimed(make_worker)

    cancel(waiting)
    worker.until(lambda: _discarded(rows, waiting))
    gate.set()
    worker.until(lambda: worker.worker.ledger.has_claims is False)

    assert noted == [None, "later"]
    assert rows("SELECT attempts FROM jobsd.jobs WHERE id = %s", waiting) == [0]
    assert rows("SELECT outcome FROM jobsd.jobs WHERE id = %s", goes_on) == ["finished"]
    assert _reasons(emitted) == ["cancelled"]
    assert _counts(worker) == (1, 1, 0, 0, 0)


def test_the_series_of_a_slot_goes_on_without_it(make_worker: MakeWorker, rows: Rows) -> None:
    ids = [id_of(limited.enqueue(number)) for number in range(4)]
    worker = _claimed(make_worker)

    for each in ids[1:3]:
        cancel(each)
    worker.until(lambda: all(_discarded(rows, each) for each in ids[1:3]))
    gate.set()
    worker.until(lambda: len(noted) == 2 and not worker.worker.ledger.has_claims)

    assert noted == [0, 3]


def test_a_slot_is_handed_over_when_its_last_job_is_not_released_after_all(
    make_worker: MakeWorker, rows: Rows
) -> None:
    wait_for_gate.enqueue()
    last = id_of(limited.enqueue(1))
    worker = _claimed(make_worker)
    assert rows("SELECT job_ids FROM jobsd.claims WHERE concurrency_key IS NOT NULL") == [
        [last]
    ]
    waiting = id_of(limited.enqueue(2))
    rows("UPDATE jobsd.blocked_executions SET position = NULL")

    rows("SELECT jobsd.cancel(%s)", last)
    # It drains, and has not heard of it.
    worker.worker.stop()
    worker.worker._record(monotonic())

    assert _discarded(rows, last)
    met = "SELECT job_id FROM jobsd.blocked_executions WHERE position IS NOT NULL"
    assert rows(met) == [waiting]


def test_cancelled_jobs_of_a_dead_process_are_discarded(
    make_worker: MakeWorker, session: Session, rows: Rows
) -> None:
    running, waiting = id_of(wait_for_gate.enqueue()), id_of(note.enqueue("never"))
    worker = _claimed(make_worker)
    for each in (running, waiting):
        rows("SELECT jobsd.cancel(%s)", each)

    done = recover(session, dead_process(session, running=worker.context.entry.running()))

    assert {each.id: (each.attempt, each.reason) for each in done.discarded} == {
        running: (1, "cancelled"),
        waiting: (1, "cancelled"),
    }
    assert _discarded(rows, running)
    assert _discarded(rows, waiting)
    found = rows("SELECT id, attempts FROM jobsd.jobs ORDER BY id")
    assert found == [(running, 1), (waiting, 0)]
    assert rows("SELECT job_id FROM jobsd.attempts") == [running]


def test_success_in_a_dead_process_stays_one(
    make_worker: MakeWorker, session: Session, rows: Rows, count: Count
) -> None:
    worker = make_worker(threads=1)
    job_id = id_of(wait_for_gate.enqueue())
    worker.until(lambda: noted)
    rows("SELECT jobsd.cancel(%s)", job_id)
    gate.set()
    wait_until(lambda: worker.worker.pool.in_hand == 0)

    recover(session, dead_process(session, succeeded=worker.context.entry.succeeded()))

    assert count("claims") == 0
    assert rows("SELECT outcome FROM jobsd.jobs") == ["finished"]


@pytest.mark.parametrize("how", ["snooze", "raise"])
def test_an_answer_that_was_lost_is_made_good(
    make_worker: MakeWorker, target: Target, rows: Rows, emitted: Emitted, how: str
) -> None:
    with losing(target) as (lost, way):
        worker = make_worker(target=way)
        job_id = id_of(end.enqueue(how))
        worker.until(lambda: noted)
        rows("SELECT jobsd.cancel(%s)", job_id)
        lost.lose(b"snoozed" if how == "snooze" else b"retried")
        _passed.release()
        _until(worker, lambda: _discarded(rows, job_id))
        _until(worker, lambda: _reasons(emitted))

    assert _reasons(emitted) == ["cancelled"]
    assert _counts(worker) == (1, 1, 0, 0, 0)


def _until(worker: Driven, condition: Any) -> None:
    """Take rounds until something is so, and connect anew when the connection is lost."""
    import psycopg

    def take_round() -> None:
        try:
            worker.worker.poll()
        except psycopg.OperationalError:
            worker.worker.disconnect()
            worker.worker.connect()

    wait_until(condition, between=take_round)
