"""Who meets whom over a unique key: who waits, for how long, and who for nobody."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from enqueueing import placed
from harness.job_rows import places
from jobsd.acts import retries
from jobsd.database.statements import Statements
from jobsd.enqueueing.client import enqueue_many
from jobsd.errors import EnqueueError
from jobsd.jobs.definition import job
from jobsd.jobs.unique import Unique
from jobsd.states import ready
from jobsd.states.claims import STATEMENTS, Ended, conclusion, record_statement
from jobsd.worker.claiming.cursor import ClaimCursor
from waiting import Stopwatch, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Session, Target
    from rows import Rows

    Connection = psycopg.Connection[tuple[Any, ...]]
    Enqueue = Callable[[Any, Connection], tuple[int | None, str]]

WAITS = """
SELECT
FROM pg_locks
JOIN pg_stat_activity USING (pid)
WHERE NOT granted AND datname = current_database()
"""
PATIENCE_S = 2
"""How long an enqueue waits for whoever holds its key."""


@job(name="r.started", unique=Unique(key="n", until="started"))
def started(n: int) -> None: ...


@job(name="r.finished", unique=Unique(key="n"))
def finished(n: int) -> None: ...


@job(name="r.latest", unique=Unique(key="n", until="started", on_conflict="replace"))
def latest(n: int, note: str = "") -> None: ...


pytestmark = pytest.mark.usefixtures("default_client")


def _alone(made: Any, mine: Connection) -> tuple[int | None, str]:
    del mine
    stored = made.enqueue(1)
    return stored.id, stored.state


def _within(made: Any, mine: Connection) -> tuple[int | None, str]:
    stored = made.using(connection=mine).enqueue(1)
    mine.commit()
    return stored.id, stored.state


def _many(made: Any, mine: Connection) -> tuple[int | None, str]:
    (stored,) = enqueue_many([made.with_args(1)], connection=mine)
    mine.commit()
    return stored.id, stored.state


def _sql(made: Any, mine: Connection) -> tuple[int | None, str]:
    row = mine.execute(
        "SELECT jobsd.enqueue(%s, '[1]', unique_key => %s, unique_until => %s)",
        (made.definition.name, f"{made.definition.name}/1", made.definition.unique.until),
    ).fetchone()
    assert row is not None
    before = mine.execute(
        "SELECT xmin <> pg_current_xact_id()::xid FROM jobsd.jobs WHERE id = %s", row
    )
    (known,) = before.fetchone() or (True,)
    mine.commit()
    return row[0], "duplicate" if known else "ready"


EVERY_WAY = pytest.mark.parametrize("enqueue", [_alone, _within, _many, _sql])
EVERY_WAY_WITHIN = pytest.mark.parametrize("enqueue", [_within, _many, _sql])
_Level = psycopg.IsolationLevel
WANTED = {
    "limit": 9,
    "process_id": 1,
    "claim_id": 1,
    "asked_at": 0.0,
    "share": 4000,
    "budget": 2_000_000,
}


def _claim(worker: Session) -> None:
    """Claim what is ready, as a worker does, without a commit."""
    text = ready.turn(None, ready.CLAIM_ANY)
    rows = worker.fetch(text, {**ClaimCursor().segments([None]), **WANTED})
    assert rows[0][1] == 1


def _record(worker: Session, job_id: int, outcome: str, *, keep: bool = True) -> None:
    """Record an end as a worker does, without a commit."""
    (named,) = placed.in_claims(worker, job_id)
    if outcome != "finished":
        error = '{"type": "E", "message": "told to"}'
        ended = Ended(named.claim_id, job_id, outcome, error=error)
        worker.fetch(STATEMENTS["conclude"], conclusion([ended], "w", keep=keep))
        return
    claims = {
        "claim_ids": [named.claim_id],
        "job_ids": [job_id],
        "started_us": [9],
        "ended_us": [5],
    }
    batch = {"batch_ids": [named.claim_id], "held": [1], "remaining": [0]}
    record = record_statement(keep=keep).with_(STATEMENTS["no_claim"])
    rows = worker.fetch(record, {**claims, **batch, "lock_wait": "500ms"})
    assert rows[0][2] == str(named.claim_id)


@EVERY_WAY
@pytest.mark.parametrize(
    ("outcome", "keep"),
    [("finished", True), ("finished", False), ("failed", True), ("discarded", True)],
)
def test_what_meets_an_end_under_way_waits_for_its_commit_and_is_stored(
    target: Target, session: Session, enqueue: Enqueue, outcome: str, *, keep: bool
) -> None:
    first = finished.enqueue(1).id or 0
    placed.claim(session, 1, first)
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(target.url) as mine,
        session.connection.transaction(),
    ):
        _record(session, first, outcome, keep=keep)
        answer = pool.submit(enqueue, finished, mine)
        wait_until(lambda: session.connection.execute(WAITS).fetchall() or answer.done())
        assert not answer.done()
        _leave(session)
        job_id, state = answer.result(60)

    assert state == "ready"
    assert job_id != first


def _leave(session: Session) -> None:
    """Commit in the middle of the block."""
    session.connection.pgconn.exec_(b"COMMIT")
    session.connection.pgconn.exec_(b"BEGIN")


@EVERY_WAY
def test_what_meets_a_claim_under_way_is_stored_and_waits_for_nothing(
    target: Target, session: Session, enqueue: Enqueue
) -> None:
    first = started.enqueue(1).id
    with psycopg.connect(target.url) as mine, session.connection.transaction():
        _claim(session)
        job_id, state = enqueue(started, mine)

    assert state == "ready"
    assert job_id != first


@pytest.mark.parametrize("level", [_Level.REPEATABLE_READ, _Level.SERIALIZABLE])
@pytest.mark.parametrize("outcome", ["finished", "failed", "discarded"])
@EVERY_WAY_WITHIN
def test_a_snapshot_from_before_an_end_calls_nothing_a_duplicate(
    target: Target,
    session: Session,
    enqueue: Enqueue,
    outcome: str,
    level: psycopg.IsolationLevel,
) -> None:
    """It can't see the end, and is refused; tried again, as such callers do, it is stored."""
    first = finished.enqueue(1).id or 0
    with psycopg.connect(target.url) as mine:
        mine.isolation_level = level
        mine.execute("SELECT count(*) FROM jobsd.jobs")
        placed.claim(session, 1, first)
        _record(session, first, outcome)
        with pytest.raises((EnqueueError, psycopg.errors.SerializationFailure)):
            enqueue(finished, mine)
        mine.rollback()

        assert enqueue(finished, mine)[1] == "ready"


