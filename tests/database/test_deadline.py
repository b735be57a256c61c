"""What a connection of ours makes of values beyond Python, and of names that are gone."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.clock import monotonic
from jobsd.database.deadline import DeadlineError, open_connection
from jobsd.database.statements import Statement

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target

_PING = Statement("ping", "SELECT 1")


def _read(session: Session, text: str) -> Any:
    row = session.connection.execute("SELECT %s::jsonb", (text,)).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("depth", [1, 100, 200])
def test_deeply_nested_json_is_read(session: Session, depth: int) -> None:
    many = ", ".join(['"[[{\\"["'] * 300)
    read = _read(session, "[" * depth + many + "]" * depth)

    for _ in range(depth - 1):
        (read,) = read
    assert read == ['[[{"['] * 300


@pytest.mark.parametrize(
    "text",
    ["[" + "9" * 5000 + "]", *("[" * depth + "]" * depth for depth in (201, 900, 980, 5000))],
    ids=lambda text: f"{text[:3]}… {len(text)}",
)
def test_json_beyond_the_limits_of_python_stays_text(session: Session, text: str) -> None:
    assert _read(session, text) == text


@pytest.mark.parametrize(
    ("moment", "year"),
    [("infinity", 9999), ("20000-01-01", 9999), ("-infinity", 1), ("4000-01-01 BC", 1)],
)
def test_a_moment_beyond_the_calendar_is_in_its_last_or_first_year(
    session: Session, moment: str, year: int
) -> None:
    row = session.connection.execute("SELECT %s::timestamptz, now()", (moment,)).fetchone()

    assert row is not None
    assert (row[0].year, row[1].year > 2000, row[1].tzinfo is not None) == (year, True, True)


@pytest.mark.failure(
    "A transaction on a connection of ours is rolled back, and psycopg deallocates all.",
    "Statements that we had prepared there are prepared again.",
)
def test_a_statement_is_prepared_again_after_a_rollback(session: Session) -> None:
    session.fetch_prepared(_PING, {})
    with contextlib.suppress(KeyError), session.connection.transaction():
        session.fetch(_PING)
        raise KeyError

    # In a transaction, where a name that is gone would be an error.
    with session.connection.transaction():
        assert session.fetch_prepared(_PING, {}) == [(1,)]


@pytest.mark.failure(
    "Other code deallocates statements that we have prepared on a connection.",
    "Outside of a transaction the statement is prepared and sent again; in a transaction it"
    " is an error.",
)
@pytest.mark.parametrize("command", [b"DEALLOCATE ALL", b"DISCARD ALL"])
def test_a_statement_is_prepared_again_after_a_deallocation(
    session: Session, command: bytes
) -> None:
    session.fetch_prepared(_PING, {})
    # Past psycopg, which would see it and tell.
    session.connection.pgconn.exec_(command)

    assert session.fetch_prepared(_PING, {}) == [(1,)]


def test_a_deallocated_statement_is_not_repeated_in_a_transaction(
    session: Session,
) -> None:
    session.fetch_prepared(_PING, {})

    with session.connection.transaction(force_rollback=True):
        session.connection.pgconn.exec_(b"DEALLOCATE ALL")

        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            session.fetch_prepared(_PING, {})

    assert session.fetch_prepared(_PING, {}) == [(1,)]


def test_a_statement_has_a_shorter_deadline_for_a_block_and_never_a_longer_one(
    session: Session,
) -> None:
    connection = session.reconnect()
    usual = connection.deadline_s

    with connection.shorter_deadline(1.0):
        with connection.shorter_deadline(5.0):
            inside = connection.deadline_s
        behind = connection.deadline_s

    assert (inside, behind, connection.deadline_s) == (1.0, 1.0, usual)


def test_a_statement_takes_half_of_the_time_that_is_left_even_if_it_is_under_way(
    target: Target,
) -> None:
    hurried = open_connection(target.url, "hurried", 60.0)
    began = monotonic()
    hurried.left_s = lambda: math.inf if monotonic() - began < 0.3 else 4.0

    with contextlib.closing(hurried):
        with pytest.raises(psycopg.OperationalError, match="not answered for 2"):
            hurried.execute("SELECT pg_sleep(50)")

        assert monotonic() - began < 20.0


def test_a_statement_has_its_whole_deadline_if_there_is_time_for_it(target: Target) -> None:
    patient = open_connection(target.url, "patient", 60.0)
    patient.left_s = lambda: 100.0

    with patient:
        assert patient.execute("SELECT pg_sleep(1.2)").fetchall() == [("",)]


def test_a_statement_that_ends_though_it_was_to_be_cancelled_may_have_been_done(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = open_connection(target.url, "late", 1.0)
    with psycopg.connect(target.url, autocommit=True) as holder, contextlib.closing(late):
        holder.execute("SELECT pg_advisory_lock(1)")

        def release(_within_s: float) -> None:
            holder.execute("SELECT pg_advisory_unlock(1)")

        monkeypatch.setattr(late, "_request_cancel", release)
        with pytest.raises(DeadlineError):
            late.execute("SELECT pg_advisory_lock(1)")
