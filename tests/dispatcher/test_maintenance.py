"""A dispatcher looks after the limits: due jobs, slots that were lost, jobs left waiting."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.database.connection import Session as Listening
from jobsd.database.statements import Statement
from jobsd.jobs import limits
from rows_of_limits import turn as _turn
from waiting import Stopwatch

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target
    from rows_of_limits import Table

    from .conftest import Make

_ANYTHING = Statement("anything", "SELECT 1")


@pytest.mark.behaviour(77)
def test_a_due_job_takes_a_free_slot_and_the_next_one_waits(make: Make, table: Table) -> None:
    first = table.enqueue(wait="1 h")
    second = table.enqueue(wait="2 h")
    other = table.enqueue("other", wait="2 h")
    table.make_due()
    dispatcher, _ = make()

    _turn(dispatcher)

    assert table.ids("ready_executions") == [first, other]
    assert table.ids("concurrency_slots") == [first, other]
    assert table.ids("blocked_executions") == [second]


@pytest.mark.behaviour(77)
@pytest.mark.parametrize("keep", [True, False])
def test_a_due_job_that_may_not_wait_is_discarded(
    make: Make, table: Table, *, keep: bool
) -> None:
    holder = table.enqueue(on_conflict="discard")
    late = table.enqueue(on_conflict="discard", wait="1 h")
    table.make_due()
    dispatcher, _ = make(keep=keep)

    _turn(dispatcher)

    assert table.ids("ready_executions") == [holder]
    assert table.ids("blocked_executions") == []
    outcomes = table.rows("SELECT outcome FROM jobsd.jobs WHERE id = %s", late)
    assert outcomes == ([("discarded",)] if keep else [])


@pytest.mark.behaviour(76)
def test_a_job_that_was_begun_is_not_discarded_any_more(make: Make, table: Table) -> None:
    table.enqueue(on_conflict="discard")
    retried = table.enqueue(on_conflict="discard", wait="1 h")
    table.rows("UPDATE jobsd.jobs SET attempts = 1 WHERE id = %s RETURNING 1", retried)
    table.make_due()
    dispatcher, _ = make()

    _turn(dispatcher)

    assert table.ids("blocked_executions") == [retried]


def test_a_due_job_waits_for_a_key_that_an_open_transaction_holds(
    make: Make, table: Table, target: Target
) -> None:
    job_id = table.enqueue(wait="1 h")
    free = table.enqueue("free", wait="1 h")
    table.make_due()
    dispatcher, _ = make()
    with psycopg.connect(target.url) as connection:
        connection.execute("SELECT jobsd.enqueue('x', concurrency_key => 'k')")
        _turn(dispatcher)
        assert table.ids("ready_executions") == [free]
        assert table.ids("blocked_executions") == [job_id]
        connection.rollback()

    watch = Stopwatch()
    while table.ids("blocked_executions"):
        assert not watch.over(10)
        dispatcher.poll()
    assert table.ids("ready_executions") == [job_id, free]


def test_who_leaves_with_a_key_that_it_owes_asks_the_others(
    make: Make, table: Table, target: Target
) -> None:
    table.enqueue(wait="1 h")
    table.make_due()
    dispatcher, _ = make()
    with (
        psycopg.connect(target.url) as holder,
        contextlib.closing(Listening(target, "listener", listen=True)) as listener,
    ):
        holder.execute("SELECT jobsd.enqueue('x', concurrency_key => 'k')")
        _turn(dispatcher)
        listener.fetch(_ANYTHING)
        listener.notifications()

        dispatcher.stop()
        dispatcher.farewell()

        listener.fetch(_ANYTHING)
        assert listener.notifications() == ["limits"]


@pytest.mark.behaviour(73, 74)
def test_a_slot_without_its_job_is_freed_once_its_duration_is_over(
    make: Make, table: Table
) -> None:
    gone = table.enqueue(concurrency_duration="1 s")
    young = table.enqueue("young", concurrency_duration="1 h")
    blocked = table.enqueue()
    for job_id in (gone, young):
        table.remove("ready_executions", job_id)
    table.rows(
        "UPDATE jobsd.concurrency_slots SET created_at = now() - interval '2 s' RETURNING 1"
    )
    dispatcher, _ = make()

    _turn(dispatcher)

    assert table.ids("ready_executions") == [blocked]
    assert table.ids("concurrency_slots") == [young, blocked]


def test_the_default_is_for_slots_without_a_duration(make: Make, table: Table) -> None:
    for age in ("170 s", "190 s"):
        job_id = table.enqueue(age)
        table.remove("ready_executions", job_id)
        table.rows(
            "UPDATE jobsd.concurrency_slots SET created_at = now() - %s::interval"
            " WHERE job_id = %s RETURNING 1",
            age,
            job_id,
        )
    dispatcher, _ = make()

    _turn(dispatcher)

    assert table.rows("SELECT key FROM jobsd.concurrency_slots") == [("170 s",)]


@pytest.mark.behaviour(74)
def test_no_duration_admits_another_while_the_job_is_ready_or_claimed(
    make: Make, table: Table
) -> None:
    ready = table.enqueue("a", concurrency_duration="1 s")
    claimed = table.enqueue("b", concurrency_duration="1 s")
    waiting = [table.enqueue("a"), table.enqueue("b")]
    table.remove("ready_executions", claimed)
    table.rows(
        "INSERT INTO jobsd.claims (process_id, job_ids) VALUES (1, ARRAY[%s]) RETURNING 1",
        claimed,
    )
    table.rows(
        "UPDATE jobsd.concurrency_slots SET created_at = now() - interval '9 d' RETURNING 1"
    )
    dispatcher, _ = make()

    _turn(dispatcher)

    assert table.ids("concurrency_slots") == [ready, claimed]
    assert table.ids("blocked_executions") == waiting


@pytest.mark.behaviour(73)
def test_a_job_that_waits_for_a_free_slot_is_found_by_a_pass(make: Make, table: Table) -> None:
    holders = [table.enqueue(f"k{n}") for n in range(300)]
    waiting = [table.enqueue(f"k{n}") for n in range(300)]
    table.rows("DELETE FROM jobsd.ready_executions RETURNING 1")
    table.rows("DELETE FROM jobsd.concurrency_slots RETURNING 1")
    dispatcher, _ = make()

    _turn(dispatcher)

    assert table.ids("ready_executions") == waiting
    assert holders[0] not in waiting


def test_a_pass_that_an_outage_has_broken_off_is_made_again(make: Make, table: Table) -> None:
    waiting = [table.enqueue(f"k{n}") for n in range(300) for _ in "ab"][1::2]
    table.rows("DELETE FROM jobsd.ready_executions RETURNING 1")
    table.rows("DELETE FROM jobsd.concurrency_slots RETURNING 1")
    dispatcher, _ = make()
    dispatcher.poll()
    assert len(table.ids("ready_executions")) < len(waiting)

    dispatcher.disconnect()
    dispatcher.connect()
    _turn(dispatcher)

    assert table.ids("ready_executions") == waiting


def test_slots_that_an_outage_kept_from_being_freed_are_freed_behind_it(
    make: Make, table: Table
) -> None:
    table.rows(
        "INSERT INTO jobsd.concurrency_slots (job_id, number, key, created_at)"
        " SELECT -n, 1, 'k' || n, now() - interval '1 d' FROM generate_series(1, 1500) AS n"
        " RETURNING 1"
    )
    dispatcher, _ = make()
    dispatcher.poll()
    assert len(table.ids("concurrency_slots")) == 500

    dispatcher.disconnect()
    dispatcher.connect()
    _turn(dispatcher)

    assert table.ids("concurrency_slots") == []


def test_a_pass_is_made_when_asked_for(make: Make, table: Table, session: Session) -> None:
    dispatcher, context = make()
    _turn(dispatcher)
    holder = table.enqueue()
    waiting = table.enqueue()
    table.remove("ready_executions", holder)
    table.remove("concurrency_slots", holder)
    _turn(dispatcher)
    assert table.ids("ready_executions") == []

    session.fetch(limits.STATEMENTS["ask"])
    socket = dispatcher.socket()
    assert socket is not None
    context.nap.take(5.0, [socket])
    _turn(dispatcher)

    assert table.ids("ready_executions") == [waiting]


def test_slots_are_freed_at_the_interval_which_can_be_switched_off(
    make: Make, table: Table
) -> None:
    often, _ = make(interval_s=0.01)
    never, _ = make(maintenance=False)
    left = table.enqueue(concurrency_duration="1 s")
    table.remove("ready_executions", left)
    table.age_slots("2 s")
    _turn(never)
    assert table.ids("concurrency_slots") == [left]

    watch = Stopwatch()
    while table.ids("concurrency_slots"):
        assert not watch.over(10)
        often.poll()


@pytest.mark.parametrize("duration", ["1000 years", "300000 years", "170000000 years"])
def test_a_duration_may_reach_back_before_all_time(
    make: Make, table: Table, duration: str
) -> None:
    left = table.enqueue(concurrency_duration=duration)
    table.remove("ready_executions", left)
    dispatcher, _ = make()

    _turn(dispatcher)

    assert table.ids("concurrency_slots") == [left]
