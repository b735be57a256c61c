"""Stores the printed and logged lines of jobs that keep them, beside their attempts.

A log is deleted with its job. It is not fenced otherwise: even if a process was declared dead,
its log of its own attempt is true.
"""

from collections.abc import Iterable, Sequence

from jobsd.database.connection import Session, Statements
from jobsd.logs.capture import KeptLog, Piece, moment
from jobsd.text import storable

STATEMENTS = Statements("jobsd.states", "kept_logs.sql")


def write(
    session: Session,
    process: str,
    pieces: Sequence[Piece],
    removed: Sequence[tuple[KeptLog, int]],
) -> set[int]:
    """Store pieces of logs and remove others; return the jobs for which this succeeded.

    Other jobs are locked or gone.
    """
    parameters = {
        "process": process,
        "job_ids": [piece.log.job_id for piece in pieces],
        "attempts": [piece.log.attempt for piece in pieces],
        "began": [piece.log.began for piece in pieces],
        "moments": [piece.at for piece in pieces],
        "texts": [storable(piece.text) for piece in pieces],
        "old_ids": [log.job_id for log, _ in removed],
        "old_attempts": [log.attempt for log, _ in removed],
        "old_moments": [moment(log, number) for log, number in removed],
    }
    return {job_id for (job_id,) in session.fetch(STATEMENTS["write"], parameters)}


def sweep(session: Session, job_ids: Iterable[int]) -> None:
    """Delete logs that were stored while their jobs were deleted."""
    session.fetch(STATEMENTS["sweep"], {"job_ids": list(job_ids)})
