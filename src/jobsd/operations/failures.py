"""The failed jobs, grouped by their class and the type of their error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsd.database.statements import Statements

if TYPE_CHECKING:
    from jobsd.database.connection import Session

    Row = dict[str, Any]

STATEMENTS = Statements("jobsd.operations", "failures.sql")

GROUPED_MAX = 100_000
"""Failed jobs that are grouped at most, so that the answer comes soon."""

_NAMES = (
    *("class_name", "error_type", "jobs", "first_failed_at", "last_failed_at", "message"),
    *("last_id", "queue_names"),
)


def groups(session: Session, most: int = GROUPED_MAX) -> list[Row]:
    """Return the groups, that with the latest failure first."""
    found = session.fetch(STATEMENTS["groups"], {"most": most})
    return [dict(zip(_NAMES, row, strict=True)) for row in found]
