"""Who enqueues decides over others of the key too, and takes nothing back that was accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.jobs import client
from jobsd.jobs.client import Client, enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session, Target


@job(name="sync2", limits_concurrency=Limit(to=2, key=lambda user: user, on_conflict="discard"))
def sync(user: str) -> None: ...


@pytest.fixture(autouse=True)
def _configured(target: Target) -> Iterator[None]:
    client.configure(client=Client(target))
    yield
    client.configure()


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
