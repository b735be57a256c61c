"""A dispatcher discards what waits and has expired, wherever it waits."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from enqueueing import placed
from harness.job_rows import places
from jobsd.acts import discards, expirations, queues
from jobsd.database.connection import Session
from rows_of_limits import Table
from rows_of_limits import turn as _turn
from waiting import wait_until

if TYPE_CHECKING:
    from harness.event_recorder import EventRecorder
    from jobsd.database.connection import Target

    from .conftest import Make


def _expire(table: Table, *job_ids: int) -> None:
    table.rows(
        "UPDATE jobsd.expirations SET expires_at = now() - interval '1 s'"
        " WHERE job_id = ANY (%s) RETURNING 1",
        list(job_ids),
    )


def _enqueue(table: Table, key: str | None = None, **options: object) -> int:
    return table.enqueue(key, expires_in="1 h", **options)


@pytest.fixture
def heard(recorder: EventRecorder) -> list[dict[str, Any]]:
    return recorder.facts("jobs.discarded")


@pytest.mark.parametrize("keep", [True, False])
def test_it_is_discarded_wherever_it_waits(
    make: Make, table: Table, heard: list[dict[str, Any]], *, keep: bool
) -> None:
    ready, paused = _enqueue(table, queue="mail"), _enqueue(table, queue="paused")
    queues.pause("paused", session=table.session)
    scheduled = _enqueue(table, wait="30 min")
    first, blocked = _enqueue(table, "k"), _enqueue(table, "k")
    placed.claim(table.session, 1, first)
    placed.block(table.session, blocked)
    failed, running, in_time = _enqueue(table), _enqueue(table), _enqueue(table)
    placed.fail(table.session, failed)
    placed.claim(table.session, 1, running)
    waiting = [ready, paused, scheduled, blocked]
    _expire(table, *waiting, failed, running)
    dispatcher, context = make(keep=keep)

    _turn(dispatcher)

    gone = table.rows(
        "SELECT id FROM jobsd.jobs WHERE outcome = 'discarded' AND reason = 'expired'"
        " AND finished_at > now() - interval '1 min' AND attempts = 0 ORDER BY id"
    )
    assert [row[0] for row in gone] == (waiting if keep else [])
    left = table.rows("SELECT id FROM jobsd.jobs WHERE outcome IS NULL ORDER BY id")
    assert [row[0] for row in left] == [first, failed, running, in_time]
    # What runs is kept in mind for its retries, what has failed for good is not.
    assert table.ids("expirations") == [first, running, in_time]
    assert [(each["job_ids"], each["reason"]) for each in heard] == [(waiting, "expired")]
    mail = context.entry.queue("mail")
    assert (mail.outcome("expired"), mail.outcome("discarded")) == (1, 1)


def test_a_retry_is_not_begun_after_it(make: Make, table: Table) -> None:
    job = _enqueue(table)
    placed.claim(table.session, 1, job)
    _expire(table, job)
    dispatcher, _ = make()
    _turn(dispatcher)
    assert table.ids("expirations") == [job]
    table.rows("DELETE FROM jobsd.claims RETURNING 1")
    table.rows(
        "INSERT INTO jobsd.scheduled_executions (job_id, scheduled_at, priority, queue_name)"
        " VALUES (%s, now() + interval '1 h', 0, 'default') RETURNING 1",
        job,
    )
    dispatcher.disconnect()
    dispatcher.connect()

    _turn(dispatcher)

    assert places(table.session) == {job: "discarded"}
    assert table.ids("expirations") == []


def test_the_next_of_its_key_takes_its_place(make: Make, table: Table) -> None:
    first, second = _enqueue(table, "k"), table.enqueue("k")
    placed.block(table.session, second)
    _expire(table, first)
    dispatcher, _ = make()

    _turn(dispatcher)

    assert places(table.session) == {first: "discarded", second: "ready"}


def test_running_expired_jobs_delay_no_waiting_ones(
    make: Make, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expirations, "BATCH", 2)
    running = [_enqueue(table) for _ in range(5)]
    placed.claim(table.session, 1, *running)
    waits = [_enqueue(table) for _ in range(5)]
    _expire(table, *running, *waits)
    dispatcher, _ = make()

    _turn(dispatcher, 20)

    assert table.ids("expirations") == running
    assert {places(table.session)[each] for each in waits} == {"discarded"}


def test_it_rests_until_the_next_one_expires(make: Make, table: Table) -> None:
    table.enqueue(None, expires_in="700 ms")
    dispatcher, _ = make()
    dispatcher.poll()

    assert dispatcher.poll() <= 0.7


WAITS = """
SELECT FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def test_replacing_a_unique_job_waits_for_its_expiry_in_progress(
    make: Make, table: Table, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the job would be discarded by the time that it had before."""
    options = {"unique_key": "k", "unique_until": "started", "unique_on_conflict": "replace"}
    _expire(table, _enqueue(table, **options))
    dispatcher, _ = make()
    expire, given = discards.expire, list[Future[int]]()

    with ThreadPoolExecutor(1) as pool, contextlib.closing(Session(target, "other")) as other:

        def meanwhile(session: Session, ids: list[int], *, keep: bool) -> list[int]:
            given.append(pool.submit(_enqueue, Table(other), **options))
            wait_until(lambda: given[0].done() or table.rows(WAITS), 30)
            return expire(session, ids, keep=keep)

        monkeypatch.setattr(discards, "expire", meanwhile)
        dispatcher.poll()
        monkeypatch.undo()

        assert places(table.session)[given[0].result(30)] == "ready"


def test_a_job_replaced_before_its_expiry_stays_ready(make: Make, table: Table) -> None:
    options = {"unique_key": "k", "unique_until": "started", "unique_on_conflict": "replace"}
    job = _enqueue(table, **options)
    _expire(table, job)
    dispatcher, _ = make()
    with table.session.connection.transaction():
        assert _enqueue(table, **options) == job

        for _ in range(3):
            dispatcher.poll()

    _turn(dispatcher)
    assert places(table.session) == {job: "ready"}
