"""Lanes: the ready jobs that were set aside, since a worker of their queue can't run them.

A worker claims from the common jobs of its queues without knowing their classes. A job whose
class it has not imported is *parked*: it goes back untouched, with its position, into the lane
of its class (`parked_executions`), which only workers that know the class claim from. A parked
job is ready like any other.

Each worker publishes the classes that it knows. The table `lanes` has a row for each lane with
jobs, and records since when no living worker of the queue has known its class.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from jobsd.database.connection import Session, Statements

Lane = tuple[str, str]
"""A queue, and the lane of one class in it."""

STATEMENTS = Statements("jobsd.states", "parked.sql")
_BYTES_MAX = 500


def lane_of(class_name: str) -> str:
    """Return the lane of a class, as `jobsd.lane_of` does."""
    encoded = class_name.encode()
    if len(encoded) <= _BYTES_MAX:
        return class_name
    import hashlib  # noqa: PLC0415 - it is large, and most readers of lanes hash nothing

    return f"sha256 {hashlib.sha256(encoded).hexdigest()}"


def publish(
    session: Session, process_id: int, queues: Sequence[str], lanes: Collection[str]
) -> None:
    """Publish the classes, by their lanes, and the queues of a worker."""
    parameters = {"process_id": process_id, "queues": list(queues), "lanes": sorted(lanes)}
    session.fetch(STATEMENTS["publish"], parameters)


def note(
    session: Session, queues: Sequence[str], met: Collection[Lane] = ()
) -> dict[Lane, float | None]:
    """Return the lanes of these queues that have jobs, and those that were met.

    Each has the seconds for which no worker has known its class; None: one does.
    """
    parameters = {
        "patterns": list(queues),
        "queues": [lane[0] for lane in met],
        "lanes": [lane[1] for lane in met],
    }
    rows = session.fetch(STATEMENTS["note"], parameters)
    return {(queue, lane): age_s for queue, lane, age_s in rows}


def waiting(session: Session) -> list[str]:
    """Return the queues that have jobs in lanes."""
    return [queue for (queue,) in session.fetch(STATEMENTS["waiting"])]


@dataclass(frozen=True, slots=True)
class Unknown:
    """A lane with jobs of a class that no worker of their queue knows, and since when."""

    queue_name: str
    lane: str
    jobs: int
    since: datetime
    for_s: float


def unknown(session: Session) -> list[Unknown]:
    """Return the lanes with jobs that no worker can run, the oldest first."""
    return [Unknown(*row) for row in session.fetch(STATEMENTS["unknown"])]


def unknown_to(
    session: Session, class_name: str, queue: str, process_ids: Collection[int]
) -> list[datetime | None]:
    """Return since when no worker of the queue knows the class, if all of these don't."""
    facts = {"class_name": class_name, "queue_name": queue, "ids": list(process_ids)}
    return [since for (since,) in session.fetch(STATEMENTS["unknown_to"], facts)]


def last(session: Session, job_ids: Collection[int]) -> set[int]:
    """Return the jobs that are not tried again after a death of their process."""
    rows = session.fetch(STATEMENTS["last"], {"ids": list(job_ids)})
    return {job_id for (job_id,) in rows}
