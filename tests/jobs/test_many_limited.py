"""However many keys one transaction names, the server's table of locks has room for others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.jobs import limits
from jobsd.jobs.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Session, Target

    Connection = psycopg.Connection[tuple[Any, ...]]

MANY = 3_000
KEYS_MAX = 64
"""So many locks the table has room for by default, for each connection."""


@job(name="welcome4", limits_concurrency=Limit(key=lambda user: user))
def welcome(user: object) -> None: ...


@job(name="sync4", limits_concurrency=Limit(key=lambda user: user, on_conflict="discard"))
def sync(user: object) -> None: ...


def _by_trigger(connection: Connection, jobs: int) -> None:
    connection.execute(
        "CREATE TEMPORARY TABLE orders (id bigint);"
        " CREATE FUNCTION pg_temp.enqueue() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM jobsd.enqueue('ship', concurrency_key => 'ship/' || NEW.id); RETURN NULL;"
        " END $$;"
        " CREATE TRIGGER enqueue AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION"
        " pg_temp.enqueue();"
    )
    connection.execute("INSERT INTO orders SELECT generate_series(1, %s)", (jobs,))


def _from_sql(on_conflict: str) -> Callable[[Connection, int], object]:
    return lambda connection, jobs: connection.execute(
        "SELECT count(jobsd.enqueue('x', concurrency_key => 'x/' || n, on_conflict => %s))"
        " FROM generate_series(1, %s) AS n",
        (on_conflict, jobs),
    )


_WAYS: dict[str, Callable[[Connection, int], object]] = {
    "many": lambda mine, jobs: enqueue_many(
        map(welcome.with_args, range(jobs)), connection=mine
    ),
    "many discards": lambda mine, jobs: enqueue_many(
        map(sync.with_args, range(jobs)), connection=mine
    ),
    "sql": _from_sql("block"),
    "sql, discards": _from_sql("discard"),
    "trigger": _by_trigger,
}


def _one_by_one(connection: Connection, jobs: int) -> None:
    for user in range(jobs):
        welcome.using(connection=connection).enqueue(user)


pytestmark = pytest.mark.usefixtures("configured")


@pytest.mark.failure(
    "One transaction enqueues more limited jobs than the server has room for locks.",
    "All are stored, others connect and enqueue meanwhile, and a dispatcher gives them their "
    "slots after the commit.",
)
@pytest.mark.parametrize("way", _WAYS.values(), ids=_WAYS)
def test_more_keys_than_locks_in_one_transaction(
    target: Target, session: Session, way: Callable[[Connection, int], object]
) -> None:
    _try(target, session, way, MANY)


@pytest.mark.long
@pytest.mark.parametrize("way", [*_WAYS.values(), _one_by_one], ids=[*_WAYS, "one by one"])
def test_a_hundred_thousand_keys_in_one_transaction(
    target: Target, session: Session, way: Callable[[Connection, int], object]
) -> None:
    _try(target, session, way, 100_000)


def _try(
    target: Target, session: Session, way: Callable[[Connection, int], object], jobs: int
) -> None:
    with psycopg.connect(target.url) as mine:
        way(mine, jobs)

        with psycopg.connect(target.url, autocommit=True) as other:
            locks = other.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
            assert locks.fetchone() == (KEYS_MAX,)
            states = [welcome.using(connection=other).enqueue(f"x{n}").state for n in range(99)]
            assert states == ["ready"] * 99
            other.execute("DELETE FROM jobsd.concurrency_slots WHERE key LIKE '%/x%'")
            assert [one.state for one in enqueue_many([sync.with_args("y")])] == ["ready"]

    for found in limits.roomy(session):
        missed = found
        while missed:
            missed = [*limits.promote(session, missed).missed]
    counts = session.connection.execute(
        "SELECT (SELECT count(*) FROM jobsd.ready_executions),"
        " (SELECT count(*) FROM jobsd.blocked_executions)"
    )
    assert counts.fetchone() == (jobs + 100, 0)


def test_a_rollback_to_a_savepoint_gives_the_keys_back(target: Target) -> None:
    with psycopg.connect(target.url) as mine:
        for _ in range(3):
            with mine.transaction(force_rollback=True):
                stored = enqueue_many(map(welcome.with_args, range(70)), connection=mine)
                assert [one.state for one in stored].count("ready") == KEYS_MAX
        stored = enqueue_many(map(welcome.with_args, range(100, 170)), connection=mine)
        assert [one.state for one in stored].count("ready") == KEYS_MAX
        mine.commit()
        assert welcome.using(connection=mine).enqueue("next").state == "ready"


def test_one_key_takes_the_room_of_one_however_often_it_is_named(target: Target) -> None:
    with psycopg.connect(target.url) as mine:
        states = [welcome.using(connection=mine).enqueue(n % 3).state for n in range(200)]
        other = welcome.using(connection=mine).enqueue("other").state

    assert states == ["ready"] * 3 + ["blocked"] * 197
    assert other == "ready"
