"""The locks of limits: who waits for whom, for how long, and who for nobody."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.enqueueing import bulk
from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from waiting import Stopwatch, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Session, Target

    Connection = psycopg.Connection[tuple[Any, ...]]

WAITS = """
SELECT
FROM pg_locks
JOIN pg_stat_activity USING (pid)
WHERE NOT granted AND datname = current_database()
"""
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
    return "discarded" if row[0] is None else "ready"


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

pytestmark = pytest.mark.usefixtures("default_client")


def _waiting(session: Session) -> list[tuple[int, bool]]:
    rows = session.connection.execute(
        "SELECT job_id, yields FROM jobsd.blocked_executions ORDER BY 1"
    )
    return rows.fetchall()


@pytest.mark.behaviour(70)
@pytest.mark.failure(
    "A transaction that has enqueued a limited job stays open, and others enqueue jobs of the"
    " same key.",
    "They get their answer at once, and hold no lock of the key",
)
@pytest.mark.parametrize("enqueue", _BLOCK.values(), ids=_BLOCK)
def test_an_enqueue_with_a_blocking_limit_takes_no_key_lock(
    target: Target, session: Session, enqueue: Callable[[object, Connection], str]
) -> None:
    with psycopg.connect(target.url) as holder, psycopg.connect(target.url) as mine:
        mine.execute("SET lock_timeout = 1")
        for made in (welcome, sync):
            made.using(connection=holder).enqueue("ann")
        keys = holder.execute("SELECT count(*) FROM jobsd.discard_keys").fetchone()

        assert enqueue("ann", mine) == "ready"
        mine.commit()

        assert keys == (1,)
        assert len(_waiting(session)) == 1


@pytest.mark.parametrize("enqueue", _DISCARD.values(), ids=_DISCARD)
@pytest.mark.parametrize("commits", [True, False])
def test_an_enqueue_with_a_discarding_limit_waits_briefly_for_its_key(
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

        assert asked.result(60) == ("discarded" if commits else "ready")


@pytest.mark.failure(
    "A transaction that has enqueued a limited job stays open, and others enqueue jobs of the "
    "same key that may not wait for a slot.",
    "After two seconds they are accepted, for the worker that meets them to decide.",
)
@pytest.mark.parametrize("enqueue", _DISCARD.values(), ids=_DISCARD)
def test_an_enqueue_that_timed_out_on_its_key_is_decided_at_its_claim(
    target: Target, session: Session, enqueue: Callable[[object, Connection], str]
) -> None:
    with psycopg.connect(target.url) as holder, psycopg.connect(target.url) as mine:
        mine.execute("SET lock_timeout = '50ms'")
        sync.using(connection=holder).enqueue("ann")

        assert enqueue("ann", mine) == "ready"
        mine.commit()

    assert [yields for _, yields in _waiting(session)] == [False, True]


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

    assert len(_waiting(session)) == 40


def test_a_hasty_store_hardly_waits_for_a_held_key(target: Target, session: Session) -> None:
    jobs = """[{
        "queue_name": "default", "class_name": "sync3", "arguments": "[]", "priority": 0,
        "max_attempts": 1, "key": "sync3/ann", "to": 1, "on_conflict": "discard"
    }]"""
    with psycopg.connect(target.url) as holder, psycopg.connect(target.url) as mine:
        holder.execute("SELECT jobsd.hold_key('sync3/ann')")

        row = mine.execute(
            "SELECT state FROM jobsd.store(%s::jsonb, hastily => true)", (jobs,)
        ).fetchone()
        left = mine.execute(
            "SELECT current_setting('jobsd_limits.patience')::integer"
        ).fetchone()

    assert row == ("ready",)
    assert left is not None
    assert left[0] > 500 * PATIENCE_S
    assert [yields for _, yields in _waiting(session)] == [True]


def test_the_longest_wait_for_a_lock_is_the_callers_and_stays(target: Target) -> None:
    with psycopg.connect(target.url) as holder, psycopg.connect(target.url) as mine:
        sync.using(connection=holder).enqueue("ann")
        mine.execute("SET lock_timeout = '100ms'")

        watch = Stopwatch()
        assert sync.using(connection=mine).enqueue("ann").state == "ready"

        assert watch.took() < PATIENCE_S
        assert mine.execute("SHOW lock_timeout").fetchone() == ("100ms",)
        assert sync.using(connection=mine).enqueue("bob").state == "ready"
        assert mine.execute("SHOW lock_timeout").fetchone() == ("100ms",)


@pytest.mark.failure(
    "Two transactions enqueue limited jobs of the same two keys, in opposite order.",
    "Neither gets a deadlock error: if the jobs of both may be discarded, one transaction"
    " continues without the key, and a worker decides about its job.",
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

    assert states.count("ready") >= 2
    assert set(states) <= {"ready", "discarded"}
    assert len(_waiting(session)) == states.count("ready")


def test_keys_are_locked_in_one_order_in_any_bulk(target: Target, session: Session) -> None:
    first, *others = users = sorted(str(user) for user in range(40))
    with psycopg.connect(target.url) as holder, ThreadPoolExecutor(1) as pool:
        enqueue_many([sync.with_args(user) for user in users])
        session.connection.execute("DELETE FROM jobsd.blocked_executions")
        sync.using(connection=holder).enqueue(first)
        backwards = [sync.with_args(user) for user in (*reversed(others), first)]
        many = pool.submit(enqueue_many, backwards)
        wait_until(lambda: session.connection.execute(WAITS).fetchall())

        free = session.connection.execute(
            "SELECT count(*) FROM (SELECT FROM jobsd.discard_keys FOR UPDATE SKIP LOCKED) AS k"
        ).fetchone()

        holder.rollback()
        assert free == (39,)
        assert [one.state for one in many.result(60)] == ["ready"] * 40


def test_batches_of_one_bulk_know_the_keys_that_they_hold(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH", 10)

    stored = enqueue_many(sync.with_args(n % 60) for n in range(120))

    assert [one.state for one in stored] == ["ready"] * 60 + ["discarded"] * 60
    assert len(_waiting(session)) == 60


def test_no_advisory_lock_is_held_however_many_keys_are_named(
    target: Target, session: Session
) -> None:
    with psycopg.connect(target.url) as mine:
        for made in (welcome, sync):
            stored = enqueue_many(
                [made.with_args(user) for user in range(3000)], connection=mine
            )
            assert [one.state for one in stored] == ["ready"] * 3000

        locks = session.connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = %s",
            (mine.info.backend_pid,),
        ).fetchone()

    assert locks == (0,)


TRIGGER = """
DROP TABLE IF EXISTS public.orders;
CREATE TABLE public.orders (id integer);
CREATE OR REPLACE FUNCTION public.ordered() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM jobsd.enqueue(
        'welcome3', to_jsonb(ARRAY[NEW.id]), concurrency_key => 'order/' || NEW.id,
        on_conflict => CASE WHEN NEW.id % 2 = 0 THEN 'discard' ELSE 'block' END
    );
    RETURN NULL;
END $$;
CREATE TRIGGER ordered AFTER INSERT ON public.orders
    FOR EACH ROW EXECUTE FUNCTION public.ordered();
"""
LOCKS = "SELECT count(*) FROM pg_locks WHERE pid = %s"


@pytest.mark.failure(
    "A trigger enqueues a limited job, each of another key, for every row of one large INSERT.",
    "All are stored, and the server's table of locks stays as good as empty: others connect.",
)
@pytest.mark.parametrize(
    "rows", [3000, pytest.param(100_000, marks=[pytest.mark.long, pytest.mark.timeout(600)])]
)
def test_a_trigger_of_each_row_holds_few_locks(
    target: Target, session: Session, rows: int
) -> None:
    with psycopg.connect(target.url) as mine:
        mine.execute(TRIGGER.encode())
        mine.commit()
        mine.execute("INSERT INTO public.orders SELECT generate_series(1, %s)", [rows])

        with psycopg.connect(target.url) as other:
            held = other.execute(LOCKS, [mine.info.backend_pid]).fetchone()
        mine.commit()

    assert held is not None
    assert 0 < held[0] < 200
    assert len(_waiting(session)) == rows