@pytest.mark.parametrize("level", [_Level.REPEATABLE_READ, _Level.SERIALIZABLE])
@EVERY_WAY_WITHIN
def test_a_snapshot_from_before_an_enqueue_stores_no_second_job(
    target: Target, rows: Rows, enqueue: Enqueue, level: psycopg.IsolationLevel
) -> None:
    with psycopg.connect(target.url) as mine:
        mine.isolation_level = level
        mine.execute("SELECT count(*) FROM jobsd.jobs")
        first = finished.enqueue(1)
        with pytest.raises((EnqueueError, psycopg.errors.SerializationFailure)):
            enqueue(finished, mine)
        mine.rollback()

        assert enqueue(finished, mine) == (first.id, "duplicate")
    assert rows("SELECT count(*) FROM jobsd.jobs") == [1]


@EVERY_WAY
def test_an_end_that_is_rolled_back_has_not_been(
    target: Target, session: Session, enqueue: Enqueue
) -> None:
    first = finished.enqueue(1).id or 0
    placed.claim(session, 1, first)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(target.url) as mine:
        with session.connection.transaction(force_rollback=True):
            _record(session, first, "finished")
            answer = pool.submit(enqueue, finished, mine)
            wait_until(lambda: session.connection.execute(WAITS).fetchall() or answer.done())

        assert answer.result(60) == (first, "duplicate")


@pytest.mark.failure(
    "A transaction that has enqueued a unique job stays open; others enqueue one of its key.",
    "They wait for two seconds, and then nothing was enqueued and an error says why.",
)
def test_a_wait_for_an_open_transaction_is_bounded(target: Target) -> None:
    with psycopg.connect(target.url) as holder, psycopg.connect(target.url) as mine:
        finished.using(connection=holder).enqueue(1)
        ways: list[Enqueue] = [_alone, _within]
        with ThreadPoolExecutor(4) as pool:
            watch = Stopwatch()
            answers = [pool.submit(each, finished, mine) for each in ways]
            for answer in answers:
                with pytest.raises(
                    EnqueueError, match="a transaction that is open holds"
                ) as reported:
                    answer.result(60)
                assert reported.value.known
            assert watch.took() < PATIENCE_S + 3
        mine.rollback()
        holder.rollback()

        assert _many(finished, mine)[1] == "ready"


