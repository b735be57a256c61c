"""What jobs print and log is written beside their attempts, where that is kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.acts import discards, inspect, retention
from jobsd.errors import Error
from jobsd.jobs.definition import job
from jobsd.logs.capture import KEPT, KeptLog
from jobsd.states import kept_logs
from waiting import wait_until

from .bodies import gate

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target
    from rows import Rows

    from .conftest import Count, MakeWorker

pytestmark = pytest.mark.usefixtures("kept_logs")


@job
def say(text: str) -> None:
    KEPT.say(text)


@job(max_attempts=2, backoff=lambda _: 0)
def say_and_fail() -> None:
    KEPT.say("about to fail")
    raise Error("failed")


@job
def say_and_wait() -> None:
    KEPT.say("begun")
    assert gate.wait(60)
    KEPT.say("done")


@job
def say_much() -> None:
    for number in range(1000):
        KEPT.say(f"line {number}")
        if number in {400, 700}:
            wait_until(lambda: not KEPT)


@job
async def say_asynchronously() -> None:
    KEPT.say("from the loop")


_WAITING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


# As all statements do that remove jobs: what is written later than they began stays unseen.
_ERASE = (
    "WITH erased AS (DELETE FROM jobsd.jobs WHERE id = %s RETURNING id)"
    " DELETE FROM jobsd.attempts WHERE job_id IN (SELECT id FROM erased)"
)


def _logs(session: Session, job_id: int | None) -> list[tuple[int, str]]:
    assert job_id is not None
    return [(log.attempt, log.text[24:]) for log in inspect.logs(session, job_id)]


def test_the_log_of_a_success_is_kept(make_worker: MakeWorker, session: Session) -> None:
    worker = make_worker(coroutines=2)
    enqueued, other = say.enqueue("hello"), say_asynchronously.enqueue()

    worker.until(lambda: _logs(session, enqueued.id) and _logs(session, other.id))

    assert _logs(session, enqueued.id) == [(1, "hello")]
    assert _logs(session, other.id) == [(1, "from the loop")]
    assert inspect.attempts(session, enqueued.id or 0) == []


def test_each_attempt_has_its_own(make_worker: MakeWorker, session: Session) -> None:
    worker = make_worker()
    enqueued = say_and_fail.enqueue()

    worker.until(lambda: len(_logs(session, enqueued.id)) == 2)

    assert _logs(session, enqueued.id) == [(1, "about to fail"), (2, "about to fail")]
    worker.until(lambda: len(inspect.attempts(session, enqueued.id or 0)) == 2)
    assert [each.error["type"] for each in inspect.attempts(session, enqueued.id or 0)] == [
        "Error",
        "Error",
    ]


def test_it_is_there_while_the_job_runs_and_grows(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    worker = make_worker()
    enqueued = say_and_wait.enqueue()
    worker.until(lambda: _logs(session, enqueued.id))
    assert _logs(session, enqueued.id) == [(1, "begun")]

    gate.set()
    worker.until(lambda: count("jobs WHERE outcome = 'finished'"))
    worker.drain()

    ((_, text),) = _logs(session, enqueued.id)
    assert text.startswith("begun\n")
    assert text.endswith("done")


def test_an_ending_worker_writes_unwritten_logs(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    worker = make_worker()
    first = say.enqueue("first")
    worker.until(lambda: _logs(session, first.id))
    second = say.enqueue("within the same second")
    worker.until(lambda: count("jobs WHERE outcome = 'finished'") == 2)

    worker.drain()

    assert _logs(session, second.id) == [(1, "within the same second")]


def test_it_goes_with_the_job(make_worker: MakeWorker, session: Session, count: Count) -> None:
    worker = make_worker()
    failing, finishing = say_and_fail.enqueue(), say.enqueue("hello")
    worker.until(lambda: len(_logs(session, failing.id)) == 2)
    worker.until(lambda: _logs(session, finishing.id))
    worker.until(lambda: count("failed_executions"))

    discards.discard(failing.id or 0, keep=False, session=session)
    retention.clear_finished_in_batches(older_than=0, session=session)

    assert not count("attempts")


@pytest.mark.failure(
    "a session waits while a worker writes the log of a job, and then deletes the job",
    "the log is deleted like the job, a second later",
)
def test_removing_a_job_while_its_log_is_written_leaves_none(
    make_worker: MakeWorker, session: Session, target: Target, count: Count
) -> None:
    worker = make_worker()
    enqueued = say_and_wait.enqueue()
    worker.until(lambda: _logs(session, enqueued.id))
    gate.set()
    worker.until(lambda: count("jobs WHERE outcome = 'finished'"))
    worker.until(lambda: not KEPT)
    session.connection.execute("DELETE FROM jobsd.attempts")
    late = KeptLog(enqueued.id or 0, 1, 4096)
    late.add("late")
    KEPT.put_back([late])

    with psycopg.connect(target.url) as writer, ThreadPoolExecutor(1) as threads:
        # As the worker's statement, not yet committed.
        query = "SELECT FROM jobsd.jobs WHERE id = %s FOR KEY SHARE"
        writer.execute(query, (enqueued.id,))
        removed = threads.submit(_remove, target, enqueued.id or 0)
        wait_until(lambda: session.connection.execute(_WAITING).fetchone() == (1,))
        worker.until(lambda: count("attempts") == 1)
        writer.commit()
        removed.result(30)

    worker.until(lambda: not count("attempts"))
    assert not count("jobs")


def _remove(target: Target, job_id: int) -> None:
    with psycopg.connect(target.url) as connection:
        connection.execute(_ERASE, (job_id,))


_WAL = "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"


@pytest.mark.failure(
    "Many running jobs, each with a long log, print a line a second (`keep_log`)",
    "Each line is stored once: a log is appended, not rewritten",
)
def test_one_more_line_is_all_that_is_written(
    make_worker: MakeWorker, session: Session, count: Count, rows: Rows
) -> None:
    worker = make_worker()
    ids = [say.enqueue("begun").id or 0 for _ in range(20)]
    worker.until(lambda: count("jobs WHERE outcome = 'finished'") == 20)
    worker.until(lambda: not KEPT)
    logs = [KeptLog(job_id, 2, 2**17) for job_id in ids]

    def stored(lines: int) -> int:
        for log in logs:
            for _ in range(lines):
                log.add(token_hex(50))
        (before,) = rows(_WAL)
        pieces = [piece for log in logs for piece in log.pieces()]
        kept_logs.write(session, "worker-test", pieces, [])
        KEPT.settle(pieces, [])
        return int(rows(_WAL)[0] - before)

    first = stored(600)
    # The server writes whole pages after a checkpoint: so the least of some.
    one_more = min(stored(1) for _ in range(5))

    assert first > 20 * 60_000
    assert one_more < 20 * 2000
    assert len(_logs(session, ids[0])[-1][1].split("\n")) == 605


@pytest.mark.failure(
    "The database is slow to store what jobs print and log, or does not for seconds",
    "Claims and outcomes don't wait for it: logs have a connection of their own",
)
def test_a_log_that_can_not_be_stored_holds_up_no_job(
    make_worker: MakeWorker, session: Session, target: Target, count: Count
) -> None:
    worker = make_worker()
    with psycopg.connect(target.url) as other:
        other.execute("LOCK TABLE jobsd.attempts IN EXCLUSIVE MODE")
        handle = say.enqueue("hello")
        worker.until(lambda: session.connection.execute(_WAITING).fetchone() == (1,))
        say.enqueue("of another")
        worker.until(lambda: count("jobs WHERE outcome = 'finished'") == 2, 5)
        assert KEPT

    worker.until(lambda: not KEPT)
    assert _logs(session, handle.id) == [(1, "hello")]


def test_old_pieces_of_a_long_log_are_removed(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    worker = make_worker()
    handle = say_much.enqueue()

    worker.until(lambda: count("jobs WHERE outcome = 'finished'"))
    worker.drain()

    ((_, text),) = _logs(session, handle.id)
    assert text.startswith("line 0\n")
    assert text.endswith("line 999")
    assert text.count("lines left out") == 1
    assert len(text) < 5000


def test_a_job_that_is_gone_leaves_no_log(make_worker: MakeWorker, count: Count) -> None:
    worker = make_worker(keep=False)
    say.enqueue("hello")
    worker.until(lambda: not count("jobs"))
    worker.drain()

    assert not count("attempts")
