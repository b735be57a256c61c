"""Each way to enqueue tells with the id of a job when it was created, as its row says."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy.orm import Session as OrmSession

from enqueueing.drivers import ANY_DRIVER, in_session
from jobsd.clock import microseconds_of, moment_of, utc_now
from jobsd.enqueueing.client import aenqueue_many, enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.unique import Unique

if TYPE_CHECKING:
    from collections.abc import Iterable

    import sqlalchemy as sa

    from harness.event_recorder import EventRecorder
    from jobsd.database.connection import Session, Target
    from jobsd.jobs.draft import EnqueuedJob

pytestmark = pytest.mark.usefixtures("default_client")


@job
def plain(n: int) -> None: ...


@job(limits_concurrency=Limit(to=1, key="all"))
def limited(n: int) -> None: ...


@job(limits_concurrency=Limit(to=1, key="all", group="drops", on_conflict="discard"))
def picky(n: int) -> None: ...


@job(expires_in="1h")
def expiring(n: int) -> None: ...


@job(unique=Unique(key="n"))
def once(n: int) -> None: ...


@job(unique=Unique(key="n", until="started", on_conflict="replace"))
def replaced(n: int, m: int = 0) -> None: ...


KINDS: list[Any] = [plain, limited, picky, expiring, once, replaced]
ANY_KIND = pytest.mark.parametrize(
    ("made", "options"),
    [*((made, {}) for made in KINDS), *((made, {"wait": "1h"}) for made in KINDS)],
)


def _has_moments_of_rows(session: Session, handles: Iterable[EnqueuedJob]) -> None:
    stored = dict(
        session.connection.execute("SELECT id, created_at FROM jobsd.jobs").fetchall()
    )
    of_handles = {handle.id: handle.created_at for handle in handles}
    assert of_handles
    assert None not in of_handles
    assert of_handles == {job_id: stored[job_id] for job_id in of_handles}
    assert all(each is not None and each.tzinfo is not None for each in of_handles.values())


def test_microseconds_and_moments_are_one_another() -> None:
    for moment in (utc_now(), datetime.fromisoformat("2260-02-03T04:05:06.000007+05:00")):
        assert moment_of(microseconds_of(moment)) == moment
    assert microseconds_of(moment_of(1) + timedelta(seconds=1)) == 1_000_001


@ANY_KIND
def test_a_job_alone_is_returned_with_its_moment(
    made: Any, options: Any, session: Session
) -> None:
    _has_moments_of_rows(session, [made.using(**options).enqueue(1)])


@ANY_KIND
def test_a_job_of_an_event_loop_is_returned_with_its_moment(
    made: Any, options: Any, session: Session
) -> None:
    _has_moments_of_rows(session, [asyncio.run(made.using(**options).aenqueue(1))])


def test_jobs_of_coroutines_at_once_are_returned_with_their_moments(session: Session) -> None:
    async def all_of_them() -> list[EnqueuedJob]:
        return await asyncio.gather(*(plain.aenqueue(n) for n in range(5)))

    _has_moments_of_rows(session, asyncio.run(all_of_them()))


@ANY_KIND
@ANY_DRIVER
def test_a_job_in_a_transaction_of_any_driver_is_returned_with_its_moment(
    driver: str, made: Any, options: Any, target: Target, session: Session
) -> None:
    handles: list[EnqueuedJob] = []

    def work(orm: OrmSession) -> None:
        using = made.using(connection=orm, **options)
        handles.append(using.enqueue(1))
        handles.extend(enqueue_many([plain.with_args(2), once.with_args(3)], connection=orm))
        orm.commit()

    in_session(driver, target, work)

    _has_moments_of_rows(session, handles)


def test_a_duplicate_is_returned_with_the_moment_of_the_job_that_is_there(
    session: Session,
) -> None:
    first = once.enqueue(1)
    waits = replaced.enqueue(1, 1)

    again = once.enqueue(1)
    newer = replaced.enqueue(1, 2)
    many = enqueue_many([once.with_args(1), once.with_args(2), replaced.with_args(1, 3)])

    assert (again.state, again.id, again.created_at) == (
        "duplicate",
        first.id,
        first.created_at,
    )
    assert (newer.id, newer.created_at) == (waits.id, waits.created_at)
    assert [each.created_at for each in many][::2] == [first.created_at, waits.created_at]
    assert [each.created_at for each in many[-3:]] == [each.created_at for each in many]
    assert many[-2].created_at == many[1].created_at != first.created_at
    _has_moments_of_rows(session, [again, newer, *many])


def test_a_duplicate_within_a_bulk_is_returned_with_the_moment_of_the_bulk(
    session: Session,
) -> None:
    many = enqueue_many([once.with_args(1), once.with_args(1), picky.with_args(1)])

    assert [each.state for each in many] == ["ready", "duplicate", "ready"]
    _has_moments_of_rows(session, many)


def test_jobs_of_several_batches_are_returned_with_one_moment(session: Session) -> None:
    many = enqueue_many(plain.with_args(n) for n in range(4500))

    assert len({each.created_at for each in many}) == 1
    _has_moments_of_rows(session, many[:10] + many[-10:])


def test_a_bulk_of_an_event_loop_is_returned_with_its_moment(session: Session) -> None:
    _has_moments_of_rows(
        session, asyncio.run(aenqueue_many([plain.with_args(1), once.with_args(1)]))
    )


def test_a_job_that_is_not_stored_has_no_created_at() -> None:
    picky.enqueue(1)

    dropped = picky.enqueue(2)
    many = enqueue_many([picky.with_args(3)])

    assert (dropped.id, dropped.created_at) == (None, None)
    assert (many[0].id, many[0].created_at) == (None, None)


def test_a_job_behind_a_commit_is_returned_with_its_moment(
    engine: sa.Engine, session: Session
) -> None:
    with OrmSession(engine) as orm:
        handle = plain.using(after_commit=orm).enqueue(1)
        assert handle.created_at is None

        orm.commit()

    _has_moments_of_rows(session, [handle])


def test_the_event_of_an_enqueue_has_the_moment(recorder: EventRecorder) -> None:
    found = recorder.facts("job.enqueued")

    handle = plain.enqueue(1)

    assert handle.created_at is not None
    assert [each["created_at"] for each in found] == [handle.created_at.isoformat()]


def test_a_session_with_other_settings_returns_the_same_moment(
    target: Target, session: Session
) -> None:
    with psycopg.connect(target.url) as connection:
        connection.execute("SET extra_float_digits = -15")
        connection.execute("SET TimeZone = 'Asia/Kathmandu'")
        connection.execute("SET DateStyle = 'SQL, DMY'")
        one = plain.using(connection=connection).enqueue(1)
        many = enqueue_many([plain.with_args(2)], connection=connection)

    _has_moments_of_rows(session, [one, *many])
