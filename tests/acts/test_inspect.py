"""What is read of one job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enqueueing.placed import enqueue
from jobsd.acts import inspect, queues

if TYPE_CHECKING:
    from jobsd.database.connection import Session


def test_of_many_attempts_the_last_logs_are_read_in_order(session: Session) -> None:
    session.connection.execute(
        "INSERT INTO jobsd.attempts (job_id, attempt, started_at, ended_at, log)"
        " SELECT 1, n, now() + n * interval '1 s', now() + n * interval '1 s', 'line ' || n"
        " FROM generate_series(1, 5) AS n"
    )

    read = inspect.logs(session, 1, limit=2)

    assert [(each.attempt, each.text) for each in read] == [(4, "line 4"), (5, "line 5")]


def test_a_result_is_shown_until_it_expires(session: Session) -> None:
    session.connection.execute(
        "INSERT INTO jobsd.results (job_id, state, result, expires_at)"
        " SELECT n, 'finished', to_jsonb(n), now() + (n - 1.5) * interval '1 h'"
        " FROM generate_series(1, 2) AS n"
    )

    kept = inspect.kept(session, 2)

    assert inspect.kept(session, 1) is None
    assert kept is not None
    assert kept.text == "2"


@pytest.mark.usefixtures("default_client")
@pytest.mark.parametrize("names", [None, ["paused", "other"]])
def test_jobs_of_paused_queues_are_not_ahead(session: Session, names: list[str] | None) -> None:
    for queue in ("paused", "other"):
        enqueue(queue)
    job_id = enqueue("mail")
    queues.pause("paused", session=session)

    assert inspect.elsewhere(session, inspect.find(session, job_id), names) == 1
