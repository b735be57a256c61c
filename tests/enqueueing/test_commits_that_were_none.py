"""PostgreSQL answers the COMMIT of a failed transaction with ROLLBACK; no driver raises.

The libraries take that for a commit: the job must not be stored by it.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from database.pgbouncer import pgbouncer
from enqueueing.drivers import ANY_DRIVER, in_session
from enqueueing.ways import behind, note

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from enqueueing.ways import Stored
    from jobsd.database.connection import Target
    from jobsd.jobs.draft import EnqueuedJob

pytestmark = pytest.mark.usefixtures("default_client")


def _fail(orm: Session) -> None:
    with pytest.raises(SQLAlchemyError):
        orm.execute(sa.text("SELECT 1 / 0"))


def _commit(orm: Session) -> None:
    """Commit what has failed; pg8000 alone raises."""
    with contextlib.suppress(SQLAlchemyError):
        orm.commit()
    orm.rollback()


@pytest.mark.failure(
    "a failed statement is caught in a transaction with `after_commit=` jobs, then COMMIT",
    "the server rolls back though no driver raises; no job is stored",
)
@ANY_DRIVER
def test_a_commit_that_the_server_turns_into_a_rollback_stores_nothing(
    driver: str, target: Target, stored: Stored
) -> None:
    def work(orm: Session) -> None:
        behind(orm, 1)
        with orm.begin_nested():
            behind(orm, 2)
        _fail(orm)
        _commit(orm)
        behind(orm, 3)
        orm.commit()

    in_session(driver, target, work)

    assert stored() == [3]


@ANY_DRIVER
def test_a_job_stays_pending_when_its_commit_was_none(driver: str, target: Target) -> None:
    handles: list[EnqueuedJob] = []

    def work(orm: Session) -> None:
        handles.append(note.using(after_commit=orm).enqueue(1))
        _fail(orm)
        _commit(orm)

    in_session(driver, target, work)

    assert [(handle.id, handle.state) for handle in handles] == [(None, "pending")]


@ANY_DRIVER
def test_a_failure_that_a_savepoint_has_taken_back_is_committed(
    driver: str, target: Target, stored: Stored
) -> None:
    def work(orm: Session) -> None:
        behind(orm, 1)
        with contextlib.suppress(SQLAlchemyError), orm.begin_nested():
            behind(orm, 2)
            orm.execute(sa.text("SELECT 1 / 0"))
        behind(orm, 3)
        orm.commit()

    in_session(driver, target, work)

    assert stored() == [1, 3]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pg8000"])  # asyncpg refuses that
def test_a_transaction_that_was_rolled_back_by_a_statement_takes_only_its_own_jobs(
    driver: str, target: Target, stored: Stored
) -> None:
    def work(orm: Session) -> None:
        behind(orm, 1)
        orm.execute(sa.text("ROLLBACK"))
        orm.execute(sa.text("BEGIN"))
        behind(orm, 2)
        orm.commit()

    in_session(driver, target, work)

    assert stored() == [2]


def test_a_pooler_may_stand_between(target: Target, stored: Stored) -> None:
    with pgbouncer(target.url) as url:
        through = replace(target, url=url)

        def work(orm: Session) -> None:
            behind(orm, 1)
            orm.commit()
            behind(orm, 2)
            _fail(orm)
            _commit(orm)

        in_session("psycopg2", through, work)

    assert stored() == [1]


@ANY_DRIVER
def test_a_session_over_any_driver_commits_its_jobs(
    driver: str, target: Target, stored: Stored
) -> None:
    def work(orm: Session) -> None:
        with orm.begin():
            behind(orm, 1)
            behind(orm, 2)
        with contextlib.suppress(KeyError), orm.begin():
            behind(orm, 3)
            raise KeyError

    in_session(driver, target, work)

    assert stored() == [1, 2]
