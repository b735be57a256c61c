"""Whoever passes over a job that a transaction holds is woken by that transaction's commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from enqueueing import placed
from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.unique import Unique

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobsd.database.connection import Session, Target

    Connection = psycopg.Connection[tuple[Any, ...]]

_UNIQUE = Unique(key="n", until="started")


@job(name="k.plain", unique=_UNIQUE)
def plain(n: int) -> None: ...


@job(name="k.limited", unique=_UNIQUE, limits_concurrency=Limit(group="k", key="all"))
def limited(n: int) -> None: ...


@job(
    name="k.latest",
    unique=Unique(key="n", until="started", on_conflict="replace"),
    limits_concurrency=Limit(group="k", key="all"),
)
def latest(n: int) -> None: ...


pytestmark = pytest.mark.usefixtures("default_client")


def _within(made: Any, mine: Connection) -> None:
    assert made.using(connection=mine, queue="other").enqueue(1).state == "duplicate"


def _bulk(made: Any, mine: Connection) -> None:
    (answer,) = enqueue_many([made.using(queue="other").with_args(1)], connection=mine)
    assert answer.state == "duplicate"


def _sql(made: Any, mine: Connection) -> None:
    mine.execute(
        "SELECT jobsd.enqueue(%(name)s, '[1]', 'other', unique_key => %(name)s || '/1',"
        " unique_until => 'started')",
        {"name": made.definition.name},
    )


def _alone(made: Any, mine: Connection) -> None:
    """Without a transaction of the caller's: it is ours, and may meet a claim all the same."""
    del mine
    assert made.using(queue="other").enqueue(1).state == "duplicate"


@pytest.fixture
def heard(target: Target) -> Iterator[Callable[[], set[str]]]:
    """Say what has been notified since; nobody sleeps as far as the tables know."""
    with psycopg.connect(target.url, autocommit=True) as listener:
        for topic in ("wake", "due"):
            listener.execute(f'LISTEN """jobsd"".{topic}"'.encode())
        yield lambda: {
            f"{each.channel.rpartition('.')[2]}: {each.payload}"
            for each in listener.notifies(timeout=0.5)
        }


WAKES = {
    "ready": "wake: ready default",
    "parked": "wake: ready default",
    "scheduled": "due: due",
    "limited": "wake: limited default",
    "blocked": "due: limits",
}


@pytest.mark.parametrize("place", WAKES)
@pytest.mark.parametrize("enqueue", [_alone, _within, _bulk, _sql])
def test_a_worker_is_woken_by_the_commit_of_a_job_holder(
    target: Target,
    session: Session,
    heard: Callable[[], set[str]],
    enqueue: Callable[[Any, Connection], None],
    *,
    place: str,
) -> None:
    made: Any = limited if place in {"limited", "blocked"} else plain
    first = made.using(wait="1h" if place == "scheduled" else None).enqueue(1).id
    if place == "blocked":
        placed.block(session, first)
    if place == "parked":
        session.connection.execute(
            "WITH gone AS (DELETE FROM jobsd.ready_executions RETURNING *)"
            " INSERT INTO jobsd.parked_executions SELECT *, 'lane' FROM gone"
        )
    heard()
    with psycopg.connect(target.url) as mine:
        enqueue(made, mine)
        mine.commit()

    assert WAKES[place] in heard()


@pytest.mark.parametrize("many", [False, True])
def test_a_replaced_job_that_hands_over_wakes_at_the_commit(
    target: Target, session: Session, heard: Callable[[], set[str]], *, many: bool
) -> None:
    latest.enqueue(1)
    placed.block(session, limited.enqueue(2).id or 0)
    heard()
    with psycopg.connect(target.url) as mine:
        later = latest.using(wait="1h", connection=mine)
        if many:
            enqueue_many([latest.using(wait="1h").with_args(1)], connection=mine)
        else:
            later.enqueue(1)
        mine.commit()

    assert "wake: limited default" in heard()


@pytest.mark.parametrize("act", ["cancel", "discard"])
def test_an_act_of_a_caller_that_hands_over_wakes_at_the_commit(
    target: Target, session: Session, heard: Callable[[], set[str]], act: str
) -> None:
    first = limited.enqueue(1).id
    placed.block(session, limited.enqueue(2).id or 0)
    heard()
    with psycopg.connect(target.url) as mine:
        mine.execute(f"SELECT jobsd.{act}({first})".encode())
        mine.commit()

    assert "wake: limited default" in heard()
