"""Who waits hears that a job was discarded, also when its row went with it."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.acts import expirations, queues
from jobsd.acts.cancels import cancel
from jobsd.acts.discards import discard
from jobsd.clock import monotonic
from jobsd.database.commits import Commits
from jobsd.enqueueing import waiting
from jobsd.errors import JobDiscardedError
from jobsd.jobs import published
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.policy import Discard
from jobsd.states import lost
from jobsd.supervisor.recovery.claims import recover
from waiting import wait_until

from .bodies import gate, id_of, noted
from .dead_processes import dead_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobsd.database.connection import Session
    from rows import Rows

    from .conftest import Count, Driven, MakeWorker


@job(result_ttl="1h")
def drop() -> None:
    raise Discard("told to go")


@job(result_ttl="1h", expires_in="1h")
def wait_and_fail() -> None:
    noted.append("begun")
    assert gate.wait(60)
    raise ValueError("told to fail")


@job(result_ttl="1h", limits_concurrency=Limit(to=1, key="all", on_conflict="discard"))
def yielding() -> None:
    noted.append("begun")
    assert gate.wait(60)


@job
def keep_nothing() -> None:
    raise Discard("told to go")


@pytest.fixture(autouse=True, scope="module")
def _no_thread_is_left() -> Iterator[None]:
    yield
    waiting.end_all()


def _is_heard(handle: Any, rows: Rows) -> None:
    assert rows("SELECT id FROM jobsd.jobs WHERE id = %s", handle.id) == []
    with pytest.raises(JobDiscardedError):
        handle.result(60)


def _publish(session: Session) -> None:
    """Say what any worker says that has imported the jobs."""
    published.publish(session, [each.definition for each in (drop, wait_and_fail, yielding)])


@pytest.mark.failure(
    "a process dies before it has recorded that a job discarded itself, and finished jobs are"
    " not kept",
    "each caller that waits for the job learns that it was discarded",
)
def test_of_a_discard_that_a_dead_process_has_not_recorded(
    make_worker: MakeWorker, session: Session, rows: Rows, count: Count
) -> None:
    handle, nothing = drop.enqueue(), keep_nothing.enqueue()
    driven = make_worker(keep=False)
    entry = driven.context.entry
    driven.until(lambda: driven.worker.pool.uncollected)
    wait_until(lambda: entry.jobs_ended == 2)

    endings = entry.endings()
    recovered = recover(session, dead_process(session, endings=endings, keep=False))

    assert {each.id for each in recovered.discarded} == {handle.id, nothing.id}
    _is_heard(handle, rows)
    assert count("results") == 1, "who keeps nothing, pays nothing"


def test_the_end_of_a_job_cancelled_in_a_dead_process_is_heard(
    make_worker: MakeWorker, session: Session, rows: Rows
) -> None:
    handles = [wait_and_fail.enqueue() for _ in range(2)]
    driven = make_worker(threads=1, prefetch=5, keep=False)
    driven.until(lambda: noted)
    for each in handles:
        rows("SELECT jobsd.cancel(%s)", each.id)

    running = driven.context.entry.running()
    recover(session, dead_process(session, running=running, keep=False))

    for each in handles:
        _is_heard(each, rows)


def test_of_what_its_worker_gives_back_and_does_not_know_to_be_cancelled(
    make_worker: MakeWorker, rows: Rows
) -> None:
    wait_and_fail.enqueue()
    waits = wait_and_fail.enqueue()
    driven = make_worker(threads=1, prefetch=5, keep=False)
    driven.until(lambda: noted)
    rows("SELECT jobsd.cancel(%s)", waits.id)

    # It drains, and has not heard of it.
    driven.worker.stop()
    driven.worker._record(monotonic())

    _is_heard(waits, rows)


def _sql_discard(job_id: int, session: Session) -> None:
    session.connection.execute("SELECT jobsd.discard(%s, keep => false)", (job_id,))


def _expire(_: int, session: Session) -> None:
    session.connection.execute("UPDATE jobsd.expirations SET expires_at = now()")
    for each in expirations.discard(Commits(session), lambda _: None, keep=False):
        assert each is None


def _drop_lost(job_id: int, session: Session) -> None:
    session.connection.execute("DELETE FROM jobsd.ready_executions")
    with session.connection.transaction():
        assert lost.drop(session, [job_id], keep=False) == [job_id]


def _discard(job_id: int, _: Session) -> None:
    discard(job_id, keep=False)


def _cancel(job_id: int, _: Session) -> None:
    cancel(job_id, keep=False)


def _clear(_: int, session: Session) -> None:
    queues.clear("default", keep=False, session=session)


@pytest.mark.parametrize(
    "end",
    [
        _discard,
        _cancel,
        _clear,
        _sql_discard,
        _expire,
        _drop_lost,
    ],
    ids=["discard", "cancel", "clear", "sql", "expiry", "lost"],
)
def test_of_what_waits_and_is_discarded(
    make_worker: MakeWorker, session: Session, rows: Rows, end: Callable[[int, Session], None]
) -> None:
    make_worker()
    _publish(session)
    handle = wait_and_fail.enqueue()

    end(id_of(handle), session)

    _is_heard(handle, rows)


def test_of_what_meets_a_full_key(make_worker: MakeWorker, rows: Rows, count: Count) -> None:
    yielding.enqueue()
    driven = make_worker(threads=2, keep=False)
    driven.until(lambda: noted)
    late = yielding.using(wait=3600).enqueue()
    # As the dispatcher does once it is due.
    rows(
        "WITH gone AS (DELETE FROM jobsd.scheduled_executions RETURNING *)"
        " INSERT INTO jobsd.blocked_executions (job_id, priority, queue_name,"
        " concurrency_key, concurrency_limit, yields)"
        " SELECT job_id, priority, queue_name, concurrency_key, 1, true FROM gone"
    )

    driven.until(lambda: not count("blocked_executions"))

    _is_heard(late, rows)


def test_a_waiter_during_the_recovery_hears_it_too(
    make_worker: MakeWorker, session: Session, rows: Rows, count: Count
) -> None:
    handle = wait_and_fail.enqueue()
    driven: Driven = make_worker(keep=False)
    driven.until(lambda: noted)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(handle.result, 60)
        wait_until(lambda: count("waiters") == 1)
        rows("SELECT jobsd.cancel(%s)", handle.id)
        running = driven.context.entry.running()
        recover(session, dead_process(session, running=running, keep=False))

        assert isinstance(future.exception(60), JobDiscardedError)
