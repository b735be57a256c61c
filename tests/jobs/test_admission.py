"""Who enqueues decides over others of the key too, and takes nothing back that was accepted."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.database.connection import Session
from jobsd.jobs import limits
from jobsd.jobs.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from waiting import Stopwatch

if TYPE_CHECKING:
    from jobsd.database.connection import Target


@job(name="sync2", limits_concurrency=Limit(to=2, key=lambda user: user, on_conflict="discard"))
def sync(user: str) -> None: ...


@job(name="welcome2", limits_concurrency=Limit(key=lambda user: user))
def welcome(user: str) -> None: ...


@job(name="wide2", limits_concurrency=Limit(to=10_000))
def wide() -> None: ...


pytestmark = pytest.mark.usefixtures("configured")


@pytest.mark.failure(
    "A scheduled job that may not wait comes due while a transaction holds the lock of "
    "its key.",
    "It is discarded in sight: its row stays, whoever is next to decide.",
)
def test_what_was_accepted_earlier_is_discarded_but_never_erased_by_who_enqueues(
    session: Session,
) -> None:
    due = sync.using(wait=60, priority=1).enqueue("user").id
    # As a dispatcher leaves it when it comes due while somebody holds the lock of its key.
    session.connection.execute(
        "WITH gone AS (DELETE FROM jobsd.scheduled_executions RETURNING *)"
        " INSERT INTO jobsd.blocked_executions (job_id, priority, queue_name,"
        " concurrency_key, yields) SELECT job_id, priority, queue_name, concurrency_key, true"
        " FROM gone"
    )

    stored = enqueue_many(sync.with_args("user") for _ in range(3))

    assert [one.state for one in stored] == ["ready", "ready", "discarded"]
    jobs = session.connection.execute("SELECT id, outcome FROM jobsd.jobs ORDER BY id")
    kept = [(due, "discarded"), (stored[0].id, None), (stored[1].id, None)]
    assert jobs.fetchall() == kept


@pytest.mark.parametrize("many", [False, True])
def test_who_may_see_too_little_asks_a_dispatcher_to_look(
    target: Target, session: Session, *, many: bool
) -> None:
    holder = welcome.enqueue("user")
    with (
        psycopg.connect(target.url) as connection,
        contextlib.closing(Session(target, "listens", listen=True)) as listener,
    ):
        _ = listener.connection
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT FROM jobsd.jobs")
        for table in ("ready_executions", "concurrency_slots"):
            session.connection.execute(f"DELETE FROM jobsd.{table}".encode())
        assert limits.promote(session, ["welcome2/user"]).missed == frozenset()

        if many:
            enqueue_many([welcome.with_args("user")], connection=connection)
        else:
            welcome.using(connection=connection).enqueue("user")
        connection.commit()
        listener.connection.execute("SELECT")

        asked = "limits" if many else "limits welcome2/user"
        assert asked in listener.notifications()
    assert holder.state == "ready"


def test_a_wide_limit_is_filled_in_a_time_that_grows_with_the_jobs_alone(
    session: Session,
) -> None:
    watch = Stopwatch()
    for _ in range(2):
        enqueue_many(wide.with_args() for _ in range(3000))

    # Counted anew for each of them, it were 12 s.
    assert watch.took() < 5
    numbers = session.connection.execute(
        "SELECT count(DISTINCT number), max(number) FROM jobsd.concurrency_slots"
    )
    assert numbers.fetchall() == [(6000, 6000)]


def test_a_slot_that_somebody_has_left_behind_does_not_stop_promotion(
    session: Session,
) -> None:
    holder = welcome.enqueue("user")
    waiting = welcome.enqueue("user")
    session.connection.execute(
        "UPDATE jobsd.concurrency_slots SET key = 'other', job_id = %s", (waiting.id,)
    )
    session.connection.execute(
        "INSERT INTO jobsd.ready_executions SELECT job_id, job_id, priority, queue_name"
        " FROM jobsd.blocked_executions"
    )
    session.connection.execute(
        "DELETE FROM jobsd.ready_executions WHERE job_id = %s", (holder.id,)
    )

    assert limits.promote(session, ["welcome2/user"]).promoted == 1
    ready = session.connection.execute("SELECT job_id FROM jobsd.ready_executions")
    assert ready.fetchall() == [(waiting.id,)]
