"""A concurrency limit decides, when a job becomes ready, whether it may."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

import psycopg
import pytest
from psycopg import errors

from jobsd.database.statements import as_text
from jobsd.enqueueing import bulk
from jobsd.enqueueing.client import enqueue_many
from jobsd.errors import EnqueueError, LimitError
from jobsd.jobs import limits
from jobsd.jobs.definition import Job, job
from jobsd.jobs.limits import Limit
from rows import fetch

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


@job(limits_concurrency=Limit(group="calls", key="all", on_conflict="discard"))
def impatient(n: int) -> None: ...


@job(limits_concurrency=Limit(group="calls", key="all"))
def patient(n: int) -> None: ...


@job(limits_concurrency=Limit(key=_refuse))
def broken(user: object) -> None: ...


@job(limits_concurrency=Limit(group="accounts", key=lambda a: a))
def charge(a: int) -> None: ...


class Bill(Job):
    limits_concurrency: ClassVar[Limit | None] = Limit(group="accounts", key=lambda a: a)

    def perform(self, a: int) -> None: ...


@job
def free() -> None: ...


pytestmark = pytest.mark.usefixtures("default_client")


def _ids(session: Session, table: str) -> list[int]:
    return [row[0] for row in fetch(session, f"SELECT job_id FROM jobsd.{table} ORDER BY 1")]


@pytest.mark.behaviour(54)
def test_all_of_a_key_are_ready_and_wait_in_its_order(session: Session) -> None:
    first, second, other = (
        welcome.enqueue("ann"),
        welcome.enqueue("ann"),
        welcome.enqueue("bob"),
    )

    assert [first.state, second.state, other.state] == ["ready", "ready", "ready"]
    assert _ids(session, "ready_executions") == []
    assert fetch(
        session,
        "SELECT job_id, position, concurrency_key, concurrency_limit, yields"
        " FROM jobsd.blocked_executions ORDER BY job_id",
    ) == [
        (each.id, each.id, f"{__name__}.welcome/{user}", 1, False)
        for each, user in ((first, "ann"), (second, "ann"), (other, "bob"))
    ]


@pytest.mark.behaviour(75)
def test_a_discarding_conflict_returns_discarded(session: Session) -> None:
    stored = [sync.enqueue("ann") for _ in range(3)]

    assert [one.state for one in stored] == ["ready", "ready", "discarded"]
    assert stored[2].id is None
    assert fetch(session, "SELECT count(*) FROM jobsd.jobs") == [(2,)]

    fetch(
        session,
        "DELETE FROM jobsd.blocked_executions WHERE job_id = %s RETURNING 1",
        stored[0].id,
    )
    assert sync.enqueue("ann").state == "ready"


@pytest.mark.behaviour(75)
def test_in_a_bulk_a_discarding_job_counts_only_earlier_ones() -> None:
    """As one after the other: others of the key that are patient, and less urgent ones."""
    drafts = [impatient.with_args(n) for n in range(2)]
    more = [patient.with_args(n) for n in range(3)]

    first = impatient.using(priority=9).with_args(0)
    stored = enqueue_many([first, *more, *drafts])

    assert [one.state for one in stored] == ["ready"] * 4 + ["discarded"] * 2
    assert [one.state for one in enqueue_many([*more, *drafts])] == [
        *["ready"] * 3, "discarded", "discarded",
    ]  # fmt: skip


def test_claimed_jobs_count_for_discarding_limits(session: Session) -> None:
    key = f"{__name__}.sync/ann"
    fetch(
        session,
        "INSERT INTO jobsd.claims (process_id, concurrency_key, slot, job_ids)"
        " VALUES (1, %s, 1, ARRAY[-1]) RETURNING 1",
        key,
    )
    assert sync.enqueue("ann").state == "ready"
    assert sync.enqueue("ann").state == "discarded"


@pytest.mark.behaviour(69)
def test_classes_of_one_group_share_their_limit(session: Session) -> None:
    charge.enqueue(7)
    Bill.enqueue(7)
    Bill.enqueue(8)

    keys = fetch(
        session, "SELECT concurrency_key FROM jobsd.blocked_executions ORDER BY job_id"
    )
    assert keys == [("accounts/7",), ("accounts/7",), ("accounts/8",)]


def test_no_key_means_no_limit(session: Session) -> None:
    assert [welcome.enqueue(None).state for _ in range(2)] == ["ready", "ready"]
    assert len(_ids(session, "ready_executions")) == 2


def test_without_a_key_all_jobs_of_the_class_share_the_limit(session: Session) -> None:
    alone.enqueue()
    alone.enqueue()

    keys = fetch(session, "SELECT DISTINCT concurrency_key FROM jobsd.blocked_executions")
    assert keys == [(f"{__name__}.alone",)]


def test_a_key_function_that_raises_stores_nothing(session: Session) -> None:
    with pytest.raises(LimitError, match="broken: the key of limits_concurrency raised"):
        broken.enqueue(1)
    with pytest.raises(EnqueueError, match="no key today"):
        enqueue_many(broken.with_args(1) for _ in range(2))
    assert fetch(session, "SELECT FROM jobsd.jobs") == []


@pytest.mark.behaviour(77)
def test_a_limited_job_for_later_takes_no_slot_yet(session: Session) -> None:
    later = welcome.using(wait=timedelta(hours=1)).enqueue("ann")
    now = welcome.using(wait=timedelta(hours=-1)).enqueue("ann")

    assert [later.state, now.state] == ["scheduled", "ready"]
    assert fetch(session, "SELECT job_id, concurrency_key FROM jobsd.scheduled_executions") == [
        (later.id, f"{__name__}.welcome/ann")
    ]


def test_what_rolls_back_leaves_nothing(target: Target, session: Session) -> None:
    with psycopg.connect(target.url) as connection:
        for enqueue in (welcome, sync, sync):
            assert enqueue.using(connection=connection).enqueue("ann").state == "ready"
        connection.rollback()

    assert _ids(session, "blocked_executions") == []
    assert sync.enqueue("ann").state == "ready"


def test_many_of_all_kinds_are_kept_apart(session: Session) -> None:
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
        "ready", "ready", "ready", "scheduled", "ready", "ready", "discarded", "ready",
    ]  # fmt: skip
    assert (len(stored), stored.stored, stored[6].id) == (8, 7, None)
    assert fetch(session, "SELECT count(*) FROM jobsd.jobs") == [(7,)]
    assert len(_ids(session, "blocked_executions")) == 5


def test_of_many_only_the_first_of_a_key_and_queue_are_met_by_workers(
    session: Session,
) -> None:
    stored = enqueue_many(
        [
            welcome.with_args("ann"),
            welcome.using(priority=-1).with_args("ann"),
            welcome.using(queue="other").with_args("ann"),
            charge.with_args(1),
        ]
    )

    assert [one.state for one in stored] == ["ready"] * 4
    assert _ids(session, "places WHERE state = 'blocked'") == [stored[0].id]
    assert _ids(session, "all_ready_executions") == [each.id for each in stored[1:]]


def test_many_at_once_from_two_sides_do_not_wait_for_each_other(
    target: Target, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH", 20)
    there, back = range(50), range(49, -1, -1)
    held = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    )

    with psycopg.connect(target.url) as one, psycopg.connect(target.url) as other:
        # Neither has ended when the other comes to the keys that it has enqueued.
        for half in (slice(25), slice(25, None)):
            for keys, connection in ((there[half], one), (back[half], other)):
                jobs = (welcome.with_args(key) for key in keys)
                assert enqueue_many(jobs, connection=connection).stored == 25
                assert connection.execute(held).fetchone() == (0,)

    assert len(_ids(session, "all_ready_executions")) == 100


def test_a_snapshot_that_is_too_old_decides_nothing(target: Target, session: Session) -> None:
    with psycopg.connect(target.url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT 1")
        assert [sync.enqueue("ann").state for _ in range(2)] == ["ready", "ready"]
        with pytest.raises(EnqueueError) as refused:
            sync.using(connection=connection).enqueue("ann")
    assert isinstance(refused.value.__cause__, errors.SerializationFailure)
    assert len(_ids(session, "blocked_executions")) == 2


@pytest.mark.behaviour(70)
def test_handing_over_follows_priority_and_then_age(session: Session) -> None:
    low = welcome.enqueue("ann")
    high = welcome.using(priority=-5).enqueue("ann")
    also_high = welcome.using(priority=-5).enqueue("ann")
    key = f"{__name__}.welcome/ann"
    fetch(session, "UPDATE jobsd.blocked_executions SET position = NULL RETURNING 1")

    order: list[int] = []
    for _ in range(3):
        limits.hand_over(session, [key])
        ready = _ids(session, "all_ready_executions")
        order += ready
        fetch(
            session,
            "DELETE FROM jobsd.blocked_executions WHERE position IS NOT NULL RETURNING 1",
        )

    assert order == [high.id, also_high.id, low.id]


def test_one_job_is_handed_over_to_for_each_time_that_its_key_is_named(
    session: Session,
) -> None:
    stored = enqueue_many([alone.with_args() for _ in range(4)] + [welcome.with_args("ann")])
    fetch(session, "UPDATE jobsd.blocked_executions SET position = NULL RETURNING 1")

    limits.hand_over(session, [f"{__name__}.alone"] * 3)

    assert _ids(session, "all_ready_executions") == [each.id for each in stored[:3]]


def test_handing_over_skips_locked_jobs(target: Target, session: Session) -> None:
    first, second = (welcome.enqueue("ann") for _ in range(2))
    fetch(session, "UPDATE jobsd.blocked_executions SET position = NULL RETURNING 1")
    with psycopg.connect(target.url) as other:
        other.execute(
            "SELECT FROM jobsd.blocked_executions WHERE job_id = %s FOR UPDATE", (first.id,)
        )

        limits.hand_over(session, [f"{__name__}.welcome/ann"])

    assert _ids(session, "all_ready_executions") == [second.id]


def test_beside_a_paused_first_job_the_first_of_other_queues_is_handed_over_to(
    session: Session,
) -> None:
    paused = welcome.using(queue="paused").enqueue("ann")
    other = welcome.enqueue("ann")
    welcome.enqueue("ann")
    fetch(session, "UPDATE jobsd.blocked_executions SET position = NULL RETURNING 1")
    fetch(session, "INSERT INTO jobsd.pauses (queue_name) VALUES ('paused') RETURNING 1")

    limits.hand_over(session, [f"{__name__}.welcome/ann"])

    assert _ids(session, "all_ready_executions") == [paused.id, other.id]


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["a"],
        ["a", "b"],
        ["", "x,y", "{z}", "NULL", " s "],
        ['"'],
        ['","', "\\", '\\"', "é\n"],
    ],
)
def test_texts_are_written_as_an_array_that_the_server_reads(
    session: Session, texts: list[str]
) -> None:
    stored = session.connection.execute("SELECT %s::text[]", (as_text(texts),)).fetchone()

    assert stored == (texts,)


@pytest.mark.parametrize(("limit", "stored"), [(3, False), (4, True)])
def test_each_job_of_a_claim_counts_for_discarding_limits(
    session: Session, limit: int, *, stored: bool
) -> None:
    # A worker has taken three jobs of the key along in one claim, which holds one slot.
    session.connection.execute(
        "INSERT INTO jobsd.claims (process_id, job_ids, concurrency_key)"
        " VALUES (1, '{1,2,3}', 'k')"
    )

    (found,) = session.connection.execute(
        "SELECT jobsd.enqueue('x', concurrency_key => 'k', concurrency_limit => %s,"
        " on_conflict => 'discard') IS NOT NULL",
        (limit,),
    ).fetchall()

    assert found == (stored,)
