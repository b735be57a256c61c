"""What a connection of ours makes of JSON that Python can't read."""

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
