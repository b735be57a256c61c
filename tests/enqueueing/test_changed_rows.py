"""A row that somebody changes by hand, while it is moved, is moved once or not at all."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from enqueueing import placed
from harness.job_rows import assert_job_is, assert_only_job_is, places
from jobsd.acts import discards, queues, retries
from jobsd.database.statements import Statements
from jobsd.dispatcher.due_cursor import HEAD
from jobsd.states import claims, ready
from jobsd.supervisor.recovery.claims import DeadProcess, recover

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobsd.database.connection import Session, Target
    from jobsd.database.statements import Statement

JOBS = 4000
DISPATCH = Statements("jobsd.dispatcher", "dispatcher.sql")["dispatch"]
CHANGE_READY = "UPDATE jobsd.ready_executions SET priority = priority - 1"
FROM_THE_HEAD = {
    "names": ["q"],
    "queue_name": "q",
    "after_priorities": [-(2**31)],
    "after_positions": [-(2**63)],
    "below_priorities": [2**31],
    "below_positions": [-(2**63)],
    "limit": 100,
    "process_id": 1,
    "asked_at": 0.0,
    "share": 4000,
    "budget": 2_000_000,
}


pytestmark = pytest.mark.usefixtures("default_client")


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
def test_a_job_with_a_changed_ready_row_is_not_claimed_twice(
    session: Session, changing: Callable[[str], None], pick: Statement
) -> None:
    _store(session, "ready_executions", "id, id")
    claim = ready.turn(None, pick)
    changing(CHANGE_READY)

    reported = 0
    while _one(session, "SELECT count(*) FROM jobsd.ready_executions"):
        (_, size, *_), *jobs = session.fetch(
            claim, {**FROM_THE_HEAD, "claim_id": claims.draw_id()}
        )
        assert size == len(jobs)
        reported += size

    assert reported == _one(session, "SELECT count(*) FROM jobsd.claimed_executions") == JOBS


@pytest.mark.parametrize("pick", ready.OF_FEW, ids=lambda pick: pick.name)
def test_nor_is_it_by_a_claim_of_few_jobs(
    session: Session, changing: Callable[[str], None], pick: Statement
) -> None:
    _store(session, "ready_executions", "id, id")
    claim = ready.turn(None, pick)
    changing(CHANGE_READY)

    reported = 0
    while _one(session, "SELECT count(*) FROM jobsd.ready_executions"):
        facts = {**FROM_THE_HEAD, "foreign": [], "claim_id": claims.draw_id()}
        rows = session.fetch(claim, facts)
        reported += len(rows)

    assert reported == _one(session, "SELECT count(*) FROM jobsd.claimed_executions") == JOBS


def test_a_job_with_a_changed_scheduled_row_is_not_dispatched_twice(
    session: Session, changing: Callable[[str], None]
) -> None:
    _store(session, "scheduled_executions", "id, scheduled_at")
    changing("UPDATE jobsd.scheduled_executions SET priority = 1 - priority")

    while _one(session, "SELECT count(*) FROM jobsd.scheduled_executions"):
        session.fetch(DISPATCH, {"limit": 100, **HEAD.parameters()})
        # What is in both tables now would run once more.
        session.connection.execute("DELETE FROM jobsd.ready_executions")

    last = _one(session, "SELECT nextval('jobsd.jobs_id_seq')")
    first = _one(session, "SELECT min(id) FROM jobsd.jobs")
    assert last - first == 2 * JOBS


def test_a_job_with_a_changed_ready_row_is_not_ready_once_cleared(
    session: Session, changing: Callable[[str], None]
) -> None:
    _store(session, "ready_executions", "id, id")
    changing(CHANGE_READY)

    cleared = 0
    while _one(session, "SELECT count(*) FROM jobsd.ready_executions"):
        cleared += queues.clear("q", session=session)

    assert cleared == JOBS


def test_a_scheduled_job_that_is_ready_too_stops_no_dispatcher(session: Session) -> None:
    _store(session, "scheduled_executions", "id, scheduled_at")
    session.connection.execute(
        "INSERT INTO jobsd.ready_executions SELECT id, id, 0, 'q' FROM jobsd.jobs LIMIT 10"
    )

    session.fetch(DISPATCH, {"limit": JOBS, **HEAD.parameters()})

    assert _one(session, "SELECT count(*) FROM jobsd.ready_executions") == JOBS


def test_a_claimed_job_that_is_ready_too_can_be_released(session: Session) -> None:
    _store(session, "ready_executions", "id, id")
    claim = claims.STATEMENTS["nothing"].with_(ready.CLAIM_ANY)
    (claim_id, _, *_), *jobs = session.fetch(
        claim, {**FROM_THE_HEAD, "claim_id": claims.draw_id()}
    )
    ended = [claims.Ended(claim_id, job[1], "released") for job in jobs]
    session.connection.execute(
        "INSERT INTO jobsd.ready_executions"
        " SELECT job_id, job_id, 0, 'q' FROM jobsd.claimed_executions"
    )

    session.fetch(claims.STATEMENTS["conclude"], claims.conclusion(ended, "w", keep=True))

    assert _one(session, "SELECT count(*) FROM jobsd.claims") == 0
    assert _one(session, "SELECT count(*) FROM jobsd.ready_executions") == JOBS


@pytest.mark.parametrize("table", ["ready_executions", "blocked_executions"])
def test_a_failed_job_with_a_second_place_can_be_retried(session: Session, table: str) -> None:
    job_id = placed.enqueue(key="k" if table == "blocked_executions" else None)
    placed.fail(session, job_id)
    _put(session, table, job_id)

    assert retries.retry_all(session=session) == 1

    assert_only_job_is(session, job_id, "ready")


def test_a_scheduled_limited_job_that_is_blocked_too_stops_no_dispatcher(
    session: Session,
) -> None:
    job_id = placed.enqueue(key="k", wait=60)
    session.connection.execute("UPDATE jobsd.scheduled_executions SET scheduled_at = now()")
    _put(session, "blocked_executions", job_id)

    session.fetch(DISPATCH, {"limit": 10, **HEAD.parameters()})

    assert_only_job_is(session, job_id, "ready")


def test_a_claimed_job_that_is_scheduled_too_can_be_retried(session: Session) -> None:
    ids = [placed.enqueue(), placed.enqueue()]
    session.connection.execute("UPDATE jobsd.jobs SET max_attempts = 2, retries_crash = true")
    for process_id, job_id in enumerate(ids):
        placed.claim(session, process_id, job_id)
        _put(session, "scheduled_executions", job_id)
    claim_id = _one(session, "SELECT id FROM jobsd.claims WHERE process_id = 0")
    ended = [claims.Ended(claim_id, ids[0], "retried", wait_s=10, error="{}")]

    session.fetch(claims.STATEMENTS["conclude"], claims.conclusion(ended, "w", keep=True))
    recover(session, DeadProcess(1, "w", {}, running=placed.in_claims(session, ids[1])))

    assert places(session) == dict.fromkeys(ids, "scheduled")


def test_deleted_jobs_take_no_slot_from_the_next(
    session: Session,
) -> None:
    holder, *deleted, last = [placed.enqueue(key="k") for _ in range(5)]
    session.connection.execute("DELETE FROM jobsd.jobs WHERE id = ANY (%s)", (deleted,))

    discards.discard(holder, session=session)

    assert_job_is(session, last, "ready")


def _put(session: Session, table: str, job_id: int) -> None:
    """Put a job into a table behind everybody's back."""
    columns = {"ready": "position", "scheduled": "scheduled_at", "blocked": "concurrency_key"}
    column = columns[table.partition("_")[0]]
    session.connection.execute(
        f"INSERT INTO jobsd.{table} (job_id, priority, queue_name, {column})"
        f" SELECT id, priority, queue_name, {'id' if column == 'position' else column}"
        " FROM (SELECT id, priority, queue_name, concurrency_key, now() AS scheduled_at"
        " FROM jobsd.jobs) AS job WHERE id = %s".encode(),
        (job_id,),
    )
