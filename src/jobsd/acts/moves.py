"""Moves waiting jobs to another queue or priority, or lets them run at once.

Nothing here waits for a lock: a job that a worker is claiming is left to it.
"""

from collections.abc import Iterator, Sequence

from jobsd.database.connection import Session, Statements
from jobsd.errors import Error
from jobsd.jobs import limits, registry

STATEMENTS = Statements("jobsd.acts", "moves.sql")

BATCH = 500
STATES = ("scheduled", "ready", "blocked")
"""The states in which a job can be moved."""


def check(queue: str | None, priority: int | None) -> None:
    """Check the target of a move.

    Raises:
        Error: if both are missing, or one is invalid.
    """
    if queue is None and priority is None:
        raise Error("there is nothing to change: give a queue, a priority, or both")
    if queue is not None:
        registry.check_queue(queue)
    if priority is not None:
        registry.check_priority(priority)


def batches(
    session: Session, ids: Sequence[int], queue: str | None, priority: int | None
) -> Iterator[list[int]]:
    """Move jobs, a statement for each few hundred; yield the jobs that were waiting."""
    check(queue, priority)
    to = {"queue_name": queue, "priority": priority}
    for start in range(0, len(ids), BATCH):
        chosen = list(ids[start : start + BATCH])
        rows = session.fetch(STATEMENTS["move"], {"ids": chosen, **to})
        limits.unblocked(rows)
        yield [row[0] for row in rows]


def run_batches(session: Session, ids: Sequence[int]) -> Iterator[list[int]]:
    """Make scheduled jobs due, a statement for each few hundred; yield the changed jobs."""
    for start in range(0, len(ids), BATCH):
        chosen = list(ids[start : start + BATCH])
        yield [row[0] for row in session.fetch(STATEMENTS["run"], {"ids": chosen})]
