"""The keys of concurrency limits in use: full keys, their holders, their waiting jobs."""

from typing import Any

from jobsd.database.connection import Session, Statements

Row = dict[str, Any]

STATEMENTS = Statements("jobsd.operations", "limits.sql")

KEYS_MAX = 500
"""The maximum of keys that are listed."""
WAITING_MAX = 1_000
"""The maximum that is counted of a key's waiting jobs; one more means "or more"."""
_HOLDERS = 10


def limit_rows(session: Session) -> list[Row]:
    """Return a row for each key, the one with the most waiting jobs first.

    `limit` is that of the key's first job; `holders` are ids, the first ten of `held`.
    """
    parameters = {"keys": KEYS_MAX, "most": WAITING_MAX + 1}
    return [_row(*row) for row in session.fetch(STATEMENTS["keys"], parameters)]


def _row(  # noqa: PLR0913, PLR0917 - the columns of the statement
    key: str,
    limit: int,
    holders: list[int],
    waiting: int,
    class_name: str | None,
    since: object,
    first_id: int | None,
    waits_since: object,
) -> Row:
    return {
        "key": key,
        "limit": limit,
        "held": len(holders),
        "full": len(holders) >= limit,
        "waiting": waiting,
        "class_name": class_name,
        "holders": holders[:_HOLDERS],
        "held_since": since,
        "first_waiting": first_id,
        "waiting_since": waits_since,
    }
