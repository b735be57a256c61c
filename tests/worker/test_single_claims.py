"""Claims of one job each: their successes, and a slot that another worker takes first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.states.claims import LOCK_WAIT, STATEMENTS, record_statement
from waiting import wait_until

from .bodies import noted

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target

    from .conftest import MakeWorker

_JOBS = """
INSERT INTO jobsd.jobs (id, class_name, queue_name)
SELECT id, 'c', 'q' FROM unnest(%s::bigint[]) AS id
"""
_CLAIM = "INSERT INTO jobsd.claims (id, process_id, job_ids) VALUES (%s, 1, %s)"
_FINISHED = """
SELECT id, extract(epoch FROM finished_at - started_at)::integer
FROM jobsd.jobs
WHERE outcome = 'finished'
ORDER BY id
"""


@job(limits_concurrency=Limit(key=lambda key: key))
def single(key: str) -> None:
    noted.append(key)


def _rows(session: Session, query: str) -> list[tuple[object, ...]]:
    return session.connection.execute(query.encode()).fetchall()


def _record(session: Session, jobs: dict[int, int], *, keep: bool = True) -> str | None:
    """Record jobs, by their claims; each has run for as many seconds as its id says."""
    statement = record_statement(keep=keep)
    row = session.fetch(
        statement.with_(STATEMENTS["no_claim"]),
        {
            "claim_ids": list(jobs),
            "job_ids": list(jobs.values()),
            "started_us": [id_ * 1_000_000 for id_ in jobs.values()],
            "ended_us": [0] * len(jobs),
            "batch_ids": list(jobs),
            "held": [1] * len(jobs),
            "remaining": [0] * len(jobs),
            "lock_wait": LOCK_WAIT,
        },
    )[0]
    recorded: str | None = row[2]
    return recorded


@pytest.mark.parametrize("keep", [True, False])
def test_each_is_recorded_that_is_alone_in_its_claim(session: Session, *, keep: bool) -> None:
    session.connection.execute(_JOBS, ([5, 6, 8],))
    for claim_id, job_id in ((11, 8), (12, 5), (13, 6)):
        session.connection.execute(_CLAIM, (claim_id, [job_id]))

    recorded = _record(session, {11: 8, 12: 5}, keep=keep)

    assert sorted((recorded or "").split(",")) == ["11", "12"]
    assert _rows(session, _FINISHED) == ([(5, 5), (8, 8)] if keep else [])
    assert _rows(session, "SELECT id FROM jobsd.claims") == [(13,)]
    assert len(_rows(session, "SELECT FROM jobsd.jobs")) == (3 if keep else 1)


def test_a_job_in_another_claim_by_now_is_not_recorded(session: Session) -> None:
    session.connection.execute(_JOBS, ([5, 6, 7, 8],))
    for claim_id, job_ids in ((11, [5]), (12, [6, 7])):
        session.connection.execute(_CLAIM, (claim_id, job_ids))

    recorded = _record(session, {11: 5, 12: 6, 13: 8})

    assert recorded == "11"
    assert _rows(session, _FINISHED) == [(5, 5)]
    assert _rows(session, "SELECT id FROM jobsd.claims ORDER BY id") == [(12,)]


def test_a_worker_claims_the_others_where_a_slot_is_taken_meanwhile(
    make_worker: MakeWorker, session: Session, target: Target
) -> None:
    driven = make_worker()
    driven.until(driven.at_rest)
    enqueue_many(single.with_args(key) for key in ("a", "b"))
    with psycopg.connect(target.url) as other, ThreadPoolExecutor() as threads:
        (key,) = other.execute(
            "INSERT INTO jobsd.claims (process_id, job_ids, concurrency_key, slot)"
            " SELECT 0, '{0}', max(concurrency_key), 1 FROM jobsd.blocked_executions"
            " RETURNING concurrency_key"
        ).fetchone() or ("",)
        waits = (
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE NOT granted AND datname = current_database()"
        )

        def commit() -> None:
            wait_until(lambda: other.execute(waits).fetchone() == (1,))
            other.commit()

        committed = threads.submit(commit)
        driven.until(lambda: noted == ["a"])
        committed.result()

    driven.until(driven.at_rest)
    assert _rows(session, "SELECT concurrency_key FROM jobsd.claims") == [(key,)]
    assert _rows(session, "SELECT concurrency_key FROM jobsd.blocked_executions") == [(key,)]
