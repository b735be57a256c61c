"""What may not wait is never there more often than its limit says, whatever meets whatever."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import errors

from jobsd.enqueueing.client import enqueue_many
from jobsd.errors import EnqueueError
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target

    Connection = psycopg.Connection[tuple[Any, ...]]

TO = {"a": 1, "b": 2, "c": 3}
ROUNDS = 25
_COMMITTED = psycopg.IsolationLevel.READ_COMMITTED
_REFUSED = (errors.SerializationFailure, errors.DeadlockDetected)
_END = """
DELETE FROM jobsd.blocked_executions
WHERE job_id IN (
    SELECT job_id FROM jobsd.blocked_executions ORDER BY random() LIMIT 2
    FOR UPDATE SKIP LOCKED
)
"""
_PRESENT = """
SELECT concurrency_key, count(*)
FROM jobsd.blocked_executions
WHERE NOT yields
GROUP BY 1
"""


def _limit(key: str) -> Any:
    @job(
        name=f"exact_{key}",
        limits_concurrency=Limit(to=TO[key], group=key, on_conflict="discard"),
    )
    def work() -> None: ...

    return work


JOBS = [_limit(key) for key in TO]

pytestmark = pytest.mark.usefixtures("default_client")


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
        if chosen.random() < 0.3:
            drafts = [each.with_args() for each in chosen.choices(JOBS, k=5)]
            enqueue_many(drafts, connection=mine)
        else:
            chosen.choice(JOBS).using(connection=mine).enqueue()
    if chosen.random() < 0.8:
        mine.commit()


def _end(target: Target, done: Event) -> None:
    """End jobs, as workers do."""
    with psycopg.connect(target.url, autocommit=True) as connection:
        while not done.is_set():
            connection.execute(_END.encode())


def _watch(target: Target, done: Event) -> list[tuple[str, int]]:
    """Return what was seen beyond a limit."""
    beyond: list[tuple[str, int]] = []
    with psycopg.connect(target.url, autocommit=True) as connection:
        while not done.is_set():
            counts = connection.execute(_PRESENT.encode()).fetchall()
            beyond += [(key, count) for key, count in counts if count > TO[key]]
    return beyond


@pytest.mark.behaviour(75)
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
def test_discarding_limits_are_exact_at_every_isolation_level(
    target: Target, session: Session, isolation: list[psycopg.IsolationLevel]
) -> None:
    done = Event()
    with ThreadPoolExecutor(8) as pool:
        seen = pool.submit(_watch, target, done)
        other = pool.submit(_end, target, done)
        try:
            asked = [
                pool.submit(_enqueue, target, seed, level)
                for seed, level in enumerate(isolation)
            ]
            refused = sum(each.result(120) for each in asked)
        finally:
            done.set()
        assert seen.result(60) == []
        other.result(60)

    assert refused == 0 if set(isolation) == {_COMMITTED} else refused < 4 * ROUNDS
    assert session.connection.execute("SELECT FROM jobsd.jobs LIMIT 1").fetchall()
