"""The sessions that lock a job that a person wants to cancel or discard.

A transaction that has found a duplicate of a unique job locks it until the transaction ends; a
worker locks a job for a moment, when it claims it. An act waits two seconds for such a lock,
and then reports the session that has it.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobsd.database.connection import Session, Statements

STATEMENTS = Statements("jobsd.acts", "holders.sql")

AGAIN_S, AGAIN_MAX_S = 0.02, 2.0
"""The pause before a locked job is tried again, and the time after which the act gives up."""


def held(session: Session, ids: Sequence[int]) -> dict[int, str]:
    """Return the locked jobs, and the sessions that lock each, in words."""
    if not ids:
        return {}
    return dict(session.fetch(STATEMENTS["held"], {"ids": list(ids)}))


def in_way(session: Session, job_id: int) -> str:
    """Return the reason why a waiting job could not be changed."""
    by = held(session, [job_id]).get(job_id)
    return f"job {job_id} is just being claimed, or changed by {by or 'another session'}"
