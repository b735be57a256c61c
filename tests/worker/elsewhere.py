"""Jobs of a class that this process does not know, and where they are."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from jobsd.enqueueing import client
from jobsd.jobs.draft import Draft

if TYPE_CHECKING:
    from jobsd.database.connection import Session

    from .conftest import Driven

GONE = "elsewhere.job"


class Knower(Protocol):
    """Lets another worker live that knows some classes; returns its row."""

    def __call__(self, *classes: str, queues: tuple[str, ...] = ("*",)) -> int: ...


def enqueue(
    name: str = GONE, arguments: str = "[]", queue: str = "default", priority: int = 0
) -> int:
    stored = client.enqueue(Draft(name, queue, priority, arguments))
    assert stored.id is not None
    return stored.id


LANES = """
INSERT INTO jobsd.lanes (queue_name, lane)
SELECT DISTINCT queue_name, lane FROM jobsd.parked_executions
ON CONFLICT DO NOTHING
"""
"""Notes the lanes of jobs that were put there by hand."""


def park(session: Session, *job_ids: int) -> None:
    session.connection.execute(
        "WITH gone AS (DELETE FROM jobsd.ready_executions WHERE job_id = ANY (%s) RETURNING *)"
        " INSERT INTO jobsd.parked_executions"
        " SELECT job_id, position, gone.priority, gone.queue_name, jobsd.lane_of(class_name)"
        " FROM gone JOIN jobsd.jobs ON id = job_id",
        (list(job_ids),),
    )
    session.connection.execute(LANES.encode())


def where(session: Session, job_id: int) -> tuple[object, ...]:
    row = session.connection.execute(
        "SELECT lane, parked.priority, position, attempts"
        " FROM jobsd.parked_executions AS parked JOIN jobsd.jobs ON id = job_id WHERE id = %s",
        (job_id,),
    ).fetchone()
    return () if row is None else row


def survey(driven: Driven) -> None:
    driven.worker.claiming.known_classes.survey_at = 0.0
