"""The keys of concurrency limits that are in use: which are full, who holds them, who waits."""

from typing import Any

from jobsd.database.connection import Session, Statements

Row = dict[str, Any]

STATEMENTS = Statements("jobsd.operations", "limits.sql")

KEYS_MAX = 500
"""So many keys are listed at most."""
WAITING_MAX = 1_000
"""So many waiting jobs of a key are counted at most, and one more."""
_HOLDERS = 10


def limit_rows(session: Session) -> list[Row]:
    """Return a row for each key, that for which most jobs wait first.

    `limit` is that of the job which comes first; `holders` are ids, the first ten of `held`.
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
