"""Jobs that a test enqueues into the tables, in a transaction that it rolls back."""

from __future__ import annotations

from contextvars import ContextVar, copy_context
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from harness.surroundings import forget_surroundings
from jobsd.jobs.context import carry
from jobsd.testing import assert_enqueued, perform_enqueued, refute_enqueued

from .shop import alone, call, flaky, inside, once, ran, urgent, welcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Target

    Connection = psycopg.Connection[Any]


_TENANT: ContextVar[str] = ContextVar("tenant_of_stored_jobs")
LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def mine(target: Target) -> Iterator[Connection]:
    with psycopg.connect(target.url) as opened, opened.transaction(force_rollback=True):
        yield opened


def test_the_jobs_of_a_transaction_are_seen_and_performed(mine: Connection) -> None:
    welcome.using(connection=mine).enqueue(42)
    urgent.using(connection=mine).enqueue()
    welcome.using(connection=mine, wait="5m").enqueue(43)

    assert_enqueued(welcome, args=[42], queue="mail", connection=mine)
    assert_enqueued(welcome, args=[43], at="5m", connection=mine)
    refute_enqueued(welcome, args=[44], connection=mine)
    performed = perform_enqueued(connection=mine)

    assert ran == ["urgent", (42, "en")]
    assert [job.state for job in performed] == ["finished", "finished"]
    assert perform_enqueued(at=LATER, connection=mine)
    states = mine.execute("SELECT count(*), min(outcome) FROM jobsd.jobs").fetchone()
    assert states == (3, "finished")


def test_nothing_is_left_behind_the_test(target: Target, mine: Connection) -> None:
    once.using(connection=mine).enqueue(1)
    perform_enqueued(connection=mine)

    mine.execute("ROLLBACK")
    with psycopg.connect(target.url) as other:
        assert other.execute("SELECT count(*) FROM jobsd.jobs").fetchone() == (0,)
    mine.execute("BEGIN")


def test_retries_and_failures_are_recorded(mine: Connection) -> None:
    flaky.using(connection=mine).enqueue("value", "retry")
    flaky.using(connection=mine).enqueue("value", "value", "value")
    flaky.using(connection=mine).enqueue("snooze")
    flaky.using(connection=mine).enqueue("key")

    with pytest.raises(ValueError, match="no value"):
        perform_enqueued(connection=mine)

    query = "SELECT state, attempts FROM jobsd.job_states ORDER BY id"
    assert mine.execute(query).fetchall() == [
        ("finished", 3),
        ("failed", 3),
        ("scheduled", 0),
        ("discarded", 1),
    ]
    errors = mine.execute("SELECT count(*) FROM jobsd.attempts WHERE error IS NOT NULL")
    assert errors.fetchone() == (6,)


def test_limits_hold_in_the_transaction(mine: Connection) -> None:
    states: list[str] = []
    inside.append(lambda: states.append(alone.using(connection=mine).enqueue(1).state))
    inside.append(lambda: states.append(alone.using(connection=mine).enqueue(1).state))
    call.using(connection=mine).enqueue()
    call.using(connection=mine).enqueue()

    perform_enqueued(connection=mine)

    assert states == ["ready", "discarded"]
    assert ran == ["call", "call", 1]
    assert mine.execute("SELECT count(*) FROM jobsd.claims").fetchone() == (0,)


def test_a_statement_that_fails_in_a_job_spoils_nothing(mine: Connection) -> None:
    inside.append(lambda: mine.execute("SELECT 1 / 0"))
    call.using(connection=mine).enqueue()

    with pytest.raises(psycopg.errors.DivisionByZero):
        perform_enqueued(connection=mine)

    query = "SELECT state, attempts FROM jobsd.job_states"
    assert mine.execute(query).fetchall() == [("failed", 1)]


def test_a_limited_job_that_is_due_is_performed(mine: Connection) -> None:
    call.using(connection=mine, wait="5m").enqueue()
    call.using(connection=mine, wait="5m").enqueue()

    assert perform_enqueued(connection=mine) == []
    perform_enqueued(at=LATER, connection=mine)

    assert ran == ["call", "call"]


def test_a_snooze_is_no_error(mine: Connection) -> None:
    flaky.using(connection=mine).enqueue("snooze")

    (performed,) = perform_enqueued(connection=mine)

    assert (performed.state, performed.errors) == ("scheduled", [])


def test_only_selected_jobs_are_performed(mine: Connection) -> None:
    welcome.using(connection=mine).enqueue(42)
    urgent.using(connection=mine).enqueue()

    perform_enqueued(queue="mail", connection=mine)

    assert ran == [(42, "en")]


def test_a_result_is_that_of_the_performed_job(mine: Connection) -> None:
    urgent.using(connection=mine).enqueue()

    (performed,) = perform_enqueued(connection=mine)

    assert performed.result == "done"


@pytest.fixture
def _nothing_is_carried() -> Iterator[None]:
    yield
    forget_surroundings()


@pytest.mark.usefixtures("_nothing_is_carried")
def test_a_job_has_what_its_enqueuer_had(mine: Connection) -> None:
    carry(_TENANT)
    inside.append(lambda: ran.append(_TENANT.get(None)))

    def enqueue() -> None:
        _TENANT.set("ann")
        call.using(connection=mine).enqueue()

    copy_context().run(enqueue)
    perform_enqueued(connection=mine)

    assert ran == ["call", "ann"]
