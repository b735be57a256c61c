"""Keys with one waiting job each: their slots are taken by one claim, in turn among others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.states import series
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target

pytestmark = pytest.mark.usefixtures("default_client")

_MEETING: dict[str, Any] = {
    "after_priorities": "{-2147483648}",
    "after_positions": "{0}",
    "below_priorities": "{2147483648}",
    "below_positions": "{0}",
    **dict.fromkeys(("until_turn", "until_priority", "until_position")),
    "depth": 500,
    "keys": [],
    "flowing": [],
}
_CLAIM: dict[str, Any] = {
    "overdue": ["ours"],
    "everything": True,
    "queues": ["*"],
    "process_id": 1,
    "drawn": 1,
    "asked_at": 0.0,
    "share": 4000,
    "budget": 2_000_000,
}
_SHAPE = series.Shape(long=500, deep=4, threads=3, singles=True)


@job(name="ours", limits_concurrency=Limit(key=lambda key: key, group="group"))
def ours(key: str) -> None: ...


@job(name="theirs", limits_concurrency=Limit(key=lambda key: key, group="group"))
def theirs(key: str) -> None: ...


def _claim(session: Session, limit: int = 500) -> tuple[series.Met, series.Claimed]:
    (row,) = session.fetch_prepared(series.KEYS_ANY, {**_MEETING, "limit": limit})
    met = series.met(row, [None])
    request = {**series.wanted(met, (), _SHAPE, limit), **_CLAIM}
    return met, series.claimed(session.fetch_prepared(series.STATEMENTS["claim"], request))


def test_one_claim_takes_a_slot_of_each_key(session: Session) -> None:
    enqueue_many(ours.with_args(str(number)) for number in range(50))

    _claim(session)

    stored = session.connection.execute(
        "SELECT count(*), count(DISTINCT concurrency_key), min(slot), max(slot),"
        " max(cardinality(job_ids)) FROM jobsd.claims"
    ).fetchone()
    assert stored == (50, 50, 1, 1, 1)


def test_they_come_before_and_behind_series_by_their_urgency(session: Session) -> None:
    ours.using(priority=1).enqueue("late")
    enqueue_many(ours.with_args("many") for _ in range(3))
    ours.using(priority=-1).enqueue("early")

    met, claimed = _claim(session, limit=2)

    assert [each.concurrency_key for each in claimed.jobs] == ["group/early", "group/many"]
    assert met.left(claimed)


def test_a_locked_blocked_job_is_left(session: Session, target: Target) -> None:
    ours.enqueue("locked")
    ours.enqueue("free")

    with psycopg.connect(target.url) as other:
        other.execute(
            "SELECT FROM jobsd.blocked_executions"
            " WHERE concurrency_key = 'group/locked' FOR UPDATE"
        )
        met, claimed = _claim(session)

    assert [each.concurrency_key for each in claimed.jobs] == ["group/free"]
    assert met.left(claimed)


def test_a_blocked_job_of_a_class_unknown_here_is_reported_and_stays(session: Session) -> None:
    theirs.enqueue("a")

    met, claimed = _claim(session)

    assert (claimed.jobs, claimed.unknown) == ([], [("default", "theirs")])
    assert not met.left(claimed)
    assert session.connection.execute(
        "SELECT count(*) FROM jobsd.blocked_executions"
    ).fetchone() == (1,)


def test_a_blocked_row_without_a_job_is_deleted(session: Session) -> None:
    ours.enqueue("a")
    session.connection.execute("DELETE FROM jobsd.jobs")

    _, claimed = _claim(session)

    rows = session.connection.execute("SELECT FROM jobsd.blocked_executions").fetchall()
    assert (claimed.jobs, rows) == ([], [])


@pytest.mark.parametrize("to", [1, 2])
def test_a_job_beside_a_taken_slot_of_its_key_is_not_alone(session: Session, to: int) -> None:
    ours.enqueue("a")
    session.connection.execute(
        "UPDATE jobsd.blocked_executions SET concurrency_limit = %s", (to,)
    )
    session.connection.execute(
        "INSERT INTO jobsd.claims (process_id, job_ids, concurrency_key, slot)"
        " VALUES (2, '{0}', 'group/a', 1)"
    )

    met, claimed = _claim(session)

    slots = session.connection.execute("SELECT slot FROM jobsd.claims ORDER BY slot").fetchall()
    assert len(claimed.jobs) == to - 1
    assert slots == [(slot,) for slot in range(1, to + 1)]
    assert met.full == 2 - to


def test_a_job_beside_one_not_yet_met_is_not_alone(session: Session) -> None:
    first, second = (ours.enqueue("a").id for _ in range(2))
    session.connection.execute(
        "UPDATE jobsd.blocked_executions SET position = NULL WHERE job_id = %s", (first,)
    )

    _, claimed = _claim(session)

    assert [each.id for each in claimed.jobs] == [first, second]
    assert len({each.claim_id for each in claimed.jobs}) == 1


def test_a_slot_being_taken_by_another_session_is_not_taken_twice(
    session: Session, target: Target
) -> None:
    enqueue_many(ours.with_args(key) for key in ("a", "b"))

    with psycopg.connect(target.url) as other, ThreadPoolExecutor() as threads:
        other.execute(
            "INSERT INTO jobsd.claims (process_id, job_ids, concurrency_key, slot)"
            " VALUES (2, '{0}', 'group/b', 1)"
        )
        claim = threads.submit(_claim, session)
        _wait_for_a_lock(other)
        other.commit()
        met, claimed = claim.result(timeout=60)

    slots = session.connection.execute(
        "SELECT concurrency_key, process_id FROM jobsd.claims ORDER BY 1"
    ).fetchall()
    waiting = session.connection.execute(
        "SELECT concurrency_key FROM jobsd.blocked_executions ORDER BY 1"
    ).fetchall()
    assert [each.concurrency_key for each in claimed.jobs] == ["group/a"]
    assert met.left(claimed)
    assert (slots, waiting) == ([("group/a", 1), ("group/b", 2)], [("group/b",)])


def test_slots_beside_those_of_series_are_asked_for(session: Session, target: Target) -> None:
    enqueue_many(ours.with_args(key) for key in ("a", "b", "b"))

    with psycopg.connect(target.url) as other, ThreadPoolExecutor() as threads:
        other.execute(
            "INSERT INTO jobsd.claims (process_id, job_ids, concurrency_key, slot)"
            " VALUES (2, '{0}', 'group/a', 1)"
        )
        claim = threads.submit(_claim, session)
        _wait_for_a_lock(other)
        other.commit()
        _, claimed = claim.result(timeout=60)

    assert [each.concurrency_key for each in claimed.jobs] == ["group/b"] * 2


def _wait_for_a_lock(connection: psycopg.Connection) -> None:
    query = (
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE NOT granted AND datname = current_database()"
    )
    wait_until(lambda: connection.execute(query).fetchone() == (1,))
