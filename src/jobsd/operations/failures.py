"""The failed jobs, counted by class and type of error.

Failed jobs are counted when they fail, and when they are retried or discarded: a trigger
appends a row for each kind of error, with the number of jobs that were added or removed. The
sum of these rows is exact at every moment. Once a minute a tree with failed jobs folds them.
"""

from collections.abc import Iterable
from typing import Any

from jobsd.database.connection import Session, Statements

Row = dict[str, Any]

STATEMENTS = Statements("jobsd.operations", "failures.sql")

COUNTED_MAX = 10_000
"""The newest rows of counts that are read, so that the answer comes soon."""
RETRYING_MAX = 1_000
"""The number of the next scheduled jobs among which retries are counted."""
MESSAGES = 5
"""The number of messages of a group that are listed, the most frequent ones."""
_FOLDS = 100

_NAMES = (
    *("class_name", "error_type", "jobs", "first_failed_at", "last_failed_at", "message"),
    *("last_id", "queue_names", "messages"),
)


def groups(
    session: Session, class_name: str | None = None, queue_name: str | None = None
) -> list[Row]:
    """Return the groups of one class, of one queue or of all, the latest failure first.

    In a pattern of `messages`, * stands for the part that differs from job to job.
    """
    one = {"class_name": class_name, "queue_name": queue_name}
    parameters = {"most": COUNTED_MAX, "messages": 4 * MESSAGES, **one}
    found = session.fetch(STATEMENTS["groups"], parameters)
    rows = [dict(zip(_NAMES, row, strict=True)) for row in found]
    return [{**row, "messages": _of_all_queues(row["messages"])} for row in rows]


def retrying(
    session: Session, class_name: str | None = None, queue_name: str | None = None
) -> list[Row]:
    """Return the jobs that wait for another attempt, by class and type of their last error."""
    names = ("class_name", "error_type", "jobs", "last_failed_at", "message", "last_id")
    one = {"class_name": class_name, "queue_name": queue_name}
    parameters = {"most": RETRYING_MAX, **one}
    found = session.fetch(STATEMENTS["retrying"], parameters)
    return [dict(zip(names, row, strict=True)) for row in found]


def fold(session: Session) -> None:
    """Merge the rows of each group that has changed."""
    for _ in range(_FOLDS):
        if session.fetch(STATEMENTS["fold"], {"most": COUNTED_MAX})[0][0] < COUNTED_MAX:
            return


def _of_all_queues(messages: Iterable[Row]) -> list[Row]:
    """Return the messages, each once for all queues, the most frequent first."""
    found: dict[str, Row] = {}
    for each in messages:
        known = found.setdefault(each["pattern"], {**each, "jobs": 0})
        known["jobs"] += each["jobs"]
    return sorted(found.values(), key=lambda row: -row["jobs"])[:MESSAGES]