def test_of_two_that_take_a_key_at_once_the_second_is_shown_the_first(
    target: Target,
) -> None:
    with (
        psycopg.connect(target.url) as holder,
        psycopg.connect(target.url) as mine,
        psycopg.connect(target.url, autocommit=True) as asker,
        ThreadPoolExecutor(1) as pool,
    ):
        first = finished.using(connection=holder).enqueue(1)
        answer = pool.submit(_within, finished, mine)
        wait_until(lambda: asker.execute(WAITS).fetchall())
        holder.commit()

        assert answer.result(60) == (first.id, "duplicate")


def test_many_enqueuers_of_the_same_keys_are_never_deadlocked(rows: Rows) -> None:
    def bulk(turn: int) -> int:
        order = range(40) if turn % 2 else range(39, -1, -1)
        return enqueue_many([finished.with_args(n) for n in order]).stored

    with ThreadPoolExecutor(4) as pool:
        stored = list(pool.map(bulk, range(12)))

    assert sum(stored) == 40
    assert rows("SELECT count(*) FROM jobsd.jobs") == [40]


def test_a_job_that_a_caller_was_shown_is_claimed_only_behind_his_commit(
    target: Target, session: Session
) -> None:
    first = started.enqueue(1)
    with psycopg.connect(target.url) as mine:
        reported = started.using(connection=mine).enqueue(1)
        assert (reported.id, reported.state) == (first.id, "duplicate")
        text = ready.turn(None, ready.CLAIM_ANY)
        parameters = {**ClaimCursor().segments([None]), **WANTED}
        assert session.fetch(text, parameters)[0][1] == 0
        listener = psycopg.connect(target.url, autocommit=True)
        listener.execute('LISTEN "\\"jobsd\\".wake"'.replace('\\"', '""'))
        mine.commit()

        _claim(session)
        assert [each.payload for each in listener.notifies(timeout=5, stop_after=1)] == [
            "ready default"
        ]
        listener.close()


@pytest.mark.parametrize("outcome", ["finished", "released", "retried", "failed"])
@pytest.mark.parametrize("made", [started, finished, latest])
def test_no_worker_waits_for_an_enqueue(
    target: Target, session: Session, made: Any, outcome: str
) -> None:
    first = made.enqueue(1).id or 0
    placed.claim(session, 1, first)
    with psycopg.connect(target.url) as holder:
        made.using(connection=holder).enqueue(1)
        session.connection.execute("SET lock_timeout = 1")
        _record(session, first, outcome)
        session.connection.execute("RESET lock_timeout")
        holder.commit()

    assert places(session)[first] != "claimed"


@pytest.mark.parametrize(
    ("wait", "left"), [("1h", ["newest"]), (None, ["new", "newest"])], ids=["for later", "due"]
)
def test_two_replacing_enqueues_of_the_same_job_come_one_after_the_other(
    target: Target, rows: Rows, wait: str | None, left: list[str]
) -> None:
    """What came while a due job was held is its next job: else it might never begin."""
    latest.using(wait=wait).enqueue(1, "old")
    with (
        psycopg.connect(target.url) as holder,
        psycopg.connect(target.url, autocommit=True) as asker,
        ThreadPoolExecutor(1) as pool,
    ):
        latest.using(connection=holder, wait=wait).enqueue(1, "new")
        answer = pool.submit(lambda: latest.using(wait=wait).enqueue(1, "newest"))
        wait_until(lambda: asker.execute(WAITS).fetchall())
        holder.commit()
        assert answer.result(60).state == ("scheduled" if wait else "ready")

    assert rows("SELECT arguments ->> 1 FROM jobsd.jobs ORDER BY id") == left


def test_a_retry_and_an_enqueue_of_one_key_are_never_both(
    target: Target, session: Session, rows: Rows
) -> None:
    first = finished.enqueue(1).id or 0
    placed.fail(session, first)
    retry = Statements("jobsd.acts", "retries.sql")
    with psycopg.connect(target.url) as mine, ThreadPoolExecutor(1) as pool:
        with session.connection.transaction():
            assert session.fetch(retry["retry"], {"ids": [first]}) == [(first, False)]
            answer = pool.submit(_within, finished, mine)
            wait_until(lambda: session.connection.execute(WAITS).fetchall())
        assert answer.result(60) == (first, "duplicate")

        placed.fail(session, first)
        finished.using(connection=mine).enqueue(1)
        assert list(retries.batches(session, [first])) == [[]]
        mine.commit()
    assert rows("SELECT count(*) FROM jobsd.ready_executions") == [1]
