"""A dispatcher finds who waits beside a free slot, whoever did not say so."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.clock import monotonic
from jobsd.dispatcher import maintenance as maintenance_module
from rows_of_limits import turn as _turn
from waiting import Stopwatch

if TYPE_CHECKING:
    from jobsd.database.connection import Target
    from rows_of_limits import Table

    from .conftest import Make


@pytest.mark.failure(
    "What was to let a blocked job become ready was lost: an answer, a notification, or the "
    "process that was to do it.",
    "A dispatcher finds the job within five seconds, whatever its settings.",
)
@pytest.mark.parametrize("maintenance", [True, False])
@pytest.mark.parametrize("wakeups", ["auto", "off"])
def test_who_waits_beside_a_free_slot_is_found_though_nobody_says_so(
    make: Make, table: Table, wakeups: str, *, maintenance: bool
) -> None:
    dispatcher, _ = make(wakeups=wakeups, maintenance=maintenance)
    holder = table.enqueue()
    waiting = table.enqueue()
    _turn(dispatcher)
    table.remove("ready_executions", holder)
    table.remove("concurrency_slots", holder)

    watch = Stopwatch()
    while not table.ids("ready_executions"):
        assert not watch.over(maintenance_module.LOOK_S + 1)
        rest_s = dispatcher.poll()
        assert rest_s <= maintenance_module.LOOK_S
    assert table.ids("ready_executions") == [waiting]


def test_where_nothing_waits_nothing_is_looked_for(make: Make, table: Table) -> None:
    dispatcher, _ = make(maintenance=False)
    table.enqueue()
    _turn(dispatcher)

    assert dispatcher._maintenance.next_at == float("inf")


def test_after_an_outage_it_is_looked_at_once(make: Make, table: Table) -> None:
    dispatcher, _ = make(maintenance=False)
    holder = table.enqueue()
    waiting = table.enqueue()
    _turn(dispatcher)
    dispatcher.disconnect()
    table.remove("ready_executions", holder)
    table.remove("concurrency_slots", holder)

    dispatcher.connect()
    _turn(dispatcher)

    assert table.ids("ready_executions") == [waiting]


def test_what_a_dispatcher_has_not_come_to_another_one_does(make: Make, table: Table) -> None:
    job_id = table.enqueue(wait="1 h")
    table.make_due()
    dying, _ = make()
    dying._dispatch()
    assert table.ids("blocked_executions") == [job_id]

    other, _ = make(maintenance=False)
    _turn(other)

    assert table.ids("ready_executions") == [job_id]


@pytest.mark.parametrize("on_conflict", ["block", "discard"])
def test_who_did_not_get_the_lock_of_its_key_is_looked_after_at_its_commit(
    make: Make, table: Table, target: Target, on_conflict: str
) -> None:
    dispatcher, context = make(maintenance=False)
    _turn(dispatcher)
    with psycopg.connect(target.url) as holder, psycopg.connect(target.url) as mine:
        mine.execute("SET lock_timeout = '50ms'")
        holder.execute("SELECT jobsd.enqueue('x', concurrency_key => 'k')")
        mine.execute(
            "SELECT jobsd.enqueue('x', concurrency_key => 'k', on_conflict => %s)",
            (on_conflict,),
        )
        holder.rollback()
        mine.commit()
    socket = dispatcher.socket()
    assert socket is not None
    context.nap.take(5.0, [socket])
    _turn(dispatcher)

    assert len(table.ids("ready_executions")) == 1


def test_all_keys_of_a_large_transaction_are_looked_after_at_its_commit(
    make: Make, table: Table
) -> None:
    dispatcher, _ = make(maintenance=False)
    _turn(dispatcher)
    table.rows(
        "SELECT count(jobsd.enqueue('x', concurrency_key => 'k' || n % 1500))"
        " FROM generate_series(1, 3000) AS n"
    )

    _turn(dispatcher)

    assert len(table.ids("ready_executions")) == 1500
    assert len(table.ids("blocked_executions")) == 1500


def test_a_wide_key_is_filled_in_several_statements(make: Make, table: Table) -> None:
    dispatcher, _ = make(maintenance=False)
    _turn(dispatcher)
    table.rows(
        "SELECT count(jobsd.enqueue('x', concurrency_key => 'k' || n))"
        " FROM generate_series(1, 64) AS n"
        " UNION ALL SELECT count(jobsd.enqueue('x', concurrency_key => 'wide',"
        " concurrency_limit => 11000)) FROM generate_series(1, 12000) AS n"
    )

    _turn(dispatcher)

    assert len(table.ids("ready_executions")) == 11_064


def test_who_hears_nothing_looks_at_its_polling_interval(make: Make, table: Table) -> None:
    deaf, _ = make(wakeups="off")
    hearing, _ = make()
    table.enqueue()
    table.enqueue()
    for dispatcher in (deaf, hearing):
        _turn(dispatcher)

    assert deaf._maintenance.next_at < monotonic() + 1.0
    assert monotonic() + 3.0 < hearing._maintenance.next_at
