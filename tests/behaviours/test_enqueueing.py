"""What becomes of a job that is enqueued beside somebody's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.jobs import client
from jobsd.jobs.client import Client
from jobsd.jobs.definition import job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session, Target


@job
def beside() -> None: ...


@pytest.fixture(autouse=True)
def _configured(target: Target) -> Iterator[None]:
    client.configure(client=Client(target))
    yield
    client.configure()


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
