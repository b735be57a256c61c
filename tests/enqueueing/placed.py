"""Jobs put where a test wants them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from jobsd.enqueueing import client
from jobsd.jobs.draft import draft, with_options
from jobsd.jobs.limits import Limit
from jobsd.jobs.policy import Policy
from jobsd.jobs.registry import Definition
from jobsd.states.claims import InClaim

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.jobs.job_options import UsingOptions


def enqueue(
    queue: str = "mail",
    *,
    name: str = "nothing",
    key: str | None = None,
    to: int = 1,
    **options: Any,
) -> int:
    """Store a job that does nothing; with a `key` it is limited."""
    limit = None if key is None else Limit(to=to, key=key, group="k")
    nothing = Definition(name, lambda: None, queue, 0, Policy(), "test", limit)
    job = client.enqueue(with_options(draft(nothing, [], {}), cast("UsingOptions", options)))
    assert job.id is not None
    return job.id


def fail(session: Session, *job_ids: int) -> None:
    """Let ready jobs have failed once, for good."""
    error = json.dumps({"type": "ValueError", "message": "told to fail", "stack": "File …"})
    for job_id in job_ids:
        session.connection.execute(
            "WITH gone AS (DELETE FROM jobsd.ready_executions WHERE job_id = %(id)s),"
            " limited AS (DELETE FROM jobsd.blocked_executions WHERE job_id = %(id)s),"
            " failed AS (INSERT INTO jobsd.failed_executions (job_id, error)"
            "  VALUES (%(id)s, %(error)s)),"
            " attempt AS ("
            "  INSERT INTO jobsd.attempts (job_id, attempt, process, ended_at, error)"
            "  VALUES (%(id)s, 1, 'worker-1', now(), %(error)s))"
            " UPDATE jobsd.jobs SET attempts = 1, started_at = now() WHERE id = %(id)s",
            {"id": job_id, "error": error},
        )


def claim(session: Session, process_id: int, *job_ids: int) -> None:
    """Let a process have claimed jobs: by one claim, limited ones as the series of a slot."""
    session.connection.execute(
        "WITH gone AS (DELETE FROM jobsd.ready_executions WHERE job_id = ANY (%(ids)s)),"
        " limited AS (DELETE FROM jobsd.blocked_executions WHERE job_id = ANY (%(ids)s)"
        "  RETURNING concurrency_key)"
        " INSERT INTO jobsd.claims (process_id, job_ids, concurrency_key, slot)"
        " SELECT %(process)s, %(ids)s, key.concurrency_key, key.slot"
        " FROM (SELECT) AS always"
        " LEFT JOIN (SELECT DISTINCT concurrency_key, 1 AS slot FROM limited) AS key ON true",
        {"ids": list(job_ids), "process": process_id},
    )


def block(session: Session, *job_ids: int) -> None:
    """Let workers have met these limited jobs, and found no slot for them."""
    session.connection.execute(
        "UPDATE jobsd.blocked_executions SET position = NULL WHERE job_id = ANY (%s)",
        (list(job_ids),),
    )


def in_claims(session: Session, *job_ids: int) -> list[InClaim]:
    """Return jobs as they are named by who remembers them: each within its claim."""
    rows = session.connection.execute(
        "SELECT member.id, claim.id"
        " FROM jobsd.claims AS claim CROSS JOIN LATERAL unnest(job_ids) AS member (id)"
        " WHERE member.id = ANY (%s)",
        (list(job_ids),),
    )
    return [InClaim(*row) for row in rows]


def slots(session: Session) -> set[int]:
    """Return the jobs that hold a slot: the first of each series."""
    rows = session.connection.execute(
        "SELECT job_ids[1] FROM jobsd.claims WHERE concurrency_key IS NOT NULL"
    ).fetchall()
    return {row[0] for row in rows}
