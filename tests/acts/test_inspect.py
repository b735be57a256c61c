"""What is read of one job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.acts import inspect

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
