"""A dispatcher looks after the limits: due jobs, jobs left waiting, keys that are forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.database.statements import Statement
from jobsd.jobs import limits
from jobsd.states import results
from rows_of_limits import turn as _turn
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from rows_of_limits import Table

    from .conftest import Make

_ANYTHING = Statement("anything", "SELECT 1")


@pytest.mark.behaviour(77)
def test_due_jobs_are_ready_and_wait_in_the_order_of_their_key(
    make: Make, table: Table
) -> None:
    jobs = [table.enqueue(wait="1 h"), table.enqueue(wait="2 h", concurrency_limit=2)]
    table.make_due()
    dispatcher, _ = make()

    _turn(dispatcher)

    assert table.ids("ready_executions") == []
    rows = table.rows(
        "SELECT job_id, position IS NOT NULL, concurrency_key, concurrency_limit, yields"
        " FROM jobsd.blocked_executions ORDER BY position"
    )
    assert rows == [(jobs[0], True, "k", 1, False), (jobs[1], True, "k", 2, False)]


@pytest.mark.behaviour(77)
def test_whether_a_due_job_may_wait_is_for_the_worker_that_meets_it(
    make: Make, table: Table
) -> None:
    late = table.enqueue(on_conflict="discard", wait="1 h")
    begun = table.enqueue(on_conflict="discard", wait="1 h")
    table.rows("UPDATE jobsd.jobs SET attempts = 1 WHERE id = %s RETURNING 1", begun)
    table.make_due()
    dispatcher, _ = make()

    _turn(dispatcher)

    rows = table.rows("SELECT job_id, yields FROM jobsd.blocked_executions ORDER BY 1")
    assert rows == [(late, True), (begun, False)]


@pytest.mark.behaviour(74)
def test_no_duration_admits_another_while_the_job_is_claimed(make: Make, table: Table) -> None:
    running, waiting = (table.enqueue(concurrency_duration="1 s") for _ in range(2))
    table.remove("blocked_executions", running)
    table.hold("k", running)
    table.block(waiting)
    table.rows("UPDATE jobsd.claims SET created_at = now() - interval '9 d' RETURNING 1")
    dispatcher, _ = make()

    _turn(dispatcher)

    assert table.ids("claimed_executions") == [running]
    assert table.ids("places WHERE state = 'blocked'") == [waiting]


@pytest.mark.behaviour(73)
def test_a_job_that_waits_beside_a_free_slot_is_found_by_a_check(
    make: Make, table: Table
) -> None:
    waiting = [table.enqueue(f"k{n}") for n in range(30)]
    held = table.enqueue("held")
    table.block(*waiting, held)
    table.hold("held", -1)
    dispatcher, _ = make()

    _turn(dispatcher)

    assert table.ids("all_ready_executions") == waiting
    assert table.ids("places WHERE state = 'blocked'") == [held]


def test_a_check_passes_over_jobs_of_paused_queues(make: Make, table: Table) -> None:
    paused, other = table.enqueue(queue="paused"), table.enqueue()
    table.block(other)
    table.rows("INSERT INTO jobsd.pauses (queue_name) VALUES ('paused') RETURNING 1")
    dispatcher, _ = make()

    _turn(dispatcher)

    assert table.ids("all_ready_executions") == [paused, other]


def test_a_check_that_an_outage_has_broken_off_is_made_again(
    make: Make, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_KEYS_AT_ONCE", 10)
    waiting = [table.enqueue(f"k{n}") for n in range(30)]
    table.block(*waiting)
    dispatcher, _ = make()
    dispatcher.poll()
    assert len(table.ids("all_ready_executions")) < len(waiting)

    dispatcher.disconnect()
    dispatcher.connect()
    _turn(dispatcher)

    assert table.ids("all_ready_executions") == waiting


def test_what_an_outage_kept_from_being_cleared_is_cleared_behind_it(
    make: Make, table: Table
) -> None:
    table.rows(
        "INSERT INTO jobsd.unique_jobs (key, job_id, ends_at)"
        " SELECT 'k' || n, n, now() - interval '1 d' FROM generate_series(1, 1500) AS n"
        " RETURNING 1"
    )
    dispatcher, _ = make()
    dispatcher.poll()
    assert table.ids("unique_jobs")

    dispatcher.disconnect()
    dispatcher.connect()
    _turn(dispatcher)

    assert table.ids("unique_jobs") == []


def test_a_check_is_made_when_asked_for(make: Make, table: Table, session: Session) -> None:
    dispatcher, context = make()
    _turn(dispatcher)
    waiting = table.enqueue()
    table.block(waiting)

    session.fetch(limits.STATEMENTS["ask"])
    socket = dispatcher.socket()
    assert socket is not None
    context.nap.take(5.0, [socket])
    _turn(dispatcher)

    assert table.ids("all_ready_executions") == [waiting]


def test_discard_keys_not_held_for_a_day_are_deleted(make: Make, table: Table) -> None:
    table.enqueue("old", on_conflict="discard")
    table.rows("UPDATE jobsd.discard_keys SET held_at = now() - interval '2 d' RETURNING 1")
    table.enqueue("young", on_conflict="discard")
    dispatcher, _ = make()

    _turn(dispatcher)

    assert table.rows("SELECT key FROM jobsd.discard_keys") == [("young",)]


def test_clearing_is_done_at_the_interval_and_can_be_switched_off(
    make: Make, table: Table
) -> None:
    often, _ = make(interval_s=0.01)
    never, _ = make(maintenance=False)
    table.enqueue("old", on_conflict="discard")
    table.rows("UPDATE jobsd.discard_keys SET held_at = now() - interval '2 d' RETURNING 1")
    _turn(never)
    assert table.rows("SELECT key FROM jobsd.discard_keys") == [("old",)]

    wait_until(lambda: not table.rows("SELECT key FROM jobsd.discard_keys"), between=often.poll)


def test_without_maintenance_anywhere_nothing_is_ever_deleted(make: Make, table: Table) -> None:
    never, _ = make(maintenance=False)
    table.rows(
        "INSERT INTO jobsd.results (job_id, state, expires_at)"
        " VALUES (1, 'finished', now() - interval '1 d') RETURNING 1"
    )
    table.rows(
        "INSERT INTO jobsd.waiters (job_id, waiter, created_at)"
        " VALUES (1, 1, now() - interval '2 d') RETURNING 1"
    )

    _turn(never)
    kept = [table.rows(f"SELECT job_id FROM jobsd.{name}") for name in ("results", "waiters")]
    once, _ = make()

    # `check` warns of it.
    assert kept == [[(1,)], [(1,)]]
    wait_until(lambda: not table.rows("SELECT job_id FROM jobsd.waiters"), between=once.poll)
    assert table.rows("SELECT job_id FROM jobsd.results") == []


def test_more_expired_results_than_a_batch_are_cleared_one_batch_after_the_other(
    make: Make, table: Table
) -> None:
    table.rows(
        "INSERT INTO jobsd.results (job_id, state, expires_at)"
        " SELECT n, 'finished', now() - interval '1 d' FROM generate_series(1, %s) AS n"
        " RETURNING 1",
        results.BATCH + 1,
    )
    dispatcher, _ = make()

    _turn(dispatcher)

    assert table.ids("results") == []
