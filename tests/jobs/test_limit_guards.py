"""What holds a limit where its lock alone does not: rows that others have locked, or taken."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.jobs import limits
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target


@job(name="welcome5", limits_concurrency=Limit(key=lambda user: user))
def welcome(user: object) -> None: ...


pytestmark = pytest.mark.usefixtures("configured")


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

        assert limits.promote(session, ["welcome5/ann"]).promoted == 1

    slots = session.connection.execute("SELECT job_id FROM jobsd.concurrency_slots")
    assert slots.fetchall() == [(second.id,)]


@pytest.mark.parametrize("yields", [False, True])
def test_a_key_whose_only_job_is_locked_is_asked_for_again(
    target: Target, session: Session, *, yields: bool
) -> None:
    session.connection.execute("SELECT jobsd.enqueue('x', concurrency_key => 'k')")
    session.connection.execute(
        "WITH gone AS (DELETE FROM jobsd.ready_executions RETURNING *), slot AS (DELETE FROM"
        " jobsd.concurrency_slots) INSERT INTO jobsd.blocked_executions (job_id, priority,"
        " queue_name, concurrency_key, yields) SELECT job_id, priority, queue_name, 'k', %s"
        " FROM gone",
        (yields,),
    )
    with psycopg.connect(target.url) as other:
        other.execute("SELECT FROM jobsd.blocked_executions FOR UPDATE")

        assert limits.promote(session, ["k"]).missed == {"k"}

    assert limits.promote(session, ["k"]) == limits.Promotion(promoted=1)


def test_a_slot_that_somebody_took_without_the_lock_is_not_taken_twice(
    target: Target, session: Session
) -> None:
    """As a program of the version before may do while the tables are migrated."""
    took = (
        "INSERT INTO jobsd.concurrency_slots (job_id, number, key)"
        " VALUES (%s, 1, 'welcome5/ann')"
    )
    with psycopg.connect(target.url) as other, ThreadPoolExecutor(1) as pool:
        other.execute(took, (-1,))
        mine = pool.submit(welcome.enqueue, "ann")
        blocks = "SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted"
        wait_until(lambda: session.connection.execute(blocks).fetchall())
        other.commit()
        assert mine.result(10).state == "blocked"
        other.execute("DELETE FROM jobsd.concurrency_slots")
        other.commit()

        other.execute(took, (-2,))
        found = pool.submit(limits.promote, session, ["welcome5/ann"])
        wait_until(lambda: other.execute(blocks).fetchall())
        other.commit()
        assert found.result(10).missed == {"welcome5/ann"}

    assert not session.connection.execute("SELECT FROM jobsd.ready_executions").fetchall()
