"""What a connection of ours makes of values beyond Python, and of names that are gone."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.database.statements import Statement

if TYPE_CHECKING:
    from jobsd.database.connection import Session

_PING = Statement("ping", "SELECT 1")


def _read(session: Session, text: str) -> Any:
    row = session.connection.execute("SELECT %s::jsonb", (text,)).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("depth", [1, 100, 200])
def test_what_can_be_read_is_read(session: Session, depth: int) -> None:
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
def test_what_is_beyond_python_stays_text(session: Session, text: str) -> None:
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
def test_what_is_asked_is_prepared_anew_after_a_rollback(session: Session) -> None:
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
def test_what_is_asked_is_prepared_anew_once_it_was_deallocated(
    session: Session, command: bytes
) -> None:
    session.fetch_prepared(_PING, {})
    # Past psycopg, which would see it and tell.
    session.connection.pgconn.exec_(command)

    assert session.fetch_prepared(_PING, {}) == [(1,)]


def test_what_was_deallocated_is_not_asked_once_more_in_a_transaction(
    session: Session,
) -> None:
    session.fetch_prepared(_PING, {})

    with session.connection.transaction(force_rollback=True):
        session.connection.pgconn.exec_(b"DEALLOCATE ALL")

        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            session.fetch_prepared(_PING, {})

    assert session.fetch_prepared(_PING, {}) == [(1,)]
