"""One way to run SQL in a test and to look at the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from jobsd.database.connection import Session


class Rows(Protocol):
    """Runs SQL and returns its rows, those of one column as plain values."""

    def __call__(self, sql: str, *parameters: object) -> list[Any]: ...


def rows_of(session: Session) -> Rows:
    """Return a function that runs SQL on a session's connection."""

    def rows(sql: str, *parameters: object) -> list[Any]:
        cursor = session.connection.execute(sql.encode(), parameters)
        found = cursor.fetchall() if cursor.description else []
        return [row[0] if len(row) == 1 else row for row in found]

    return rows
