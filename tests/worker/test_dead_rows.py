"""What a claim and a hand-over of a key walk over while an old snapshot is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit

from .bodies import noted

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target

    from .conftest import Count, MakeWorker

JOBS = 1500
KEY = "dead_rows.pass_by/one"
HAND_OVER = "SELECT jobsd.hand_over(ARRAY[%(key)s])"
FIRST_OF_KEY = """
    SELECT job_id
    FROM jobsd.blocked_executions
    WHERE concurrency_key = %(key)s
    ORDER BY priority, job_id
    LIMIT 1
"""


@job(name="dead_rows.pass_by", limits_concurrency=Limit(to=1, key="one"))
def pass_by() -> None:
    """Leave dead rows of the key."""


@job(name="dead_rows.in_turn", limits_concurrency=Limit(to=1))
def in_turn(name: str) -> None:
    """Note who ran when."""
    noted.append(name)


def _pages(session: Session, query: str) -> int:
    """Return how many pages a statement touches that changes nothing."""
    explained = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}".encode()
    touched = 0
    for _ in range(2):  # The first one reads the catalogue, too.
        row = session.connection.execute(explained, {"key": KEY}).fetchone()
        assert row is not None
        plan: dict[str, Any] = row[0][0]["Plan"]
        touched = int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
    return touched


@pytest.mark.xfail(
    reason="only a search from the key's head shows the first of its committed jobs, or none"
)
@pytest.mark.parametrize("query", [HAND_OVER, FIRST_OF_KEY], ids=["hand-over", "claim"])
@pytest.mark.failure(
    "An old snapshot is open, so the rows of a key's jobs that have run can't be vacuumed.",
    "Neither a claim nor a hand-over of the key walks over them",
)
def test_the_search_of_a_key_walks_over_no_dead_rows(
    make_worker: MakeWorker, session: Session, target: Target, count: Count, query: str
) -> None:
    worker = make_worker()
    with psycopg.connect(target.url) as holder:
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT FROM jobsd.jobs LIMIT 1")
        pass_by.enqueue()
        worker.until(lambda: count("jobs WHERE outcome = 'finished'"))
        before = _pages(session, query)
        for _ in range(30):
            enqueue_many(pass_by.with_args() for _ in range(JOBS // 30))
            worker.until(lambda: not count("jobs WHERE outcome IS NULL"))

        after = _pages(session, query)

    assert after <= before + 2


@pytest.mark.failure(
    "A transaction commits a limited job late, after jobs of its key with higher ids have run,"
    " while an old snapshot is open.",
    "It starts first of the key's waiting jobs",
)
def test_a_job_that_was_committed_late_starts_first_of_its_key(
    make_worker: MakeWorker, target: Target, count: Count
) -> None:
    worker = make_worker()
    with psycopg.connect(target.url) as holder, psycopg.connect(target.url) as late:
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT FROM jobsd.jobs LIMIT 1")
        in_turn.using(connection=late).enqueue("late")
        for name in ("first", "second"):
            in_turn.enqueue(name)
            worker.until(lambda: not count("jobs WHERE outcome IS NULL"))
        enqueue_many(in_turn.with_args(name) for name in ("third", "fourth"))
        late.commit()
        worker.until(lambda: not count("jobs WHERE outcome IS NULL"))

    assert noted == ["first", "second", "late", "third", "fourth"]
