"""What jobs return, for whom it is kept, and who waits for it."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.acts import discards
from jobsd.database.connection import Session
from jobsd.enqueueing import client, waiting
from jobsd.enqueueing.client import enqueue_many
from jobsd.errors import (
    Error,
    JobDiscardedError,
    JobFailedError,
    NotFoundError,
)
from jobsd.jobs.definition import Job, job
from jobsd.jobs.policy import Discard
from jobsd.operations.job_info import afind, find
from jobsd.states import results
from jobsd.supervisor.recovery.claims import recover
from waiting import wait_until

from .dead_processes import dead_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobsd.database.connection import Target
    from rows import Rows

    from .conftest import Count, Driven, MakeWorker


VALUES: list[Any] = [
    None,
    5,
    [1, "two"],
    ("a", Decimal("1.10")),
    {"at": datetime(2030, 1, 1, tzinfo=UTC), "for": timedelta(seconds=3)},
]


@job(result_ttl="1h")
def give(number: int) -> Any:
    return VALUES[number]


@job(result_ttl="1h")
async def agive(number: int) -> Any:
    return VALUES[number]


@job
def keep_nothing() -> int:
    return 5


@job(result_ttl="1h")
def refuse() -> None:
    raise LookupError("told to fail")


@job(result_ttl="1h")
def drop() -> None:
    raise Discard("told to go")


@job(result_ttl="1h", max_attempts=5)
def unwritable(size: int) -> object:
    return "x" * size if size else object()


class Sum(Job):
    result_ttl = timedelta(hours=1)

    async def perform(self, *numbers: int) -> int:
        return sum(numbers)


@pytest.fixture(autouse=True, scope="module")
def _no_thread_is_left() -> Iterator[None]:
    yield
    waiting.end_all()


def _waiters(session: Session) -> int:
    row = session.connection.execute("SELECT count(*) FROM jobsd.waiters").fetchone()
    return 0 if row is None else int(row[0])


def _waited(worker: Driven, wait: Callable[[], Any]) -> Any:
    """Return what a thread gets that waits, while the worker works."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(wait)
        worker.until(future.done, 60)
        return future.result()


@pytest.mark.parametrize("keep", [True, False])
def test_a_result_comes_back_as_it_was_returned(make_worker: MakeWorker, *, keep: bool) -> None:
    worker = make_worker(keep=keep)
    handles = [give.enqueue(number) for number in range(len(VALUES))]

    assert _waited(worker, lambda: [each.result(60) for each in handles]) == VALUES
    assert _waited(worker, lambda: Sum.enqueue(1, 2).result(60)) == 3


def test_a_handle_of_many_waits_too(make_worker: MakeWorker) -> None:
    worker = make_worker()
    first, second = enqueue_many([give.with_args(1), keep_nothing.with_args()])

    assert _waited(worker, lambda: first.result(60)) == 5
    with pytest.raises(Error, match="is not kept"):
        _waited(worker, lambda: second.result(60))


def test_the_result_of_an_event_loop_comes_while_other_tasks_go_on(
    make_worker: MakeWorker,
) -> None:
    worker = make_worker()

    handles = [give.enqueue(1) for _ in range(20)]

    async def all_of_them() -> list[Any]:
        return list(await asyncio.gather(*(each.aresult(20) for each in handles)))

    assert _waited(worker, lambda: asyncio.run(all_of_them())) == [5] * 20


def test_a_failure_and_a_discard_are_raised(make_worker: MakeWorker) -> None:
    worker = make_worker(keep=False)

    with pytest.raises(JobFailedError, match="has failed: LookupError: told to fail"):
        _waited(worker, lambda: refuse.enqueue().result(60))
    with pytest.raises(JobDiscardedError):
        _waited(worker, lambda: drop.enqueue().result(60))


