"""A commit that nothing can follow: who committed hears of it, in one typed error."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from enqueueing.cut_off import cut_off_once_it_waits
from enqueueing.ways import behind
from jobsd.enqueueing import client
from jobsd.enqueueing.awaiting_commit import Pending, settle
from jobsd.enqueueing.client import Client
from jobsd.errors import AfterCommitError, DatabaseUnreachableError, EnqueueError, Error
from jobsd.jobs.draft import Draft, EnqueuedJob

if TYPE_CHECKING:
    from enqueueing.ways import Stored
    from jobsd.database.connection import Session as QueueSession
    from jobsd.database.connection import Target

pytestmark = pytest.mark.usefixtures("default_client")

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


def test_a_failed_transaction_refuses_with_the_cause(engine: sa.Engine) -> None:
    with Session(engine) as orm:
        with pytest.raises(SQLAlchemyError):
            orm.execute(sa.text("SELECT 1 / 0"))

        with pytest.raises(EnqueueError) as caught:
            behind(orm, 1)

    cause: Any = caught.value.__cause__
    assert isinstance(cause.orig, psycopg.errors.InFailedSqlTransaction)


def test_a_commit_with_a_lost_connection_stores_nothing(
    engine: sa.Engine, session: QueueSession, stored: Stored
) -> None:
    with Session(engine) as orm:
        behind(orm, 1)
        _end_all_others(session)

        with pytest.raises(SQLAlchemyError):
            orm.commit()

    assert stored() == []


def test_a_commit_that_a_constraint_refuses_stores_nothing(
    engine: sa.Engine, stored: Stored
) -> None:
    with Session(engine) as orm:
        orm.execute(
            sa.text("CREATE TEMP TABLE one (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        )
        orm.execute(sa.text("INSERT INTO one VALUES (1), (1)"))
        behind(orm, 1)

        with pytest.raises(SQLAlchemyError):
            orm.commit()

    assert stored() == []


def test_a_failed_enqueue_raises_its_jobs_at_the_commit(
    engine: sa.Engine, target: Target
) -> None:
    with Session(engine) as orm:
        behind(orm, 1)
        behind(orm, 2)
        client.configure(NOWHERE)

        with pytest.raises(AfterCommitError, match="but its 2 jobs were not enq") as caught:
            orm.commit()

    assert isinstance(caught.value.__cause__, DatabaseUnreachableError)
    assert caught.value.known
    client.configure(client=Client(target))
    assert len(client.enqueue_many(caught.value.jobs)) == 2


@pytest.mark.parametrize("end", ["in progress", None])
def test_a_commit_that_the_server_does_not_know_the_end_of_raises_its_jobs(
    end: str | None,
) -> None:
    drafted = Draft("app.job", "default", 0, "[]")
    pending = Pending(drafted, EnqueuedJob(None, "pending", "app.job"), transaction=7)

    with pytest.raises(AfterCommitError) as raised:
        settle([pending], lambda _: end, lambda _: [])

    assert not raised.value.known
    assert raised.value.jobs == (drafted,)


@pytest.mark.failure(
    "the server of an `after_commit` connection is lost right after the commit",
    "the caller that committed gets `AfterCommitError` with all its jobs, which says that the"
    " outcome is not known",
)
def test_a_commit_of_unknown_outcome_raises_its_jobs(target: Target) -> None:
    reached = [psycopg.connect(target.url)]
    engine = sa.create_engine("postgresql+psycopg://", creator=reached.pop, poolclass=NullPool)
    with Session(engine) as orm:
        behind(orm, 1)
        behind(orm, 2)

        with pytest.raises(AfterCommitError, match="not known whether the trans") as caught:
            orm.commit()

    assert [drafted.arguments for drafted in caught.value.jobs] == ["[1]", "[2]"]
    assert not caught.value.known


@pytest.mark.failure(
    "the queue's server is lost while it enqueues what was `after_commit`",
    "the caller that committed gets `AfterCommitError`, which says that the outcome is not"
    " known, unless the server had not been asked to commit yet",
)
@pytest.mark.parametrize(("jobs", "known"), [(1, False), (2, True)])
def test_a_queue_lost_amid_the_enqueue_raises_an_unknown_outcome(
    jobs: int, engine: sa.Engine, target: Target, session: QueueSession, *, known: bool
) -> None:
    pool = Client(target)
    client.configure(client=pool)
    with pool.session() as lent:
        pid, socket_number = lent.connection.info.backend_pid, lent.connection.fileno()
    with Session(engine) as orm:
        for number in range(jobs):
            behind(orm, number)
        with (
            session.connection.transaction(),
            cut_off_once_it_waits(session, pid, socket_number),
            pytest.raises(AfterCommitError) as caught,
        ):
            orm.commit()

    assert (caught.value.known, len(caught.value.jobs)) == (known, jobs)
    assert ("it is not known whether its" in str(caught.value)) != known


def test_a_foreign_function_that_raises_at_the_commit_takes_no_job_with_it(
    engine: sa.Engine, stored: Stored
) -> None:
    with Session(engine) as orm:
        event.listen(orm, "after_commit", _fails)
        behind(orm, 1)

        with contextlib.suppress(KeyError):
            orm.commit()

    assert stored() == [1]


def _fails(_: object) -> None:
    raise KeyError


def test_a_standby_is_refused_in_words_and_its_transaction_goes_on(engine: sa.Engine) -> None:
    with Session(engine) as orm:
        orm.execute(sa.text("CREATE SCHEMA standby"))
        reported = "CREATE FUNCTION standby.pg_is_in_recovery() RETURNS bool RETURN true"
        orm.execute(sa.text(reported))
        orm.execute(sa.text("SET LOCAL search_path = standby, pg_catalog"))

        with pytest.raises(Error, match="this server is a standby, which commits nothing"):
            behind(orm, 1)

        assert orm.scalar(sa.text("SELECT 1")) == 1


def _end_all_others(session: QueueSession) -> None:
    session.connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )
