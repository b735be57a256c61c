"""A search for due jobs walks over no dead rows, and skips no job for ever."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import contextlib
from math import inf
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.dispatcher import due_cursor
from jobsd.dispatcher.dispatching import STATEMENTS
from jobsd.dispatcher.due_cursor import HEAD, SWEEP_S, DueCursor, Place
from waiting import Stopwatch, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator

    from jobsd.database.connection import Session, Target
    from jobsd.dispatcher.dispatcher import Dispatcher

    from .conftest import Make

DEAD = 20_000
_SCHEDULE = """
    WITH job AS (
        INSERT INTO jobsd.jobs (queue_name, class_name, scheduled_at)
        SELECT 'default', 'c', now() - interval '1 hour' + n * interval '1 ms'
        FROM generate_series(%s::integer, %s::integer) AS n
        RETURNING id, scheduled_at
    )
    INSERT INTO jobsd.scheduled_executions (job_id, scheduled_at, priority, queue_name)
    SELECT id, scheduled_at, 0, 'default' FROM job
    RETURNING job_id
"""


@pytest.fixture
def dispatcher(make: Make) -> Dispatcher:
    return make()[0]


def _schedule(connection: psycopg.Connection[Any], first: int, last: int) -> list[int]:
    return [row[0] for row in connection.execute(_SCHEDULE, (first, last)).fetchall()]


@contextlib.contextmanager
def _old_snapshot(target: Target) -> Generator[None]:
    """Keep every row that is deleted meanwhile from being vacuumed."""
    with psycopg.connect(target.url) as holder:
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT FROM jobsd.jobs LIMIT 1")
        yield


def _pages_read(session: Session, after: Place) -> int:
    """Return how many pages a dispatch touches that begins there; it changes nothing."""
    with session.connection.transaction(force_rollback=True):
        explained = STATEMENTS["dispatch"].after("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)")
        ((plans,),) = session.fetch(explained, {"limit": 500, **after.parameters()})
    plan = plans[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def _until_dispatched(dispatcher: Dispatcher, session: Session, *jobs: int) -> None:
    query = "SELECT count(*) FROM jobsd.scheduled_executions WHERE job_id = ANY (%s)"

    def gone() -> bool:
        return session.connection.execute(query, (list(jobs),)).fetchone() == (0,)

    wait_until(gone, SWEEP_S + 5, between=dispatcher.poll)


@pytest.mark.failure(
    "An old snapshot is open, so the rows of jobs that were dispatched can't be vacuumed.",
    "A dispatch begins behind the last job that was dispatched, and walks over none of them",
)
def test_a_dispatch_walks_over_no_dead_rows(
    dispatcher: Dispatcher, session: Session, target: Target
) -> None:
    with _old_snapshot(target):
        _until_dispatched(dispatcher, session, *_schedule(session.connection, 1, DEAD))

        from_the_head = _pages_read(session, HEAD)
        behind_the_last = _pages_read(session, dispatcher.dispatching.cursor._last)

    assert from_the_head > 100
    assert behind_the_last < from_the_head / 10


@pytest.mark.failure(
    "A transaction commits a due job late, behind which others were dispatched already,"
    " while an old snapshot is open.",
    "The job is dispatched within five seconds",
)
def test_a_late_commit_before_the_cursor_is_dispatched_by_a_sweep(
    dispatcher: Dispatcher, session: Session, target: Target
) -> None:
    with _old_snapshot(target), psycopg.connect(target.url) as late:
        (job,) = _schedule(late, 1, 1)
        _until_dispatched(dispatcher, session, *_schedule(session.connection, 2, 1000))
        late.commit()
        watch = Stopwatch()

        _until_dispatched(dispatcher, session, job)

        assert watch.took() < SWEEP_S + 1


def test_a_locked_job_that_was_passed_over_is_dispatched_once_it_is_free(
    dispatcher: Dispatcher, session: Session, target: Target
) -> None:
    with psycopg.connect(target.url) as holder:
        first, *others = _schedule(session.connection, 1, 10)
        holder.execute(
            "SELECT FROM jobsd.scheduled_executions WHERE job_id = %s FOR UPDATE", (first,)
        )
        _until_dispatched(dispatcher, session, *others)
        assert dispatcher.dispatching.cursor._asked

    watch = Stopwatch()
    _until_dispatched(dispatcher, session, first)
    assert watch.took() < 1


def test_jobs_that_are_due_at_one_moment_are_dispatched_in_batches(
    make: Make, session: Session
) -> None:
    dispatcher, _ = make(batch_size=7)
    jobs = _schedule(session.connection, 1, 40)
    session.connection.execute("UPDATE jobsd.scheduled_executions SET scheduled_at = now()")

    watch = Stopwatch()
    _until_dispatched(dispatcher, session, *jobs)
    # No sweep has had to find the others.
    assert watch.took() < SWEEP_S / 2


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of a cursor, to be set."""
    now = [1000.0]
    monkeypatch.setattr(due_cursor, "monotonic", lambda: now[0])
    return now


LAST = Place("2026-01-01", 0, 1)


def _searched(cursor: DueCursor, now: list[float], took_s: float = 0.0) -> Place:
    after = cursor.begin()
    now[0] += took_s
    cursor.end(LAST, passed=False)
    return after


def test_a_sweep_comes_when_it_is_asked_for_and_every_five_seconds(now: list[float]) -> None:
    cursor = DueCursor()
    assert [_searched(cursor, now) for _ in range(3)] == [HEAD, LAST, LAST]

    cursor.ask()
    assert [_searched(cursor, now) for _ in range(2)] == [HEAD, LAST]

    now[0] += SWEEP_S
    assert [_searched(cursor, now) for _ in range(2)] == [HEAD, LAST]


def test_a_costly_sweep_takes_a_tenth_of_the_time_and_comes_within_five_seconds(
    now: list[float],
) -> None:
    cursor = DueCursor()
    _searched(cursor, now, took_s=0.102)
    cursor.ask()
    now[0] += 0.8
    assert _searched(cursor, now) == LAST
    now[0] += 0.2
    assert _searched(cursor, now, took_s=10) == HEAD

    cursor.ask()
    now[0] += SWEEP_S - 0.1
    assert _searched(cursor, now) == LAST
    now[0] += 0.2
    assert _searched(cursor, now) == HEAD


def test_a_dispatcher_rests_no_longer_than_until_a_sweep_that_was_put_off(
    now: list[float],
) -> None:
    cursor = DueCursor()
    _searched(cursor, now, took_s=0.102)
    assert cursor.next_at == inf

    cursor.ask()
    assert _searched(cursor, now) == LAST
    assert cursor.next_at == pytest.approx(now[0] + 0.9)

    now[0] = cursor.next_at
    cursor.begin()
    cursor.end(None, passed=True)
    assert cursor.next_at == inf


def test_after_an_outage_a_search_begins_at_the_head(
    dispatcher: Dispatcher, session: Session
) -> None:
    _until_dispatched(dispatcher, session, *_schedule(session.connection, 1, 3))
    dispatcher.disconnect()

    assert dispatcher.dispatching.cursor.begin() == HEAD
