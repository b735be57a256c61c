"""A limit is never exceeded, and nothing waits in the end, whatever meets whatever."""

from __future__ import annotations

import contextlib
import random
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import errors

from jobsd.database.connection import Session
from jobsd.errors import EnqueueError
from jobsd.jobs import limits
from jobsd.jobs.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit

if TYPE_CHECKING:
    from jobsd.database.connection import Target

    Connection = psycopg.Connection[tuple[Any, ...]]

TO = {"a": 1, "b": 2, "c": 3}
ROUNDS = 25
_COMMITTED = psycopg.IsolationLevel.READ_COMMITTED
_REFUSED = (errors.SerializationFailure, errors.DeadlockDetected)
_FINISH = """
WITH gone AS (
    DELETE FROM jobsd.ready_executions
    WHERE job_id IN (
        SELECT job_id FROM jobsd.ready_executions ORDER BY random() LIMIT 2
        FOR UPDATE SKIP LOCKED
    )
    RETURNING job_id
), ended AS (
    UPDATE jobsd.jobs SET finished_at = now(), outcome = 'finished'
    WHERE id IN (SELECT job_id FROM gone)
)
DELETE FROM jobsd.concurrency_slots
WHERE job_id IN (SELECT job_id FROM gone)
RETURNING key
"""
_IN_HAND = """
SELECT job.concurrency_key, count(*)
FROM jobsd.ready_executions AS ready
JOIN jobsd.jobs AS job ON job.id = ready.job_id
GROUP BY 1
"""


def _limit(key: str, on_conflict: str) -> Any:
    @job(
        name=f"exact_{key}_{on_conflict}",
        limits_concurrency=Limit(to=TO[key], group=key, on_conflict=on_conflict),
    )
    def work() -> None: ...

    return work


JOBS = [_limit(key, on_conflict) for key in TO for on_conflict in ("block", "block", "discard")]

pytestmark = pytest.mark.usefixtures("configured")


def _enqueue(target: Target, seed: int, isolation: psycopg.IsolationLevel) -> int:
    """Enqueue in transactions of one to four jobs; return how many were refused as a whole."""
    chosen = random.Random(seed)  # noqa: S311
    refused = 0
    with psycopg.connect(target.url) as mine:
        mine.isolation_level = isolation
        for _ in range(ROUNDS):
            try:
                _one_transaction(chosen, mine)
            except (psycopg.Error, EnqueueError) as error:
                if not isinstance(error.__cause__ or error, _REFUSED):
                    raise
                refused += 1
            mine.rollback()
    return refused


def _one_transaction(chosen: random.Random, mine: Connection) -> None:
    for _ in range(chosen.randint(1, 4)):
        made = chosen.choice(JOBS)
        if chosen.random() < 0.3:
            drafts = [each.with_args() for each in chosen.choices(JOBS, k=5)]
            enqueue_many(drafts, connection=mine)
        else:
            made.using(connection=mine).enqueue()
    if chosen.random() < 0.8:
        mine.commit()


def _finish(target: Target, done: Event) -> None:
    """End jobs, and promote who waits: what workers do."""
    with contextlib.closing(Session(target, "worker")) as session:
        while not done.is_set():
            freed = [row[0] for row in session.connection.execute(_FINISH.encode())]
            limits.promote(session, freed)


def _dispatch(target: Target, done: Event) -> None:
    with contextlib.closing(Session(target, "dispatcher")) as session:
        while not done.is_set():
            for keys in limits.roomy(session):
                limits.promote(session, keys)


def _watch(target: Target, done: Event) -> list[tuple[str, int]]:
    """Return what was seen beyond a limit."""
    beyond: list[tuple[str, int]] = []
    with psycopg.connect(target.url, autocommit=True) as connection:
        while not done.is_set():
            counts = connection.execute(_IN_HAND).fetchall()
            beyond += [(key, count) for key, count in counts if count > TO[key]]
    return beyond


@pytest.mark.parametrize(
    "isolation",
    [
        [_COMMITTED] * 4,
        [psycopg.IsolationLevel.REPEATABLE_READ] * 4,
        [psycopg.IsolationLevel.SERIALIZABLE] * 4,
        [
            _COMMITTED,
            psycopg.IsolationLevel.REPEATABLE_READ,
            psycopg.IsolationLevel.SERIALIZABLE,
            _COMMITTED,
        ],
    ],
    ids=["read committed", "repeatable read", "serializable", "all of them"],
)
def test_a_limit_is_exact_at_every_isolation_level(
    target: Target, session: Session, isolation: list[psycopg.IsolationLevel]
) -> None:
    done = Event()
    with ThreadPoolExecutor(8) as pool:
        seen = pool.submit(_watch, target, done)
        others = [pool.submit(work, target, done) for work in (_finish, _dispatch)]
        try:
            asked = [
                pool.submit(_enqueue, target, seed, level)
                for seed, level in enumerate(isolation)
            ]
            refused = sum(each.result(120) for each in asked)
        finally:
            done.set()
        assert seen.result(10) == []
        for other in others:
            other.result(10)

    assert refused == 0 if set(isolation) == {_COMMITTED} else refused < 4 * ROUNDS
    _end_all(session)


def _end_all(session: Session) -> None:
    """End what is left as a worker and a dispatcher would: nothing stays where it is."""
    for _ in range(10_000):
        freed = [row[0] for row in session.connection.execute(_FINISH.encode())]
        limits.promote(session, freed)
        for keys in limits.roomy(session):
            limits.promote(session, keys)
        if not freed:
            break
    left = session.connection.execute(
        "SELECT (SELECT count(*) FROM jobsd.blocked_executions),"
        " (SELECT count(*) FROM jobsd.concurrency_slots),"
        " (SELECT count(*) FROM jobsd.jobs WHERE finished_at IS NULL)"
    )
    assert left.fetchone() == (0, 0, 0)