@pytest.mark.parametrize(("size", "says"), [(0, "which can't be stored"), (2**20, "bytes")])
def test_a_result_that_cant_be_written_fails_the_job_for_good(
    size: int, says: str, make_worker: MakeWorker, count: Count
) -> None:
    worker = make_worker()
    handle = unwritable.enqueue(size)

    with pytest.raises(
        JobFailedError, match=rf"ResultError: the result of .* can't be kept: .*{says}"
    ):
        _waited(worker, lambda: handle.result(60))

    assert count("jobs WHERE attempts = 1") == 1


def test_wait_reports_how_a_job_has_ended_that_keeps_nothing(make_worker: MakeWorker) -> None:
    worker = make_worker()
    handle = keep_nothing.enqueue()

    assert _waited(worker, lambda: handle.wait(60)) == handle.state == "finished"


def test_jobs_that_keep_no_result_leave_no_row(make_worker: MakeWorker, count: Count) -> None:
    worker = make_worker()
    keep_nothing.enqueue()
    worker.until(lambda: count("jobs WHERE outcome = 'finished'"))

    assert (count("results"), count("waiters")) == (0, 0)


def test_the_result_of_a_job_that_keeps_none_is_refused_at_once(
    make_worker: MakeWorker,
) -> None:
    make_worker()

    with pytest.raises(Error, match="keeps no result: give the job a result_ttl"):
        keep_nothing.enqueue().result()


def test_a_wait_for_an_open_transaction_is_refused_at_once(make_worker: MakeWorker) -> None:
    make_worker()
    with client.default_client().session() as session, session.connection.transaction():
        handle = give.using(connection=session.connection).enqueue(1)

        with pytest.raises(NotFoundError, match="its transaction is still open"):
            handle.result()


def test_a_job_that_was_not_stored_can_not_be_waited_for() -> None:
    from jobsd.jobs.draft import EnqueuedJob

    with pytest.raises(Error, match="it was discarded"):
        EnqueuedJob(None, "discarded").wait()


def test_a_wait_ends_in_time(make_worker: MakeWorker) -> None:
    make_worker()

    with pytest.raises(TimeoutError, match=r"has not ended within 0\.05 s"):
        give.enqueue(1).wait(0.05)


def test_a_wait_without_a_notification_finds_the_end_by_polling(
    make_worker: MakeWorker, session: Session
) -> None:
    make_worker()
    handle = give.enqueue(1)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(handle.wait, 20)
        wait_until(lambda: _waiters(session) == 1)
        assert handle.id is not None
        discards.discard(handle.id)

        assert future.result(60) == "discarded"


def test_a_wait_goes_on_when_its_connection_is_cut(
    make_worker: MakeWorker, session: Session
) -> None:
    worker = make_worker()
    handle = give.enqueue(1)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(handle.result, 20)
        wait_until(lambda: _waiters(session) == 1)

        session.connection.execute(_CUT)

        worker.until(future.done, 60)
        assert future.result() == 5


@pytest.mark.failure(
    "A program has more than a thousand files open, and waits for the end of a job.",
    "It gets its answer",
)
def test_a_program_with_many_open_files_has_its_answer(
    make_worker: MakeWorker, session: Session
) -> None:
    worker = make_worker()
    waiting.end_all()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2048)), hard))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1024)]
    try:
        handle = give.enqueue(1)
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(handle.wait, 20)
            wait_until(lambda: _waiters(session) == 1)
            worker.until(future.done, 30)
            assert future.result() == "finished"
    finally:
        waiting.end_all()
        for each in files:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_all_waits_of_a_process_share_a_connection(
    make_worker: MakeWorker, session: Session
) -> None:
    worker = make_worker()
    # The server ends the session of earlier waits some time after these have closed it.
    waiting.end_all()
    wait_until(lambda: session.connection.execute(_CONNECTIONS).fetchone() == (0,))
    handles = [give.enqueue(1) for _ in range(5)]
    with ThreadPoolExecutor(5) as pool:
        futures = [pool.submit(handle.result, 20) for handle in handles]
        wait_until(lambda: _waiters(session) == 5)
        found = session.connection.execute(_CONNECTIONS).fetchone()
        worker.until(lambda: all(future.done() for future in futures), 60)

    assert found == (1,)
    assert sum(each.name == "jobsd-waiting" for each in threading.enumerate()) <= 1


