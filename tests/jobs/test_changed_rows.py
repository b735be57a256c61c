"""A row that somebody changes by hand, while it is moved, is moved once or not at all."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.database.statements import Statements
from jobsd.jobs import claims, queues, ready

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobsd.database.connection import Session, Target
    from jobsd.database.statements import Statement

JOBS = 4000
DISPATCH = Statements("jobsd.dispatcher", "dispatcher.sql")["dispatch"]
CHANGE_READY = "UPDATE jobsd.ready_executions SET priority = priority - 1"
FROM_THE_HEAD = {
    "names": ["q"],
    "after_priorities": [-(2**31)],
    "after_positions": [-(2**63)],
    "below_priorities": [2**31],
    "limit": 100,
    "process_id": 1,
    "asked_at": 0.0,
}


@pytest.fixture
def changing(target: Target) -> Iterator[Callable[[str], None]]:
    """Do again and again what an operator does once."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def change(statement: str) -> None:
        with psycopg.connect(target.url, autocommit=True) as connection:
            while not over.is_set():
                connection.execute(statement.encode())

    def begin(statement: str) -> None:
        threads.append(threading.Thread(target=change, args=(statement,)))
        threads[-1].start()

    yield begin
    over.set()
    for thread in threads:
        thread.join()


def _store(session: Session, table: str, columns: str) -> None:
    session.connection.execute(
        "WITH job AS (INSERT INTO jobsd.jobs (queue_name, class_name, scheduled_at)"
        f" SELECT 'q', 'x', now() FROM generate_series(1, {JOBS}) RETURNING *)"
        f" INSERT INTO jobsd.{table} SELECT {columns}, 0, 'q' FROM job".encode()
    )


def _one(session: Session, query: str) -> Any:
    row = session.connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize(
    "pick", [ready.CLAIM_ANY, ready.CLAIM_NAMED, ready.CLAIM_EACH], ids=lambda pick: pick.name
)
def test_a_job_whose_ready_row_is_changed_is_not_claimed_twice(
    session: Session, changing: Callable[[str], None], pick: Statement
) -> None:
    _store(session, "ready_executions", "id, id")
    claim = claims.STATEMENTS["nothing"].with_(pick)
    changing(CHANGE_READY)

    told = 0
    while _one(session, "SELECT count(*) FROM jobsd.ready_executions"):
        (_, size, *_), *jobs = session.fetch(claim, FROM_THE_HEAD)
        assert size == len(jobs)
        told += size

    assert told == _one(session, "SELECT count(*) FROM jobsd.claimed_executions") == JOBS


def test_a_job_whose_scheduled_row_is_changed_is_not_dispatched_twice(
    session: Session, changing: Callable[[str], None]
) -> None:
    _store(session, "scheduled_executions", "id, scheduled_at")
    changing("UPDATE jobsd.scheduled_executions SET priority = 1 - priority")

    while _one(session, "SELECT count(*) FROM jobsd.scheduled_executions"):
        session.fetch(DISPATCH, {"limit": 100})
        # What is in both tables now would run once more.
        session.connection.execute("DELETE FROM jobsd.ready_executions")

    last = _one(session, "SELECT nextval(pg_get_serial_sequence('jobsd.jobs', 'id'))")
    first = _one(session, "SELECT min(id) FROM jobsd.jobs")
    assert last - first == 2 * JOBS


def test_a_job_whose_ready_row_is_changed_is_not_ready_once_it_is_cleared(
    session: Session, changing: Callable[[str], None]
) -> None:
    _store(session, "ready_executions", "id, id")
    changing(CHANGE_READY)

    cleared = 0
    while _one(session, "SELECT count(*) FROM jobsd.ready_executions"):
        cleared += queues.clear("q", session=session)

    assert cleared == JOBS


def test_a_job_that_somebody_has_made_ready_too_stops_no_dispatcher(session: Session) -> None:
    _store(session, "scheduled_executions", "id, scheduled_at")
    session.connection.execute(
        "INSERT INTO jobsd.ready_executions SELECT id, id, 0, 'q' FROM jobsd.jobs LIMIT 10"
    )

    session.fetch(DISPATCH, {"limit": JOBS})

    assert _one(session, "SELECT count(*) FROM jobsd.ready_executions") == JOBS


def test_a_job_that_somebody_has_made_ready_too_can_be_given_back(session: Session) -> None:
    _store(session, "ready_executions", "id, id")
    claim = claims.STATEMENTS["nothing"].with_(ready.CLAIM_ANY)
    (claim_id, _, *_), *jobs = session.fetch(claim, FROM_THE_HEAD)
    ended = [claims.Ended(claim_id, job[1], "released") for job in jobs]
    session.connection.execute(
        "INSERT INTO jobsd.ready_executions"
        " SELECT job_id, job_id, 0, 'q' FROM jobsd.claimed_executions"
    )

    session.fetch(claims.STATEMENTS["conclude"], claims.conclusion(ended, "w", keep=True))

    assert _one(session, "SELECT count(*) FROM jobsd.claims") == 0
    assert _one(session, "SELECT count(*) FROM jobsd.ready_executions") == JOBS
