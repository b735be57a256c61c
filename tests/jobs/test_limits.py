"""A concurrency limit decides, when a job becomes ready, whether it may."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import psycopg
import pytest
from psycopg import errors

from jobsd.errors import EnqueueError, LimitError
from jobsd.jobs import bulk, limits
from jobsd.jobs.client import enqueue_many
from jobsd.jobs.definition import Job, job
from jobsd.jobs.limits import Limit

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target


def _refuse(_: object) -> None:
    raise ValueError("no key today")


@job(limits_concurrency=Limit(key=lambda user: user))
def welcome(user: object) -> None: ...


@job(limits_concurrency=Limit(to=2, key=lambda user: user, on_conflict="discard"))
def sync(user: object) -> None: ...


@job(limits_concurrency=Limit())
def alone() -> None: ...


@job(limits_concurrency=Limit(key=_refuse))
def broken(user: object) -> None: ...


@job(limits_concurrency=Limit(group="accounts", key=lambda a: a))
def charge(a: int) -> None: ...


class Bill(Job):
    limits_concurrency: ClassVar[Limit | None] = Limit(group="accounts", key=lambda a: a)

    def perform(self, a: int) -> None: ...


@job
def free() -> None: ...


pytestmark = pytest.mark.usefixtures("configured")


def _rows(session: Session, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    return session.connection.execute(query.encode(), parameters or None).fetchall()


def _ids(session: Session, table: str) -> list[int]:
    return [row[0] for row in _rows(session, f"SELECT job_id FROM jobsd.{table} ORDER BY 1")]


def _finish(session: Session, *ids: int | None) -> None:
    """Let ready jobs end, as a worker would."""
    for table in ("ready_executions", "concurrency_slots"):
        _rows(session, f"DELETE FROM jobsd.{table} WHERE job_id = ANY (%s) RETURNING 1", [*ids])


def test_the_second_of_a_key_waits_and_other_keys_do_not(session: Session) -> None:
    first, second, other = (
        welcome.enqueue("ann"),
        welcome.enqueue("ann"),
        welcome.enqueue("bob"),
    )

    assert [first.state, second.state, other.state] == ["ready", "blocked", "ready"]
    assert _ids(session, "ready_executions") == [first.id, other.id]
    assert _ids(session, "blocked_executions") == [second.id]
    assert _ids(session, "concurrency_slots") == [first.id, other.id]


@pytest.mark.behaviour(75)
def test_a_conflict_that_may_not_wait_is_discarded_and_says_so(session: Session) -> None:
    stored = [sync.enqueue("ann") for _ in range(3)]

    assert [one.state for one in stored] == ["ready", "ready", "discarded"]
    assert stored[2].id is None
    assert _rows(session, "SELECT count(*) FROM jobsd.jobs") == [(2,)]

    _finish(session, stored[0].id)
    assert sync.enqueue("ann").state == "ready"


@pytest.mark.behaviour(69)
def test_classes_of_one_group_share_their_limit() -> None:
    assert [charge.enqueue(7).state, Bill.enqueue(7).state] == ["ready", "blocked"]
    assert Bill.enqueue(8).state == "ready"


def test_no_key_means_no_limit(session: Session) -> None:
    assert [welcome.enqueue(None).state for _ in range(2)] == ["ready", "ready"]
    assert _ids(session, "concurrency_slots") == []


def test_without_a_key_all_jobs_of_the_class_share_the_limit() -> None:
    assert [alone.enqueue().state for _ in range(2)] == ["ready", "blocked"]


def test_a_key_function_that_raises_stores_nothing(session: Session) -> None:
    with pytest.raises(LimitError, match="broken: the key of limits_concurrency raised"):
        broken.enqueue(1)
    with pytest.raises(EnqueueError, match="no key today"):
        enqueue_many(broken.with_args(1) for _ in range(2))
    assert _rows(session, "SELECT FROM jobsd.jobs") == []


@pytest.mark.behaviour(77)
def test_a_limited_job_for_later_takes_no_slot_yet(session: Session) -> None:
    later = welcome.using(wait=timedelta(hours=1)).enqueue("ann")
    now = welcome.using(wait=timedelta(hours=-1)).enqueue("ann")

    assert [later.state, now.state] == ["scheduled", "ready"]
    assert _rows(session, "SELECT job_id, concurrency_key FROM jobsd.scheduled_executions") == [
        (later.id, f"{__name__}.welcome/ann")
    ]


def test_what_rolls_back_leaves_no_slot_and_no_waiter(target: Target, session: Session) -> None:
    with psycopg.connect(target.url) as connection:
        assert welcome.using(connection=connection).enqueue("ann").state == "ready"
        assert welcome.using(connection=connection).enqueue("ann").state == "blocked"
        connection.rollback()

    assert welcome.enqueue("ann").state == "ready"
    assert len(_ids(session, "concurrency_slots")) == 1


@pytest.mark.behaviour(54)
def test_many_of_all_kinds_are_told_apart(session: Session) -> None:
    drafts = [
        free.with_args(),
        welcome.with_args("ann"),
        welcome.with_args("ann"),
        welcome.using(wait="1h").with_args("ann"),
        sync.with_args("bob"),
        sync.with_args("bob"),
        sync.with_args("bob"),
        welcome.using(priority=-1).with_args("cyd"),
    ]
    stored = enqueue_many(drafts)

    assert [one.state for one in stored] == [
        "ready", "ready", "blocked", "scheduled", "ready", "ready", "discarded", "ready",
    ]  # fmt: skip
    assert (len(stored), stored.stored, stored[6].id) == (8, 7, None)
    assert _rows(session, "SELECT count(*) FROM jobsd.jobs") == [(7,)]
    assert len(_ids(session, "concurrency_slots")) == 4


def test_many_at_once_from_two_sides_do_not_wait_for_each_other(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH", 20)

    def enqueue(keys: range) -> int:
        return enqueue_many(welcome.with_args(key) for key in keys).stored

    there, back = range(50), range(49, -1, -1)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(enqueue, [there, back, there, back])) == [50] * 4
    for found in limits.roomy(session):
        limits.promote(session, found)
    assert len(_ids(session, "concurrency_slots")) == 50
    assert len(_ids(session, "blocked_executions")) == 150


def test_a_snapshot_that_is_too_old_takes_no_slot(target: Target, session: Session) -> None:
    with psycopg.connect(target.url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT 1")
        assert welcome.enqueue("ann").state == "ready"
        with pytest.raises(EnqueueError) as refused:
            welcome.using(connection=connection).enqueue("ann")
    assert isinstance(refused.value.__cause__, errors.SerializationFailure)
    assert len(_ids(session, "concurrency_slots")) == 1


def test_promotion_follows_priority_and_then_age(session: Session) -> None:
    holder = welcome.enqueue("ann")
    low = welcome.enqueue("ann")
    high = welcome.using(priority=-5).enqueue("ann")
    also_high = welcome.using(priority=-5).enqueue("ann")
    key = f"{__name__}.welcome/ann"

    order: list[int] = []
    running = holder.id
    while running is not None:
        _finish(session, running)
        limits.promote(session, [key])
        ready = _ids(session, "ready_executions")
        running = ready[0] if ready else None
        order += ready

    assert order == [high.id, also_high.id, low.id]


@pytest.mark.behaviour(70)
def test_promotion_does_not_wait_for_an_open_transaction(
    target: Target, session: Session
) -> None:
    holder = welcome.enqueue("ann")
    waiting = welcome.enqueue("ann")
    key = f"{__name__}.welcome/ann"
    with psycopg.connect(target.url) as connection:
        late = welcome.using(connection=connection).enqueue("ann")
        _finish(session, holder.id)
        assert limits.promote(session, [key]).missed == {key}
        connection.commit()

    assert limits.promote(session, [key]).promoted == 1
    assert _ids(session, "ready_executions") == [waiting.id]
    assert _ids(session, "blocked_executions") == [late.id]
