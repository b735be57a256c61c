"""The locks of limits: who waits for whom, and who for nobody."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import errors

from jobsd.jobs import bulk, client, limits
from jobsd.jobs.client import Client, enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from waiting import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session, Target

WAITS = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@job(name="welcome3", limits_concurrency=Limit(key=lambda user: user))
def welcome(user: object) -> None: ...


@pytest.fixture(autouse=True)
def _configured(target: Target, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(bulk, "BATCH", 20)
    client.configure(client=Client(target))
    yield
    client.configure()


def _enqueue_many() -> int:
    return enqueue_many(welcome.with_args(n) for n in range(50)).stored


@pytest.mark.failure(
    "A transaction that has enqueued a limited job stays open, and many limited jobs are "
    "enqueued at once.",
    "These wait for it; other limited jobs are enqueued, and promoted, within seconds.",
)
def test_who_waits_for_all_limits_lets_others_through(target: Target, session: Session) -> None:
    holder = welcome.enqueue("other")
    welcome.enqueue("other")
    with psycopg.connect(target.url) as connection, ThreadPoolExecutor(1) as pool:
        welcome.using(connection=connection).enqueue("ann")
        many = pool.submit(_enqueue_many)
        _wait_for_waiter(session)

        assert welcome.enqueue("bob").state == "ready"

        _wait_for_waiter(session)
        session.connection.execute(
            "DELETE FROM jobsd.concurrency_slots WHERE job_id = %s", (holder.id,)
        )
        watch = Stopwatch()
        while not limits.promote(session, ["welcome3/other"]).promoted:
            assert not watch.over(10)
        assert not many.done()
        connection.rollback()
        assert many.result(20) == 50


def test_while_somebody_decides_on_all_limits_nobody_decides_on_one(
    target: Target, session: Session
) -> None:
    with psycopg.connect(target.url) as connection, ThreadPoolExecutor(1) as pool:
        many = enqueue_many(
            [welcome.with_args(n) for n in ("ann", *range(30))], connection=connection
        )
        other = pool.submit(welcome.enqueue, "ann")
        _wait_for_waiter(session)
        assert limits.promote(session, ["welcome3/ann"]).missed
        assert not other.done()
        connection.commit()

        assert (many[0].state, other.result(10).state) == ("ready", "blocked")


def test_several_limits_are_locked_in_one_order_whoever_names_them(
    target: Target, session: Session
) -> None:
    keys = session.connection.execute(
        "SELECT key FROM unnest('{a,b}'::text[]) AS key ORDER BY jobsd.limits_lock(key)"
    ).fetchall()
    first, second = (key for (key,) in keys)
    with (
        psycopg.connect(target.url) as holder,
        psycopg.connect(target.url) as connection,
        ThreadPoolExecutor(1) as pool,
    ):
        holder.execute("SELECT jobsd.lock_limits(ARRAY[%s])", (first,))
        both = pool.submit(
            connection.execute, "SELECT jobsd.lock_limits(ARRAY[%s, %s])", (second, first)
        )
        _wait_for_waiter(session)

        free = session.connection.execute(
            "SELECT pg_try_advisory_xact_lock(jobsd.limits_lock(%s))", (second,)
        ).fetchall()
        holder.rollback()
        both.result(10)

    assert free == [(True,)]


def test_promotion_passes_over_a_job_that_somebody_has_locked(
    target: Target, session: Session
) -> None:
    holder, first, second = (welcome.enqueue("ann") for _ in range(3))
    with psycopg.connect(target.url) as other:
        other.execute(
            "SELECT FROM jobsd.blocked_executions WHERE job_id = %s FOR UPDATE", (first.id,)
        )
        session.connection.execute(
            "DELETE FROM jobsd.concurrency_slots WHERE job_id = %s", (holder.id,)
        )

        assert limits.promote(session, ["welcome3/ann"]).promoted == 1

    slots = session.connection.execute("SELECT job_id FROM jobsd.concurrency_slots")
    assert slots.fetchall() == [(second.id,)]


def test_two_that_wait_for_each_other_are_told(target: Target) -> None:
    def both(user: str) -> None:
        with psycopg.connect(target.url) as connection:
            welcome.using(connection=connection).enqueue(user)
            barrier.append(user)
            watch = Stopwatch()
            while len(barrier) < 2:
                assert not watch.over(10)
            connection.execute("SELECT jobsd.lock_limits('{}', true)")

    barrier: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        raised = [done.exception(30) for done in [pool.submit(both, user) for user in "ab"]]

    assert [type(error) for error in raised if error] == [errors.DeadlockDetected]


def test_the_longest_wait_for_a_lock_is_the_callers_and_stays(target: Target) -> None:
    with psycopg.connect(target.url) as holder, psycopg.connect(target.url) as connection:
        connection.execute("SET lock_timeout = '100ms'")
        connection.execute("SELECT jobsd.lock_limits('{}', true)")
        assert connection.execute("SHOW lock_timeout").fetchone() == ("100ms",)
        connection.rollback()
        connection.execute("SET lock_timeout = '100ms'")
        holder.execute("SELECT jobsd.lock_limits('{a}')")

        with pytest.raises(errors.LockNotAvailable):
            connection.execute("SELECT jobsd.lock_limits('{}', true)")


def _wait_for_waiter(session: Session) -> None:
    watch = Stopwatch()
    while not session.connection.execute(WAITS).fetchall():
        assert not watch.over(10)
