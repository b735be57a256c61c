"""What a connection of ours makes of JSON and of moments that Python can't read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from jobsd.database.connection import Session


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
