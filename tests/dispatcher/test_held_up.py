"""Whoever waits for a slot is held up by no other: neither by one that is gone, nor by many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.jobs import limits
from rows_of_limits import turn as _turn
from waiting import Stopwatch

if TYPE_CHECKING:
    from jobsd.database.connection import Target
    from rows_of_limits import Table

    from .conftest import Make

KEYS = ["a", "b", "c", "d"]


def _block(table: Table, key: str, jobs: int) -> list[int]:
    """Store jobs that wait for a slot, as if nobody had asked for it."""
    rows = table.rows(
        "WITH job AS (INSERT INTO jobsd.jobs"
        " (queue_name, class_name, concurrency_key, concurrency_limit)"
        " SELECT 'default', 'x', %s, 100000 FROM generate_series(1, %s) RETURNING *)"
        " INSERT INTO jobsd.blocked_executions (job_id, priority, queue_name, concurrency_key)"
        " SELECT id, 0, queue_name, concurrency_key FROM job RETURNING job_id",
        key,
        jobs,
    )
    return [row[0] for row in rows]


def _end(table: Table, job_id: int) -> None:
    table.remove("ready_executions", job_id)
    table.remove("concurrency_slots", job_id)


@pytest.mark.failure(
    "Somebody deletes the row of a job that waits for a slot, and leaves the rest of it.",
    "Those that wait behind it get the slots that are free; what was left of it goes.",
)
@pytest.mark.parametrize("told", [True, False])
def test_who_waits_behind_a_deleted_job_gets_its_slot(
    make: Make, table: Table, *, told: bool
) -> None:
    dispatcher, _ = make(maintenance=False)
    first, *others = (table.enqueue(concurrency_limit=3) for _ in range(3))
    deleted, waiting = (table.enqueue(concurrency_limit=3) for _ in range(2))
    _turn(dispatcher)
    _end(table, first)
    table.rows("DELETE FROM jobsd.jobs WHERE id = %s RETURNING 1", deleted)

    if told:
        limits.promote(table.session, ["k"])
    else:
        dispatcher.disconnect()
        dispatcher.connect()
        _turn(dispatcher)

    assert table.ids("ready_executions") == [*others, waiting]
    assert table.ids("blocked_executions") == []


def test_very_many_deleted_jobs_are_cleared_away_in_several_statements(table: Table) -> None:
    deleted = _block(table, "k", 6000)
    (waiting,) = _block(table, "k", 1)
    table.rows("DELETE FROM jobsd.jobs WHERE id = ANY (%s) RETURNING 1", deleted)

    first = limits.promote(table.session, ["k"])
    left = len(table.ids("blocked_executions"))
    then = limits.promote(table.session, ["k"])

    assert first.missed == {"k"}
    assert left == 1001
    assert not then.missed
    assert table.ids("ready_executions") == [waiting]


def test_a_key_with_very_much_to_do_holds_up_no_other(table: Table) -> None:
    rows = table.session.fetch(limits.STATEMENTS["promote"], {"keys": KEYS, "keep": True})
    wide, *others = [row[0] for row in rows]
    _block(table, wide, 6000)
    small = [job for key in others for job in _block(table, key, 10)]

    promotion = limits.promote(table.session, KEYS)

    assert promotion.begun == {wide}
    assert set(small) <= set(table.ids("ready_executions"))
    assert promotion.promoted <= 5000


@pytest.mark.failure(
    "Somebody holds the row of a job locked that is to be discarded since no slot is free.",
    "That job waits; the dispatcher, and the worker that looks for its successor, do not.",
)
def test_a_locked_job_that_may_not_wait_holds_up_nobody(
    make: Make, table: Table, target: Target
) -> None:
    dispatcher, _ = make(maintenance=False)
    running = table.enqueue()
    locked, other = (table.enqueue(on_conflict="discard", wait="1 h") for _ in range(2))
    table.make_due()
    with psycopg.connect(target.url) as holder:
        holder.execute("SELECT FROM jobsd.jobs WHERE id = %s FOR UPDATE", (locked,))
        watch = Stopwatch()

        _turn(dispatcher)

        assert watch.took() < 2
        assert table.ids("blocked_executions") == [locked]
        assert table.rows("SELECT id FROM jobsd.jobs WHERE outcome = 'discarded'") == [(other,)]

    assert limits.promote(table.session, ["k"]).discarded == 1
    assert table.ids("ready_executions") == [running]
