"""Finds the jobs of a restored database that have ended since the backup.

The log says so: each event `job.finished` has the id of its job and the time of its enqueue.
Both together are one job, because a restored database gives the ids after the backup again.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from jobsd.database.connection import Session, Statements
from jobsd.jobs.draft import ID_MAX

Row = dict[str, Any]

STATEMENTS = Statements("jobsd.operations", "restore.sql")

BATCH = 1_000
_NAMES = ("id", "class_name", "queue_name", "state", "created_at", "ended_at")


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job that has succeeded, as its event says; the times have a zone."""

    id: int
    created_at: datetime
    ended_at: datetime | None


def ended_job(facts: Mapping[str, Any]) -> EndedJob | None:
    """Return the job of an event `job.finished`; None for any other or incomplete one."""
    job_id, created_at = facts.get("job_id"), _moment(facts.get("created_at"))
    if facts.get("event") != "job.finished" or type(job_id) is not int or created_at is None:
        return None
    if not 0 < job_id <= ID_MAX:
        return None
    return EndedJob(job_id, created_at, _moment(facts.get("timestamp")))


def _moment(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return None if moment is None or moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def again(session: Session, ended: Iterable[EndedJob]) -> Iterator[Row]:
    """Yield the jobs that would run again, each once, in the order of the events."""
    jobs, seen = iter(ended), set[int]()
    while batch := list(islice(jobs, BATCH)):
        parameters = {
            "ids": [each.id for each in batch],
            "created_ats": [each.created_at for each in batch],
            "ended_ats": [each.ended_at for each in batch],
        }
        for found in session.fetch(STATEMENTS["again"], parameters):
            row: Row = dict(zip(_NAMES, found, strict=True))
            if row["id"] not in seen:
                seen.add(row["id"])
                yield row
