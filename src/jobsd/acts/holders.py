"""Who holds a job locked that a person wants to cancel or to discard.

A transaction that was told of a unique job holds it until it ends; so does a worker, for a
moment, when it claims the job. People wait for such a lock for two seconds, and are told then
which session has it.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobsd.database.connection import Session, Statements

STATEMENTS = Statements("jobsd.acts", "holders.sql")

AGAIN_S, AGAIN_MAX_S = 0.02, 2.0
"""How soon a job is met again that somebody holds, and for how long."""


def held(session: Session, ids: Sequence[int]) -> dict[int, str]:
    """Return the jobs that are held, and the sessions that hold each, as people are told."""
    if not ids:
        return {}
    return dict(session.fetch(STATEMENTS["held"], {"ids": list(ids)}))


def in_way(session: Session, job_id: int) -> str:
    """Say why a job that waits could not be changed."""
    by = held(session, [job_id]).get(job_id)
    return f"job {job_id} is just being claimed, or changed by {by or 'another session'}"
