"""Lanes: the waiting ready jobs that only some workers can run.

A worker claims from the common jobs of its queues without knowing their classes. A job whose
class it has not imported is *parked*: it goes back untouched, with its position, into the lane
of its class (`parked_executions`), where only workers that know the class search. A parked job
is ready like any other, and keeps its slot if it is limited: a freed slot would go to the same
job again, as the first of its key.

Each worker publishes the classes that it knows. When no living worker that claims from the
queue knows the class of a lane, the table `lanes` records since when. The workers that
claim from the queue, and have to leave the job in its lane, write that row.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from jobsd.database.connection import Session, Statements
from jobsd.jobs import registry

Lane = tuple[str, str]
"""A queue, and the lane of one class in it."""

STATEMENTS = Statements("jobsd.states", "parked.sql")

SCOUT, MOVE = (
    {walk: STATEMENTS[walk].with_(STATEMENTS[end]) for walk in ("walk_any", "walk_named")}
    for end in ("scout", "move")
)
"""The walks over the jobs of all queues, or of one."""

LANES_MAX = 10_000
"""The maximum of lanes that one search returns; the others follow when these are empty."""
_BYTES_MAX = 500


def lane_of(class_name: str) -> str:
    """Return the lane of a class, as `jobsd.lane_of` does."""
    encoded = class_name.encode()
    if len(encoded) <= _BYTES_MAX:
        return class_name
    import hashlib  # noqa: PLC0415 - it is large, and most readers of lanes hash nothing

    return f"sha256 {hashlib.sha256(encoded).hexdigest()}"


def of_kind(kind: bool) -> set[str]:  # noqa: FBT001 - the kind of `worker.claiming.ways`
    """Return the lanes of all known asynchronous jobs (True), or of all others (False)."""
    loop = registry.asynchronous()
    return {lane_of(name) for name in (loop if kind else registry.known() - loop)}


def publish(
    session: Session, process_id: int, queues: Sequence[str], lanes: Collection[str]
) -> None:
    """Publish the classes, by their lanes, and the queues of a worker."""
    parameters = {"process_id": process_id, "queues": list(queues), "lanes": sorted(lanes)}
    session.fetch(STATEMENTS["publish"], parameters)


def survey(session: Session) -> list[Lane]:
    """Return the lanes that have jobs, of all queues."""
    rows = session.fetch(STATEMENTS["survey"], {"limit": LANES_MAX})
    return [(queue, lane) for queue, lane in rows]


def unknown_for_s(session: Session, lanes: Collection[Lane]) -> dict[Lane, float | None]:
    """Return for how long no worker has known the class of each lane; None: one does."""
    parameters = {"queues": [lane[0] for lane in lanes], "lanes": [lane[1] for lane in lanes]}
    rows = session.fetch(STATEMENTS["note"], parameters)
    return {(queue, lane): age_s for queue, lane, age_s in rows}


@dataclass(frozen=True, slots=True)
class Unknown:
    """A lane with jobs of a class that no worker of their queue knows, and since when."""

    queue_name: str
    lane: str
    jobs: int
    since: datetime
    for_s: float


@dataclass(frozen=True, slots=True)
class Knowers:
    """The workers that have published their classes, and the workers that know a class."""

    published: frozenset[int]
    knowing: frozenset[int]
    unknown_since: datetime | None


def unknown(session: Session) -> list[Unknown]:
    """Return the lanes with jobs that no worker can run, the oldest first."""
    return [Unknown(*row) for row in session.fetch(STATEMENTS["unknown"])]


def knowers(
    session: Session, class_name: str, queue: str, process_ids: Collection[int]
) -> Knowers:
    """Return the workers that know the class, among these, which claim from the queue."""
    parameters = {
        "class_name": class_name,
        "queue_name": queue,
        "ids": list(process_ids),
    }
    ((published, knowing, since),) = session.fetch(STATEMENTS["knowers"], parameters)
    return Knowers(frozenset(published), frozenset(knowing), since)


def repeatable(session: Session, job_ids: Collection[int]) -> set[int]:
    """Return the jobs that may be tried again after a death of their process."""
    rows = session.fetch(STATEMENTS["repeatable"], {"ids": list(job_ids)})
    return {row[0] for row in rows}
