"""Finds out whether outcomes were recorded when the answer to their statement was lost.

The connection broke before their commit, or between the commit and its answer. A claim still
has the ids of its unrecorded jobs. For a job that is not in its claim any more, the tables show
whether this process recorded the outcome, and so has to emit it, or another process recovered
the job and has emitted it.
"""

from collections.abc import Collection
from typing import NamedTuple

from jobsd.database.connection import Session, Statements

from .claims import Ended

STATEMENTS = Statements("jobsd.states", "reconciliation.sql")


class Sent(NamedTuple):
    """An outcome that was sent, with the id under which its process was registered then."""

    ended: Ended
    attempt: int
    process_id: int


def recorded(
    session: Session, sent: Collection[Sent], process: str, *, keep: bool
) -> dict[tuple[int, int], bool]:
    """Return the claim and job ids of the outcomes that this process has recorded.

    The value is true for a job that was discarded instead, because it was cancelled.
    """
    parameters = {
        "claim_ids": [each.ended.claim_id for each in sent],
        "job_ids": [each.ended.job_id for each in sent],
        "process_ids": [each.process_id for each in sent],
        "attempts": [each.attempt for each in sent],
        "outcomes": [each.ended.outcome for each in sent],
        "wait_s": [each.ended.wait_s for each in sent],
        "started_s": [each.ended.started_s for each in sent],
        "ended_s": [each.ended.ended_s for each in sent],
        "process": process,
        "keep": keep,
    }
    rows = session.fetch(STATEMENTS["recorded"], parameters)
    return {(claim_id, job_id): cancelled for claim_id, job_id, cancelled in rows}
