"""A due job that a transaction holds takes no further duplicate: the next one is stored."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from enqueueing import placed
from jobsd.acts import discards
from jobsd.enqueueing.client import enqueue_many
from jobsd.errors import DuplicateError
from jobsd.jobs import unique
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.unique import Unique
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobsd.database.connection import Session, Target
    from rows import Rows

    Connection = psycopg.Connection[tuple[Any, ...]]
    Connect = Callable[[], Connection]

WAITS = """
SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE NOT granted AND datname = current_database()
"""
_KEY = "SELECT job_id, before_id FROM jobsd.unique_jobs"


@job(name="h.started", unique=Unique(key="n", until="started"))
def started(n: int, note: str = "") -> None: ...


@job(name="h.strict", unique=Unique(key="n", until="started", on_conflict="raise"))
def strict(n: int) -> None: ...


@job(name="h.latest", unique=Unique(key="n", until="started", on_conflict="replace"))
def latest(n: int, note: str = "") -> None: ...


@job(
    name="h.picky",
    unique=Unique(key="n", until="started"),
    limits_concurrency=Limit(key="k", on_conflict="discard"),
)
def picky(n: int, k: str) -> None: ...


pytestmark = pytest.mark.usefixtures("default_client")


@pytest.fixture
def connect(target: Target) -> Iterator[Connect]:
    """Open connections that are closed at the test's end."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(psycopg.connect(target.url))


def _enqueue(made: Any, mine: Connection, *args: Any, **how: Any) -> tuple[int, str]:
    stored = made.using(connection=mine, **how).enqueue(1, *args)
    return stored.id, stored.state


def _hold(made: Any, connect: Connect, *args: Any, **how: Any) -> tuple[int, Connection]:
    """Enqueue a job, and a duplicate in a transaction that stays open."""
    first = made.using(**how).enqueue(1, *args)
    holder = connect()
    if made is strict:
        with pytest.raises(DuplicateError):
            _enqueue(made, holder)
    else:
        assert _enqueue(made, holder, *args, **how)[0] == first.id
    return first.id, holder


@pytest.mark.parametrize("wait", [None, "1h"])
def test_a_scheduled_job_takes_duplicates_across_commits(
    connect: Connect, rows: Rows, wait: str | None
) -> None:
    first, mine = _hold(started, connect, wait=wait)
    for _ in range(3):
        mine.commit()
        mine = connect()
        assert _enqueue(started, mine, wait=wait) == (first, "duplicate")
        assert _enqueue(started, mine, wait=wait) == (first, "duplicate")

    assert rows(_KEY) == [(first, None)]


def test_any_number_hold_a_job_that_is_not_due(connect: Connect) -> None:
    first, _ = _hold(started, connect, wait="1h")

    assert [_enqueue(started, connect()) for _ in range(3)] == [(first, "duplicate")] * 3


@pytest.mark.parametrize("made", [started, strict, latest])
def test_a_duplicate_of_a_held_due_job_is_stored_as_its_next_job(
    connect: Connect, rows: Rows, made: Any
) -> None:
    first, holder = _hold(made, connect)
    mine = connect()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(_enqueue, made, mine)
        # Who replaces keeps the key, too.
        wait_until(lambda: answer.done() or rows(WAITS) == [1])
        if made is latest:
            holder.commit()
        following, state = answer.result(10)
    mine.commit()

    assert (following != first, state) == (True, "ready")
    assert rows(_KEY) == [(following, first)]


def test_the_next_job_takes_all_duplicates_though_it_is_held(
    connect: Connect, rows: Rows
) -> None:
    first, holder = _hold(started, connect)
    following = started.enqueue(1)
    answers = [_enqueue(started, connect()) for _ in range(3)]
    holder.commit()
    answers.append(_enqueue(started, connect()))

    assert answers == [(following.id, "duplicate")] * 4
    assert rows("SELECT id FROM jobsd.jobs ORDER BY 1") == [first, following.id]


def test_to_raise_names_the_next_job(connect: Connect) -> None:
    _hold(strict, connect)
    following = strict.enqueue(1)

    with pytest.raises(DuplicateError, match=f"job {following.id} has its unique key"):
        strict.enqueue(1)


def test_of_jobs_that_begin_one_after_the_other_two_wait_at_most(
    connect: Connect, session: Session, rows: Rows
) -> None:
    first, holder = _hold(started, connect)
    second = started.enqueue(1).id or 0
    _enqueue(started, other := connect())
    holder.commit()
    placed.claim(session, 1, first)
    third = started.enqueue(1)
    other.commit()

    assert third.state == "ready"
    assert rows(_KEY) == [(third.id, second)]
    assert started.enqueue(1).id == third.id
    placed.claim(session, 1, second)
    assert (started.enqueue(1).id, started.enqueue(1).state) == (third.id, "duplicate")


