"""One turn of a worker: one round trip and one commit.

What has ended is recorded, and the next batch is claimed, by one fused statement; behind
it in the same pipeline, only when there are any, one statement for all that did not just
succeed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobsd.jobs import claims, ready

from .perform import ClaimedJob

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.database.connection import Session
    from jobsd.database.statements import Statement
    from jobsd.jobs.claims import Ended
    from jobsd.jobs.ready import Selection

    from .ledger import Writing

_RECORD = claims.STATEMENTS["record"]
_NOTHING = claims.STATEMENTS["nothing"]
_NO_CLAIM = claims.STATEMENTS["no_claim"]

_ENDS = (_NO_CLAIM, ready.STATEMENTS["claim_any"], ready.STATEMENTS["claim_named"])
_TURNS = {
    (begin.name, end.name): begin.with_(end) for begin in (_RECORD, _NOTHING) for end in _ENDS
}


@dataclass(frozen=True, slots=True)
class Result:
    """What a turn has brought: a claim with its jobs.

    `recorded` and `concluded` are the claims that let their successes, and their other
    outcomes, be written.
    """

    claim_id: int | None
    jobs: list[ClaimedJob]
    recorded: set[int]
    concluded: set[int]


def take(  # noqa: PLR0913 - the parts of a turn
    session: Session,
    writing: Writing,
    *,
    release: Iterable[Ended],
    selection: Selection,
    process_id: int,
    limit: int,
) -> Result:
    """Do one turn: record what is in `writing`, and claim up to `limit` jobs."""
    statements: list[tuple[Statement, dict[str, Any]]] = []
    fused = writing.record is not None or limit > 0
    if fused:
        end = selection.statement if limit else _NO_CLAIM
        begin = _NOTHING if writing.record is None else _RECORD
        parameters = {**(writing.record or {}), "limit": limit, "process_id": process_id}
        if limit:
            parameters |= selection.parameters(session)
        statements.append((_TURNS[begin.name, end.name], parameters))
    if (rare := writing.conclude(release)) is not None:
        statements.append(rare)
    results = _run(session, statements)
    rows = results[0] if fused else []
    concluded = set(results[-1][0][0]) if rare is not None else set[int]()
    claimed = [row for row in rows if row[2] is not None]
    return Result(
        claimed[0][1] if claimed else None,
        [ClaimedJob(*row[1:]) for row in claimed],
        set(rows[0][0]) if rows else set(),
        concluded,
    )


def _run(
    session: Session, statements: list[tuple[Statement, dict[str, Any]]]
) -> list[list[tuple[Any, ...]]]:
    # A pipeline costs a little more than a statement alone, which is the common case.
    if len(statements) == 1:
        return [session.fetch(*statements[0])]
    return session.fetch_together(statements) if statements else []
