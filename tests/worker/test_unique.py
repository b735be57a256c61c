"""Beside a worker that ends jobs, is cut off and taken for dead, unique jobs stay unique."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import job
from jobsd.jobs.unique import Unique
from jobsd.supervisor.recovery.claims import recover

from .dead_processes import dead_process, terminate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session, Target

    from .conftest import Count, MakeWorker

KEYS = 6
CHANGES = 60
"""By each of the enqueuers."""

versions: dict[int, int] = {}
"""What the latest job of each key has read."""
where: list[str] = []
"""The URL of the database in which the jobs read."""

TWICE = """
SELECT unique_key
FROM jobsd.jobs
WHERE outcome IS NULL AND unique_until = 'finished'
    AND NOT EXISTS (SELECT FROM jobsd.failed_executions WHERE job_id = id)
GROUP BY unique_key
HAVING count(*) > 1
"""


@job(name="w.follow", unique=Unique(key="n", until="started"))
def follow(n: int) -> None:
    with psycopg.connect(where[0]) as connection:
        row = connection.execute("SELECT version FROM marks WHERE n = %s", (n,)).fetchone()
    assert row is not None
    versions[n] = max(versions.get(n, 0), row[0])


@job(name="w.alone", unique=Unique(key="n"), max_attempts=2, backoff=lambda _: 0.0)
def alone(n: int, how: str) -> None:
    if how == "fails" or (how == "retries" and current_job().attempt == 1):
        raise ValueError(n)


@pytest.fixture
def marks(target: Target, session: Session) -> Iterator[None]:
    versions.clear()
    where[:] = [target.url]
    session.connection.execute("CREATE TABLE marks (n int PRIMARY KEY, version int NOT NULL)")
    session.connection.execute(
        f"INSERT INTO marks SELECT n, 0 FROM generate_series(1, {KEYS}) AS n".encode()
    )
    yield
    session.connection.execute("DROP TABLE marks")


def _change(url: str, seed: int) -> None:
    """Change what the jobs read, and enqueue them in the same transaction, in each way."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    with psycopg.connect(url) as mine:
        for turn in range(CHANGES):
            n = dice.randint(1, KEYS)
            mine.execute("UPDATE marks SET version = version + 1 WHERE n = %s", (n,))
            if turn % 3 == 0:
                enqueue_many([follow.with_args(n)], connection=mine)
            elif turn % 3 == 1:
                mine.execute(
                    "SELECT jobsd.enqueue('w.follow', jsonb_build_array(%s::int),"
                    " unique_key => %s, unique_until => 'started')",
                    (n, f"w.follow/{n}"),
                )
            else:
                follow.using(connection=mine).enqueue(n)
            mine.commit()
            alone.enqueue(dice.randint(1, KEYS), dice.choice(["", "", "retries", "fails"]))


@pytest.mark.failure(
    "Programs enqueue unique jobs while a worker performs them, is cut off and taken for dead.",
    "No key has two jobs, and no change is missed for which a job was to be enqueued",
)
def test_no_change_is_missed_and_no_key_has_two_jobs(
    make_worker: MakeWorker, session: Session, target: Target, count: Count, marks: None
) -> None:
    del marks
    driven = make_worker(polling_interval_s=0.02)
    twice: list[str] = []
    rounds = 0

    def over() -> bool:
        nonlocal rounds
        rounds += 1
        twice.extend(row[0] for row in session.connection.execute(TWICE))
        if rounds in {40, 120}:
            terminate(session)
            driven.worker.disconnect()
            driven.worker.connect()
        if rounds in {80, 160}:
            recover(session, dead_process(session))
            driven.worker.connect()
        left = count("ready_executions") + count("scheduled_executions") + count("claims")
        return all(each.done() for each in enqueuers) and not left

    with ThreadPoolExecutor(3) as pool:
        enqueuers = [pool.submit(_change, target.url, seed) for seed in range(3)]
        driven.until(over, 60)
        for each in enqueuers:
            each.result()

    query = "SELECT n, version FROM marks WHERE version > 0"
    assert dict(session.connection.execute(query).fetchall()) == versions
    assert twice == []
