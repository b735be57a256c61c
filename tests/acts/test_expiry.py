"""When a job expires, by each way to enqueue it, and what forgets it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from enqueueing import placed
from enqueueing.drivers import ANY_DRIVER, in_session
from jobsd.acts import discards, expirations
from jobsd.acts import retries as failures
from jobsd.database.commits import Commits
from jobsd.enqueueing import client
from jobsd.enqueueing.client import enqueue_many
from jobsd.errors import Error
from jobsd.jobs.definition import Job, job
from jobsd.jobs.limits import Limit
from jobsd.jobs.unique import Unique
from jobsd.operations.job_info import find
from jobsd.recurring.tasks import RecurringTask

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Session, Target
    from rows import Rows

pytestmark = pytest.mark.usefixtures("default_client")


@job(expires_in="1h")
def late(n: int = 0) -> None: ...


@job
def whenever(n: int = 0) -> None: ...


@job(expires_in=3600, limits_concurrency=Limit(to=1, key="n"))
def alone(n: int = 0) -> None: ...


@job(expires_in=timedelta(hours=1), limits_concurrency=Limit(1, "n", on_conflict="discard"))
def dropped(n: int = 0) -> None: ...


@job(expires_in="1h", unique=Unique(key="n", until="started", on_conflict="replace"))
def debounced(n: int = 0) -> None: ...


class Late(Job):
    expires_in = "60m"

    def perform(self) -> None: ...


def in_bulk() -> None:
    enqueue_many([whenever.with_args(), late.using(wait="2h").with_args(), alone.with_args()])


def in_a_transaction() -> None:
    with client.default_client().session() as session, session.connection.transaction():
        late.using(connection=session.connection, wait="1h").enqueue()


def every_hour() -> None:
    RecurringTask.schedule("hourly", class_name=late.definition.name, schedule="@hourly")
    found = RecurringTask.find_by(name="hourly")
    assert found is not None
    found.run_now()


def from_sql() -> None:
    call = "SELECT jobsd.enqueue('x', expires_in => '1 h', wait => '5 min')"
    unique = "SELECT jobsd.enqueue('x', expires_in => '1 h', unique_key => 'k')"
    with client.default_client().session() as session:
        session.connection.execute(call.encode())
        session.connection.execute(unique.encode())


LEFT = "extract(epoch FROM expires_at - now())::float8"

WAYS: list[Callable[[], object]] = [
    late.enqueue,
    Late.enqueue,
    alone.enqueue,
    dropped.enqueue,
    debounced.enqueue,
    late.using(wait="3h").enqueue,
    alone.using(wait_until=datetime.now(UTC) + timedelta(days=1)).enqueue,
    whenever.using(expires_in="1h").enqueue,
    late.using(expires_in="1h", wait_until=datetime(2020, 1, 1, tzinfo=UTC)).enqueue,
    in_bulk,
    in_a_transaction,
    every_hour,
    from_sql,
]


@pytest.mark.parametrize("put", WAYS, ids=lambda put: getattr(put, "__qualname__", "x"))
def test_it_counts_from_when_the_job_was_first_due(
    put: Callable[[], object], rows: Rows
) -> None:
    put()

    found = rows(
        "SELECT extract(epoch FROM expires_at - greatest(scheduled_at, created_at))::float8"
        " FROM jobsd.expirations JOIN jobsd.jobs AS job ON job.id = job_id"
        " WHERE job.expires_in = interval '1 h'"
    )
    assert found
    assert all(3600 <= seconds < 3630 for seconds in found)


@ANY_DRIVER
def test_every_driver_stores_the_expiry(driver: str, target: Target, rows: Rows) -> None:
    def work(session: Any) -> None:
        late.using(connection=session).enqueue()
        debounced.using(connection=session).enqueue(1)
        enqueue_many(
            [late.with_args(), whenever.with_args(), debounced.with_args(2)], connection=session
        )
        session.commit()

    in_session(driver, target, work)

    assert rows(f"SELECT {LEFT} > 3590 FROM jobsd.expirations") == [True] * 4


def test_a_job_that_does_not_expire_leaves_nothing(rows: Rows) -> None:
    whenever.enqueue()
    enqueue_many([whenever.with_args(1)])

    assert rows("SELECT count(*) FROM jobsd.expirations") == [0]


def test_a_replaced_job_expires_as_the_replacement_does(rows: Rows) -> None:
    first = debounced.enqueue(1)
    debounced.using(expires_in="2h", wait="1h").enqueue(1)

    (left,) = rows(f"SELECT {LEFT} FROM jobsd.expirations")
    assert 10_700 < left <= 10_800
    enqueue_many([debounced.using(wait="5h").with_args(1)])
    (left,) = rows(f"SELECT {LEFT} FROM jobsd.expirations")
    assert 21_500 < left <= 21_600
    assert first.id is not None
    info = find(first.id)
    assert info is not None
    assert info.details["expires_at"] == rows("SELECT expires_at FROM jobsd.expirations")[0]


def test_a_retry_by_hand_has_as_much_time_again(rows: Rows, session: Session) -> None:
    failed = [late.enqueue().id, late.enqueue().id]
    placed.fail(session, *(each or 0 for each in failed))
    rows("UPDATE jobsd.expirations SET expires_at = now() - interval '1 h'")
    assert list(expirations.discard(Commits(session), lambda _: None, keep=True)) != []
    assert rows("SELECT count(*) FROM jobsd.expirations") == [0]

    failures.retry(failed[0] or 0)
    rows("SELECT jobsd.retry(%s)", failed[1])

    assert rows("SELECT job_id FROM jobsd.expirations ORDER BY 1") == failed
    assert rows("SELECT count(*) FROM jobsd.expirations WHERE expires_at > now()") == [2]


def test_a_retry_by_hand_moves_an_expiry_that_is_still_to_come(
    rows: Rows, session: Session
) -> None:
    failed = late.enqueue().id or 0
    placed.fail(session, failed)
    rows("UPDATE jobsd.expirations SET expires_at = now() + interval '1 min'")

    failures.retry(failed)

    ahead = "SELECT expires_at > now() + interval '50 min' FROM jobsd.expirations"
    assert rows(ahead) == [True]


def test_expirations_of_ended_jobs_are_deleted(rows: Rows, session: Session) -> None:
    done, gone, waits = (late.enqueue(n).id for n in range(3))
    rows("UPDATE jobsd.jobs SET outcome = 'finished' WHERE id = %s", done)
    rows("DELETE FROM jobsd.jobs WHERE id = %s", gone)

    assert len(list(expirations.forget(session))) == 1

    assert rows("SELECT job_id FROM jobsd.expirations") == [waits]


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), "101y", "soon", True, "40000d"])
def test_an_invalid_expires_in_is_refused(wrong: Any) -> None:
    with pytest.raises(Error, match="expires_in"):
        job(expires_in=wrong)(lambda: None)
    with pytest.raises(Error, match="expires_in"):
        whenever.using(expires_in=wrong).enqueue()


@pytest.mark.parametrize("wrong", ["0", "-1 s", "101 years"])
def test_sql_refuses_the_same(rows: Rows, wrong: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="expires_in: longer than"):
        rows("SELECT jobsd.enqueue('x', expires_in => %s::interval)", wrong)


def test_the_reason_of_a_discarded_job_is_reported(rows: Rows, session: Session) -> None:
    expired = late.enqueue().id or 0
    rows("UPDATE jobsd.expirations SET expires_at = now() - interval '1 s'")
    list(expirations.discard(Commits(session), lambda _: None, keep=True))
    by_hand = whenever.enqueue().id or 0
    discards.discard(by_hand)
    waits = whenever.using(wait="1h").enqueue().id or 0

    found = {each: find(each) for each in (expired, by_hand, waits)}

    assert [info and info.reason for info in found.values()] == [
        *("expired", "by hand", "scheduled")
    ]