def test_where_the_next_job_has_begun_first_the_other_takes_duplicates_again(
    connect: Connect, session: Session
) -> None:
    first, holder = _hold(started, connect)
    placed.claim(session, 1, started.enqueue(1).id or 0)
    third = started.enqueue(1)
    assert third.state == "ready"
    placed.claim(session, 1, third.id or 0)
    holder.commit()

    assert (started.enqueue(1).id, started.enqueue(1).state) == (first, "duplicate")


@pytest.mark.parametrize("outcome", ["released", "discarded"])
def test_a_first_job_that_waits_no_more_leaves_the_next_one_alone(
    connect: Connect, session: Session, outcome: str
) -> None:
    first, holder = _hold(started, connect)
    second = started.enqueue(1)
    holder.commit()
    if outcome == "discarded":
        discards.discard(first, session=session)
    else:
        session.connection.execute(
            "UPDATE jobsd.jobs SET unique_until = NULL WHERE id = %s", (first,)
        )
    answer = _enqueue(started, connect())

    assert answer == (second.id, "duplicate")
    assert started.enqueue(1).state == "ready"


def test_a_job_that_comes_due_keeps_its_holders_and_takes_no_new_ones(
    connect: Connect, rows: Rows
) -> None:
    first, holder = _hold(started, connect, wait="2s")
    other = connect()
    assert _enqueue(started, other) == (first, "duplicate")
    due = "SELECT scheduled_at <= clock_timestamp() FROM jobsd.scheduled_executions"
    wait_until(lambda: rows(due) == [True])

    assert started.enqueue(1).state == "ready"
    holder.commit()
    assert _enqueue(started, connect())[0] != first
    other.commit()


def test_a_next_job_that_is_rolled_back_has_never_been(connect: Connect, rows: Rows) -> None:
    first, holder = _hold(started, connect)
    other = connect()
    assert _enqueue(started, other)[1] == "ready"
    other.rollback()
    holder.commit()

    assert started.enqueue(1).id == first
    assert rows(_KEY) == [(first, None)]


@pytest.mark.parametrize("many", [False, True])
def test_a_next_job_that_its_limit_drops_gives_the_key_back(
    connect: Connect, rows: Rows, *, many: bool
) -> None:
    first, holder = _hold(picky, connect, "k")
    dropped = enqueue_many([picky.with_args(1, "k")])[0] if many else picky.enqueue(1, "k")
    assert dropped.state == "discarded"

    assert rows(_KEY) == [(first, None)]
    holder.commit()
    assert picky.enqueue(1, "k").id == first


@pytest.mark.parametrize("stored", ["before they come", "while they wait"])
def test_callers_that_waited_for_the_next_job_do_not_wait_for_each_other(
    connect: Connect, rows: Rows, stored: str
) -> None:
    _hold(started, connect)
    storing, callers = connect(), [connect() for _ in range(4)]
    if stored == "before they come":
        _enqueue(started, storing)
    else:
        storing.execute("SELECT FROM jobsd.unique_jobs FOR UPDATE")
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(_enqueue, started, mine) for mine in callers]
        wait_until(lambda: rows(WAITS) == [4])
        following, _ = _enqueue(started, storing)
        storing.commit()

        assert [each.result(10) for each in answers] == [(following, "duplicate")] * 4


def test_replacing_enqueues_replace_the_next_job(connect: Connect, rows: Rows) -> None:
    _, holder = _hold(latest, connect)
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(latest.enqueue, 1, note) for note in ("a", "b")]
        wait_until(lambda: rows(WAITS) == [2])
        holder.commit()
        following = {answer.result(10).id for answer in answers}

    assert rows("SELECT count(*) FROM jobsd.jobs") == [2]
    assert rows("SELECT job_id FROM jobsd.unique_jobs") == list(following)
    assert latest.enqueue(1, "c").id in following


def test_a_key_with_its_first_job_waiting_is_not_deleted(
    connect: Connect, session: Session, rows: Rows
) -> None:
    first, holder = _hold(started, connect)
    second = started.enqueue(1).id or 0
    holder.commit()
    discards.discard(second, session=session)

    assert sum(unique.forget(session)) == 0
    discards.discard(first, session=session)
    assert sum(unique.forget(session)) == 1
    assert rows(_KEY) == []
