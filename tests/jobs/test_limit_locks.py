"""The locks of limits: who waits for whom, for how long, and who for nobody."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.database.connection import Session
from jobsd.jobs import bulk, limits
from jobsd.jobs.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.processes import registry
from waiting import Stopwatch, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Target

    Connection = psycopg.Connection[tuple[Any, ...]]

WAITS = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
PATIENCE_S = 2
"""How long who may be discarded waits in all, in one transaction."""


@job(name="welcome3", limits_concurrency=Limit(key=lambda user: user))
def welcome(user: object) -> None: ...


@job(name="sync3", limits_concurrency=Limit(key=lambda user: user, on_conflict="discard"))
def sync(user: object) -> None: ...


def _from_sql(user: object, connection: Connection, name: str, on_conflict: str) -> str:
    row = connection.execute(
        "SELECT jobsd.enqueue(%s, concurrency_key => %s, on_conflict => %s)",
        (name, f"{name}/{user}", on_conflict),
    ).fetchone()
    assert row is not None
    found = connection.execute(
        "SELECT CASE WHEN %s::bigint IS NULL THEN 'discarded' WHEN EXISTS (SELECT FROM"
        " jobsd.ready_executions WHERE job_id = %s) THEN 'ready' ELSE 'blocked' END",
        (row[0], row[0]),
    ).fetchone()
    assert found is not None
    return str(found[0])


def _bulk(made: Any, user: object, connection: Connection) -> str:
    return enqueue_many([made.with_args(user)], connection=connection)[0].state


_BLOCK: dict[str, Callable[[object, Connection], str]] = {
    "alone": lambda user, _: welcome.enqueue(user).state,
    "within": lambda user, mine: welcome.using(connection=mine).enqueue(user).state,
    "many": lambda user, _: enqueue_many([welcome.with_args(user)])[0].state,
    "many within": lambda user, mine: _bulk(welcome, user, mine),
    "sql": lambda user, mine: _from_sql(user, mine, "welcome3", "block"),
}
_DISCARD: dict[str, Callable[[object, Connection], str]] = {
    "alone": lambda user, _: sync.enqueue(user).state,
    "within": lambda user, mine: sync.using(connection=mine).enqueue(user).state,
    "many": lambda user, _: enqueue_many([sync.with_args(user)])[0].state,
    "many within": lambda user, mine: _bulk(sync, user, mine),
    "sql": lambda user, mine: _from_sql(user, mine, "sync3", "discard"),
}

pytestmark = pytest.mark.usefixtures("configured")


def _heard(listener: Session) -> list[str]:
    listener.connection.execute("SELECT")
    return listener.notifications()


def _promote(session: Session) -> list[int]:
    """Do what a dispatcher does; return the jobs that are ready then."""
    for found in limits.roomy(session):
        limits.promote(session, found)
    rows = session.connection.execute("SELECT job_id FROM jobsd.ready_executions ORDER BY 1")
    return [row[0] for row in rows]


@pytest.mark.behaviour(70)
@pytest.mark.failure(
    "A transaction that has enqueued a limited job stays open, and others enqueue jobs of the "
    "same key.",
    "They have their answer at once: the job is blocked, until a dispatcher decides about it.",
)
@pytest.mark.parametrize("enqueue", _BLOCK.values(), ids=_BLOCK)
@pytest.mark.parametrize("commits", [True, False])
def test_who_may_wait_for_a_slot_never_waits_for_its_key(
    target: Target,
    session: Session,
    enqueue: Callable[[object, Connection], str],
    *,
    commits: bool,
) -> None:
    with (
        psycopg.connect(target.url) as holder,
        psycopg.connect(target.url) as mine,
        contextlib.closing(Session(target, "listens", listen=True)) as listener,
    ):
        mine.execute("SET lock_timeout = 1")
        _ = listener.connection
        held = welcome.using(connection=holder).enqueue("ann")

        assert enqueue("ann", mine) == "blocked"
        mine.commit()
        assert "limits welcome3/ann" in _heard(listener)
        assert _promote(session) == []

        holder.commit() if commits else holder.rollback()
        ready = _promote(session)
        assert (ready == [held.id]) == commits
        assert len(ready) == 1


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({}, "limits"),
        ({"hang_timeout": 40}, "limits welcome3/ann"),
        (None, "limits welcome3/ann"),
    ],
)
def test_a_dispatcher_of_the_version_before_is_asked_in_its_words(
    target: Target, session: Session, said: dict[str, int] | None, word: str
) -> None:
    if said is not None:
        registry.register(
            session, kind="dispatcher", name="its", supervisor_id=0, metadata=said
        )
    with (
        psycopg.connect(target.url) as holder,
        contextlib.closing(Session(target, "listens", listen=True)) as listener,
    ):
        _ = listener.connection
        welcome.using(connection=holder).enqueue("ann")
        welcome.enqueue("ann")

        assert _heard(listener) == [word]


@pytest.mark.parametrize("enqueue", _DISCARD.values(), ids=_DISCARD)
@pytest.mark.parametrize("commits", [True, False])
def test_who_may_be_discarded_waits_for_its_key_for_a_moment(
    target: Target, enqueue: Callable[[object, Connection], str], *, commits: bool
) -> None:
    with (
        psycopg.connect(target.url) as holder,
        psycopg.connect(target.url, autocommit=True) as watcher,
        psycopg.connect(target.url) as mine,
        ThreadPoolExecutor(1) as pool,
    ):
        sync.using(connection=holder).enqueue("ann")
        asked = pool.submit(enqueue, "ann", mine)
        wait_until(lambda: watcher.execute(WAITS).fetchall())

        holder.commit() if commits else holder.rollback()

        assert asked.result(10) == ("discarded" if commits else "ready")


@pytest.mark.failure(
    "A transaction that has enqueued a limited job stays open, and others enqueue jobs of the "
    "same key that may not wait for a slot.",
    "After two seconds they are accepted as blocked; once the transaction has ended they are "
    "ready, or discarded.",
)
@pytest.mark.parametrize("enqueue", _DISCARD.values(), ids=_DISCARD)
@pytest.mark.parametrize("commits", [True, False])
def test_what_could_not_be_decided_is_decided_afterwards(
    target: Target,
    session: Session,
    enqueue: Callable[[object, Connection], str],
    *,
    commits: bool,
) -> None:
    with psycopg.connect(target.url) as holder, psycopg.connect(target.url) as mine:
        mine.execute("SET lock_timeout = '50ms'")
        held = sync.using(connection=holder).enqueue("ann")

        assert enqueue("ann", mine) == "blocked"
        mine.commit()
        assert _promote(session) == []
        holder.commit() if commits else holder.rollback()
        ready = _promote(session)

    assert (ready == [held.id]) == commits
    assert len(ready) == 1
    outcomes = session.connection.execute("SELECT id, outcome FROM jobsd.jobs ORDER BY id")
    assert [row[1] for row in outcomes] == ([None, "discarded"] if commits else [None])


@pytest.mark.parametrize("way", ["one by one", "many"])
def test_a_transaction_waits_for_two_seconds_in_all_however_many_keys_are_held(
    target: Target, session: Session, way: str
) -> None:
    users = range(20)
    with psycopg.connect(target.url) as holder, psycopg.connect(target.url) as mine:
        enqueue_many([sync.with_args(user) for user in users], connection=holder)

        watch = Stopwatch()
        if way == "many":
            enqueue_many([sync.with_args(user) for user in users], connection=mine)
        else:
            for user in users:
                sync.using(connection=mine).enqueue(user)
        assert PATIENCE_S <= watch.took() < 2 * PATIENCE_S + 1
        mine.commit()

    assert len(_promote(session)) == 20


def test_the_longest_wait_for_a_lock_is_the_callers_and_stays(target: Target) -> None:
    with psycopg.connect(target.url) as holder, psycopg.connect(target.url) as mine:
        sync.using(connection=holder).enqueue("ann")
        mine.execute("SET lock_timeout = '100ms'")

        watch = Stopwatch()
        assert sync.using(connection=mine).enqueue("ann").state == "blocked"

        assert watch.took() < PATIENCE_S
        assert mine.execute("SHOW lock_timeout").fetchone() == ("100ms",)
        assert sync.using(connection=mine).enqueue("bob").state == "ready"
        assert mine.execute("SHOW lock_timeout").fetchone() == ("100ms",)


@pytest.mark.failure(
    "Two transactions enqueue limited jobs of the same two keys, in opposite order.",
    "Neither is told of a deadlock: where both may only be discarded one of them goes without "
    "the key, and its job is decided about afterwards.",
)
@pytest.mark.parametrize("enqueue", [*_BLOCK.values(), *_DISCARD.values()])
def test_two_keys_in_opposite_order_are_no_deadlock(
    target: Target, session: Session, enqueue: Callable[[object, Connection], str]
) -> None:
    def both(users: str) -> list[str]:
        with psycopg.connect(target.url) as mine:
            first = enqueue(users[0], mine)
            begun.append(users)
            wait_until(lambda: len(begun) == 2)
            return [first, enqueue(users[1], mine)]

    begun: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        states = [state for states in pool.map(both, ["ab", "ba"]) for state in states]

    assert states.count("ready") == 2
    assert set(states) <= {"ready", "blocked", "discarded"}
    assert len(_promote(session)) == 2


def test_keys_are_waited_for_in_one_order_whoever_names_them(
    target: Target, session: Session
) -> None:
    users = [str(user) for user in range(40)]
    rows = session.connection.execute(
        "SELECT name FROM unnest(%s::text[]) AS name"
        " ORDER BY jobsd.limits_lock('sync3/' || name)",
        (users,),
    )
    first, *others = (row[0] for row in rows)
    with psycopg.connect(target.url) as holder, ThreadPoolExecutor(1) as pool:
        sync.using(connection=holder).enqueue(first)
        backwards = [sync.with_args(user) for user in (*reversed(others), first)]
        many = pool.submit(enqueue_many, backwards)
        wait_until(lambda: session.connection.execute(WAITS).fetchall())

        tried = "SELECT pg_try_advisory_xact_lock(jobsd.limits_lock('sync3/' || %s))"
        free = [session.connection.execute(tried, (user,)).fetchone() for user in others]

        holder.rollback()
        assert free == [(True,)] * 39
        assert [one.state for one in many.result(10)] == ["ready"] * 40


def test_batches_of_one_bulk_know_the_keys_that_they_hold(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH", 10)

    stored = enqueue_many(sync.with_args(n % 60) for n in range(120))

    assert [one.state for one in stored] == ["ready"] * 60 + ["discarded"] * 60
    assert len(_promote(session)) == 60
