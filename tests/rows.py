"""How tests run SQL and look at the rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import psycopg

    from jobsd.database.connection import Session

Query = Callable[[str], list[tuple[Any, ...]]]


class Rows(Protocol):
    """Runs SQL and returns its rows, those of one column as plain values."""

    def __call__(self, sql: str, *parameters: object) -> list[Any]: ...


def rows_of(session: Session) -> Rows:
    """Return a function that runs SQL on a session's connection."""

    def rows(sql: str, *parameters: object) -> list[Any]:
        cursor = session.connection.execute(sql.encode(), parameters)
        found = cursor.fetchall() if cursor.description is not None else []
        return [row[0] if len(row) == 1 else row for row in found]

    return rows


def fetch(session: Session, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Run SQL on a session's connection; return its rows as tuples."""
    return session.connection.execute(sql.encode(), parameters or None).fetchall()


def query_of(connection: psycopg.Connection[Any]) -> Query:
    """Return a function that runs SQL on a connection and returns rows, if there are any."""

    def query(sql: str) -> list[tuple[Any, ...]]:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description is not None else []

    return query
