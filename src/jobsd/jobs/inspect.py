"""Jobs as an operator sees them: where one is, what went wrong with it, what is ahead of it.

Reads only, and never the whole history: lists follow the primary keys, from the newest on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobsd.database.statements import Statement, Statements
from jobsd.errors import NotFoundError

from .argument_reading import is_list, is_object

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from jobsd.database.connection import Session

STATEMENTS = Statements("jobsd.jobs", "inspect.sql")

STATES = ("scheduled", "ready", "blocked", "claimed", "failed", "finished", "discarded")
_ENDED = frozenset({"finished", "discarded"})
FILTERED = "[FILTERED]"


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job; `state` is one of STATES, or "lost" when no table has it."""

    id: int
    class_name: str
    queue_name: str
    priority: int
    state: str
    arguments: Any
    attempts: int
    max_attempts: int
    created_at: datetime
    scheduled_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Found:
    """One job, and what its state's table says: its place in the queue, who has it."""

    job: JobRow
    position: int | None
    concurrency_key: str | None
    process_id: int | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt that failed; `error` has type, message and stack."""

    attempt: int
    process: str | None
    started_at: datetime | None
    ended_at: datetime
    error: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that has failed for good."""

    id: int
    class_name: str
    queue_name: str
    attempts: int
    failed_at: datetime
    error: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs are meant; None means all. `since_s` is how old they may be, in seconds."""

    state: str | None = None
    queue_name: str | None = None
    class_name: str | None = None
    since_s: float | None = None
    limit: int = 20


def find(session: Session, job_id: int) -> Found:
    """Return one job.

    Raises:
        NotFoundError: when there is none of this id.
    """
    rows = session.fetch(STATEMENTS["find"], {"id": job_id})
    if not rows:
        raise NotFoundError(f"there is no job {job_id}")
    *columns, position, key, process_id = rows[0]
    return Found(JobRow(*columns), position, key, process_id)


def attempts(session: Session, job_id: int) -> list[Attempt]:
    """Return the failed attempts of a job, the first one first."""
    return [Attempt(*row) for row in session.fetch(STATEMENTS["attempts"], {"id": job_id})]


def listed(session: Session, wanted: Filter) -> list[JobRow]:
    """Return the newest jobs of those that are meant."""
    parameters = {
        "state": wanted.state,
        "outcome": wanted.state if wanted.state in _ENDED else None,
        "queue_name": wanted.queue_name,
        "class_name": wanted.class_name,
        "since_s": wanted.since_s,
        "limit": wanted.limit,
    }
    return [JobRow(*row) for row in session.fetch(_list_of(wanted.state), parameters)]


def failures(session: Session, limit: int = 5) -> list[Failure]:
    """Return the jobs that have failed for good, those with the highest ids first."""
    return [Failure(*row) for row in session.fetch(STATEMENTS["failures"], {"limit": limit})]


def ahead(session: Session, found: Found) -> int:
    """Return how many ready jobs of its queue come before a ready job."""
    parameters = {
        "queue_name": found.job.queue_name,
        "priority": found.job.priority,
        "position": found.position,
    }
    return int(session.fetch(STATEMENTS["ahead"], parameters)[0][0])


def holders(session: Session, key: str) -> list[int]:
    """Return the jobs that hold the slots of a key."""
    return [row[0] for row in session.fetch(STATEMENTS["holders"], {"key": key})]


def claimed(session: Session) -> dict[int, int]:
    """Return how many jobs each process has claimed."""
    return {row[0]: row[1] for row in session.fetch(STATEMENTS["claimed"])}


def without(arguments: Any, names: Collection[str]) -> Any:  # noqa: ANN401 - any JSON
    """Return arguments as they may be shown: what bears one of these names is left out."""
    if not names:
        return arguments
    if is_list(arguments):
        return [without(item, names) for item in arguments]
    if is_object(arguments):
        return {
            key: FILTERED if key in names else without(value, names)
            for key, value in arguments.items()
        }
    return arguments


def _list_of(state: str | None) -> Statement:
    if state is None or state in _ENDED:
        return STATEMENTS["latest"]
    plain = STATEMENTS["in_state"]
    return Statement(state, plain.text.replace("ready_executions AS", f"{state}_executions AS"))