def test_only_waiting_callers_are_notified(
    make_worker: MakeWorker, target: Target, count: Count
) -> None:
    worker = make_worker()
    with contextlib.closing(Session(target, "ear", listen=True, topic="done")) as listener:
        listener.connection.execute("SELECT 1")
        give.enqueue(1)
        worker.until(lambda: count("results") == 1)
        listener.connection.execute("SELECT 1")
        quiet = listener.notifications()
        handle = give.enqueue(2)
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(handle.result, 20)
            wait_until(lambda: count("waiters") == 1)
            worker.until(future.done, 60)
        listener.connection.execute("SELECT 1")

        assert (quiet, listener.notifications()) == ([], [str(handle.id)])


def test_a_job_that_waits_is_warned() -> None:
    from jobsd.jobs.current import CurrentJob, running
    from jobsd.jobs.draft import EnqueuedJob

    with (
        running(CurrentJob(1, 1, "default", "any")),
        pytest.warns(RuntimeWarning, match="keeps its thread"),
    ):
        waiting._checked(EnqueuedJob(7, "ready"), None)


def test_results_go_when_their_time_is_over(session: Session, rows: Rows) -> None:
    session.connection.execute(
        "INSERT INTO jobsd.results (job_id, state, expires_at)"
        " VALUES (1, 'finished', now()), (2, 'finished', now() + interval '1 h')"
    )
    cleared = results.clear(session)

    assert (cleared, rows("SELECT job_id FROM jobsd.results")) == (1, [2])


def test_find_reports_all_that_is_known_of_a_job(make_worker: MakeWorker) -> None:
    worker = make_worker()
    handle, failing = give.enqueue(3), refuse.enqueue()
    assert handle.id is not None
    assert failing.id is not None
    _waited(worker, lambda: [handle.wait(60), failing.wait(60)])
    done, failed = find(handle.id), asyncio.run(afind(failing.id))

    assert done is not None
    assert failed is not None
    assert (done.state, done.result, done.error, done.why) == ("finished", VALUES[3], None, [])
    assert done.details == {"process": "worker-test"}, "who has performed it"
    assert (failed.state, (failed.error or {})["message"], len(failed.errors)) == (
        "failed",
        "told to fail",
        1,
    )


def test_find_knows_nothing_of_a_job_that_is_not_there(make_worker: MakeWorker) -> None:
    make_worker()

    assert find(4711) is None


@pytest.mark.parametrize("ttl", ["soon", 0, -1, float("nan"), True])
def test_a_time_that_is_none_is_refused(ttl: Any) -> None:
    with pytest.raises(Error, match="result_ttl"):
        job(result_ttl=ttl, name="soon")(lambda: None)


_CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'jobsd waiting' AND datname = current_database()"
)
_CONNECTIONS = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE application_name LIKE 'jobsd waiting%' AND datname = current_database()"
)


@pytest.mark.failure(
    "a process dies before it has recorded a success whose result is kept",
    "the job runs again: it never finishes without its result",
)
@pytest.mark.parametrize("kind", [give, agive])
def test_a_job_with_a_result_lost_in_its_process_runs_again(
    make_worker: MakeWorker, session: Session, count: Count, kind: Job
) -> None:
    enqueued = kind.enqueue(1)
    driven = make_worker(coroutines=5)
    entry = driven.context.entry
    driven.until(lambda: driven.worker.pool.uncollected)
    wait_until(lambda: entry.jobs_ended == 1)
    assert not entry.runs_any

    facts = {"running": entry.running(), "succeeded": entry.succeeded()}
    recovered = recover(session, dead_process(session, endings=entry.endings(), **facts))

    assert [each.id for each in recovered.released] == [enqueued.id]
    assert count("jobs WHERE outcome IS NULL AND attempts = 0") == 1
    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 1)
    assert enqueued.result(timeout=60) == VALUES[1]
