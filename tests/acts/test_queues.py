"""Queues: paused, measured, emptied."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

import refused
from enqueueing.placed import block, enqueue, fail
from harness.job_rows import places
from jobsd.acts import queues, retries
from jobsd.errors import Error

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target

pytestmark = pytest.mark.usefixtures("default_client")


def test_a_pause_keeps_its_beginning_and_takes_a_new_reason(session: Session) -> None:
    assert queues.pause("mail", "one", by="me") is True
    [first] = queues.paused()
    assert queues.pause("mail", "two", by="you") is False

    [pause] = queues.paused(session=session)
    assert (pause.reason, pause.created_by) == ("two", "me")
    assert pause.created_at == first.created_at
    assert queues.pause("mail") is False
    assert queues.paused()[0].reason == "two"


@pytest.mark.behaviour(44)
def test_only_a_paused_queue_can_be_resumed() -> None:
    queues.pause("mail")

    assert queues.resume("mail") is True
    assert queues.resume("mail") is False
    assert queues.paused() == []


@pytest.mark.behaviour(44)
@pytest.mark.parametrize("name", [*refused.QUEUES, "a\0b", "\udcff"], ids=ascii)
def test_a_name_that_is_none_is_one_clear_error_everywhere(name: str) -> None:
    for ask in (queues.pause, queues.resume, queues.size, queues.latency, queues.clear):
        with pytest.raises(Error, match="is not a queue name"):
            ask(name)


@pytest.mark.parametrize("text", ["a\0b", "two\nlines", "\udcff"])
def test_a_reason_is_a_line_of_text(text: str) -> None:
    with pytest.raises(Error, match="reason: "):
        queues.pause("mail", text)
    with pytest.raises(Error, match="by: "):
        queues.pause("mail", by=text)
    assert queues.paused() == []


def test_a_sleeping_worker_is_woken_by_a_resume(session: Session, target: Target) -> None:
    from jobsd.database.connection import Session as Connection

    with contextlib.closing(Connection(target, "listener", listen=True)) as listener:
        _ = listener.connection
        session.connection.execute("INSERT INTO jobsd.sleepers VALUES (1, 'worker')")
        queues.pause("mail")

        queues.resume("mail")

        listener.connection.execute("SELECT 1")
        assert listener.notifications() == ["resumed mail"]


@pytest.mark.behaviour(48)
def test_size_and_latency_are_those_of_the_ready_jobs(session: Session) -> None:
    assert (queues.size("mail"), queues.latency("mail")) == (0, 0.0)
    old = enqueue(priority=5)
    enqueue()
    enqueue(wait="1h")
    enqueue("other")
    session.connection.execute(
        "UPDATE jobsd.jobs SET created_at = now() - interval '90 s' WHERE id = %s", (old,)
    )

    assert queues.size("mail") == 2
    assert 90 <= queues.latency("mail") < 100


@pytest.mark.behaviour(47)
@pytest.mark.parametrize("keep", [True, False])
def test_clearing_discards_ready_jobs(session: Session, *, keep: bool) -> None:
    ready = [enqueue() for _ in range(3)]
    later, other = enqueue(wait="1h"), enqueue("other")

    assert queues.clear("mail", keep=keep) == 3
    assert queues.size("mail") == 0
    rows = session.connection.execute(
        "SELECT id, outcome FROM jobsd.jobs WHERE finished_at IS NOT NULL ORDER BY id"
    ).fetchall()
    assert rows == ([(job_id, "discarded") for job_id in ready] if keep else [])
    left = session.connection.execute("SELECT id FROM jobsd.jobs ORDER BY id").fetchall()
    assert left[-2:] == [(later,), (other,)]


def test_clearing_goes_on_until_all_that_was_there_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queues, "CLEAR_BATCH", 2)
    for n in range(5):
        enqueue(priority=n)

    assert queues.clear("mail") == 5


def test_clearing_leaves_jobs_being_claimed(session: Session) -> None:
    claimed = enqueue()
    enqueue()
    with session.connection.transaction():
        session.connection.execute(
            "SELECT FROM jobsd.ready_executions WHERE job_id = %s FOR UPDATE", (claimed,)
        )

        assert queues.clear("mail") == 1


def test_clearing_leaves_what_came_later_in_lanes_too(session: Session) -> None:
    early, late = enqueue(), enqueue()
    session.connection.execute(
        "WITH gone AS (DELETE FROM jobsd.ready_executions RETURNING *)"
        " INSERT INTO jobsd.parked_executions (job_id, position, priority, queue_name, lane)"
        " SELECT job_id, position, priority, queue_name, 'elsewhere' FROM gone"
    )
    facts = {"name": "mail", "until": early, "limit": 10, "keep": True}

    session.fetch(queues.STATEMENTS["clear"], facts)

    assert places(session) == {early: "discarded", late: "ready"}


@pytest.mark.behaviour(47)
def test_clearing_lets_blocked_jobs_of_other_queues_be_met(session: Session) -> None:
    here = [enqueue(key="a") for _ in range(2)]
    elsewhere = enqueue("other", key="a", priority=1)
    block(session, here[1], elsewhere)

    assert queues.clear("mail") == 1
    assert places(session) == {here[0]: "discarded", here[1]: "ready", elsewhere: "blocked"}


def test_clearing_leaves_a_job_that_it_unblocked(session: Session) -> None:
    first, second = enqueue(key="a"), enqueue(key="a")
    block(session, second)

    assert queues.clear("mail") == 1
    assert places(session) == {first: "discarded", second: "ready"}


def test_clearing_leaves_no_attempts_of_jobs_that_are_not_kept(session: Session) -> None:
    job_id = enqueue()
    fail(session, job_id)
    retries.retry(job_id)

    queues.clear("mail", keep=False)

    assert session.connection.execute("SELECT FROM jobsd.attempts").fetchone() is None
