"""What becomes of a job that is enqueued beside somebody's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.jobs.definition import job

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target


@job
def beside() -> None: ...


pytestmark = pytest.mark.usefixtures("default_client")


@pytest.mark.behaviour(50)
def test_over_a_connection_of_its_own_a_job_survives_the_rollback_of_another(
    target: Target, session: Session
) -> None:
    with psycopg.connect(target.url) as connection:
        connection.execute("CREATE TABLE jobsd.accounts ()")
        stored = beside.enqueue()
        connection.rollback()

    (row,) = session.connection.execute(
        "SELECT array_agg(job_id), to_regclass('jobsd.accounts') FROM jobsd.ready_executions"
    ).fetchall()
    assert row == ([stored.id], None)
