"""A dispatcher finds who waits beside a free slot, whoever did not say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.clock import monotonic
from jobsd.dispatcher import maintenance as maintenance_module
from jobsd.jobs import unique
from rows_of_limits import turn as _turn
from waiting import wait_until

if TYPE_CHECKING:
    from rows_of_limits import Table

    from .conftest import Make


@pytest.mark.failure(
    "The unblocking of a job is lost: an answer, a notification, or the process that was to"
    " do it",
    "A dispatcher finds the job within five seconds, whatever its settings.",
)
@pytest.mark.parametrize("maintenance", [True, False])
@pytest.mark.parametrize("wakeups", ["auto", "off"])
def test_a_job_blocked_beside_a_free_slot_is_found_without_a_notification(
    make: Make, table: Table, wakeups: str, *, maintenance: bool
) -> None:
    dispatcher, _ = make(wakeups=wakeups, maintenance=maintenance)
    table.block(other := table.enqueue("other"))
    table.hold("other", -1)
    _turn(dispatcher)
    waiting = table.enqueue()
    table.block(waiting)

    def poll() -> None:
        assert dispatcher.poll() <= maintenance_module.CHECK_S

    wait_until(
        lambda: table.ids("all_ready_executions"), maintenance_module.CHECK_S + 1, between=poll
    )
    assert table.ids("all_ready_executions") == [waiting]
    assert table.ids("places WHERE state = 'blocked'") == [other]


def test_nothing_is_checked_without_blocked_jobs(make: Make, table: Table) -> None:
    dispatcher, _ = make(maintenance=False)
    table.enqueue(None)
    _turn(dispatcher)

    assert dispatcher.limits.next_at == float("inf")


def test_after_an_outage_it_checks_at_once(make: Make, table: Table) -> None:
    dispatcher, _ = make(maintenance=False)
    waiting = table.enqueue()
    _turn(dispatcher)
    dispatcher.disconnect()
    table.block(waiting)

    dispatcher.connect()
    _turn(dispatcher)

    assert table.ids("all_ready_executions") == [waiting]


def test_without_notifications_it_checks_at_its_polling_interval(
    make: Make, table: Table
) -> None:
    deaf, _ = make(wakeups="off")
    hearing, _ = make()
    table.enqueue()
    table.enqueue()
    for dispatcher in (deaf, hearing):
        _turn(dispatcher)

    assert deaf.limits.next_at < monotonic() + 1.0
    assert monotonic() + 3.0 < hearing.limits.next_at


@pytest.mark.failure(
    "A dispatcher clears a million old keys, for minutes.",
    "The limits are checked first, and every five seconds beside it.",
)
def test_limits_are_checked_before_and_beside_a_long_walk_over_old_rows(
    make: Make, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unique, "_KEYS_AT_ONCE", 1)
    monkeypatch.setattr(maintenance_module, "CHECK_S", 0.05)
    table.rows(
        "INSERT INTO jobsd.unique_jobs (key, job_id, ends_at)"
        " SELECT 'k' || n, n, now() - interval '1 d' FROM generate_series(1, 3000) AS n"
        " RETURNING 1"
    )
    table.block(first := table.enqueue())
    dispatcher, _ = make()

    dispatcher.poll()
    assert table.ids("all_ready_executions") == [first]
    table.block(second := table.enqueue("other"))
    wait_until(
        lambda: table.ids("all_ready_executions") == [first, second], between=dispatcher.poll
    )

    assert table.ids("unique_jobs")


def test_a_check_asked_for_during_another_one_follows_it(make: Make, table: Table) -> None:
    dispatcher, _ = make(maintenance=False)
    _turn(dispatcher)
    check = dispatcher.limits
    table.block(table.enqueue())
    check.check_now()
    check.step()

    check.check_now()
    while check.next_at == 0.0:
        check.step()

    assert check.next_at <= monotonic() + 1.0
