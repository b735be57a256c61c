"""People cancel and discard jobs that a transaction holds: they wait, or learn who it is."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from enqueueing import placed
from harness.job_rows import make_jobs
from jobsd.acts import cancels, discards
from jobsd.errors import RefusedError
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.unique import Unique
from waiting import Stopwatch, let_pass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobsd.database.connection import Session, Target
    from rows import Rows

WAITS_S = 2.0
"""How long people wait for whoever holds a job."""

_UNIQUE = Unique(key="n", until="started")


@job(name="a.plain", unique=_UNIQUE)
def plain(n: int) -> None: ...


@job(name="a.limited", unique=_UNIQUE, limits_concurrency=Limit(to=1, key="all"))
def limited(n: int) -> None: ...


_LIMITED: dict[str, object] = {"priority": 0, "queue_name": "a", "concurrency_key": "k"}

pytestmark = pytest.mark.usefixtures("default_client")


def _in_sql(act: str) -> Callable[[int, Target], object]:
    def ask(job_id: int, target: Target) -> object:
        with psycopg.connect(target.url, autocommit=True) as mine:
            return mine.execute(f"SELECT jobsd.{act}(%s)".encode(), (job_id,)).fetchone()

    return ask


ACTS: dict[str, Callable[[int, Target], object]] = {
    "cancel": lambda job_id, _: cancels.cancel(job_id),
    "acancel": lambda job_id, _: asyncio.run(cancels.acancel(job_id)),
    "discard": lambda job_id, _: discards.discard(job_id),
    "cancel in SQL": _in_sql("cancel"),
    "discard in SQL": _in_sql("discard"),
}
EVERY_ACT = pytest.mark.parametrize("act", ACTS.values(), ids=list(ACTS))
PLACES: dict[str, tuple[Any, dict[str, str]]] = {
    "ready": (plain, {}),
    "scheduled": (plain, {"wait": "1h"}),
    "blocked": (limited, {}),
}


@pytest.fixture
def hold(target: Target) -> Iterator[Callable[..., tuple[int, psycopg.Connection[Any]]]]:
    """Enqueue a job, and a duplicate of it in a transaction that stays open."""
    with ExitStack() as stack:

        def begin(
            made: Any = plain, callers: int = 1, **how: Any
        ) -> tuple[int, psycopg.Connection[Any]]:
            first = made.using(**how).enqueue(1)
            holders = [
                stack.enter_context(
                    psycopg.connect(target.url, application_name="web of the shop")
                )
                for _ in range(callers)
            ]
            for holder in holders:
                answer = made.using(connection=holder, **how).enqueue(1)
                assert answer.id == first.id
            return first.id, holders[-1]

        yield begin


@pytest.mark.failure(
    "Somebody cancels or discards a job by its id that an open transaction holds",
    "The act waits for two seconds; then it is refused, with status 6, and names the session",
)
@EVERY_ACT
def test_the_holder_of_a_job_is_named_after_the_wait(
    target: Target, hold: Any, rows: Rows, act: Callable[[int, Target], object]
) -> None:
    job_id, holder = hold()
    watch = Stopwatch()
    named = rf"(held|changed) by session {holder.info.backend_pid} \(web of the shop, \w+\)"
    with pytest.raises(
        (RefusedError, psycopg.errors.ObjectNotInPrerequisiteState), match=named
    ):
        act(job_id, target)

    assert float(watch.took()) >= WAITS_S - 0.1
    assert watch.took() < WAITS_S + 2
    assert rows("SELECT outcome FROM jobsd.jobs") == [None]


@pytest.mark.parametrize("place", PLACES)
@EVERY_ACT
def test_a_job_that_is_let_go_in_time_is_cancelled_or_discarded(
    target: Target,
    hold: Any,
    rows: Rows,
    act: Callable[[int, Target], object],
    place: str,
) -> None:
    made, how = PLACES[place]
    job_id, holder = hold(made, **how)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(act, job_id, target)
        let_pass(WAITS_S / 2)
        assert not answer.done()
        holder.commit()
        answer.result(30)

    assert rows("SELECT outcome FROM jobsd.jobs") == ["discarded"]


def test_all_holders_of_a_job_are_named(hold: Any) -> None:
    job_id, holder = hold(callers=3, wait="1h")

    with pytest.raises(RefusedError) as refused:
        cancels.cancel(job_id)

    assert str(refused.value).count("(web of the shop") == 3
    assert f"session {holder.info.backend_pid} " in str(refused.value)


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("ready_executions", {"position": 1, "priority": 0, "queue_name": "a"}),
        ("parked_executions", {"position": 1, "priority": 0, "queue_name": "a", "lane": "l"}),
        ("blocked_executions", {**_LIMITED, "position": 1}),
        ("blocked_executions", {**_LIMITED, "position": None}),
        ("scheduled_executions", {"scheduled_at": "now", "priority": 0, "queue_name": "a"}),
        ("failed_executions", {"error": "{}"}),
    ],
)
def test_the_holder_of_a_job_is_named_wherever_the_job_is(
    target: Target, session: Session, table: str, columns: dict[str, object]
) -> None:
    (job_id,) = make_jobs(session, 1)
    names = ", ".join(columns)
    marks = ", ".join(f"%({name})s" for name in columns)
    session.connection.execute(
        f"INSERT INTO jobsd.{table} (job_id, {names}) VALUES ({job_id}, {marks})".encode(),
        columns,
    )
    with psycopg.connect(target.url) as holder:
        pid = holder.info.backend_pid
        holder.execute(f"SELECT FROM jobsd.{table} FOR UPDATE".encode())

        row = session.connection.execute(
            f"SELECT jobsd.holders_of({job_id})".encode()
        ).fetchone()

    assert row is not None
    assert f"session {pid} " in row[0]


def test_a_former_holder_of_a_job_is_not_named(hold: Any, session: Session) -> None:
    job_id, holder = hold()
    query = f"SELECT jobsd.holders_of({job_id})".encode()
    assert session.connection.execute(query).fetchone() != (None,)
    holder.commit()

    assert session.connection.execute(query).fetchone() == (None,)


def test_an_act_on_many_jobs_leaves_held_ones(hold: Any, rows: Rows) -> None:
    hold()
    plain.enqueue(2)
    watch = Stopwatch()

    assert discards.discard_all() == 1
    assert watch.took() < WAITS_S
    assert rows("SELECT count(*) FROM jobsd.jobs WHERE outcome IS NULL") == [1]


def test_a_running_job_is_no_reason_to_wait(session: Session) -> None:
    job_id = plain.enqueue(1).id or 0
    placed.claim(session, 1, job_id)
    watch = Stopwatch()

    with pytest.raises(RefusedError, match="while it is claimed by"):
        discards.discard(job_id)
    assert watch.took() < WAITS_S
