"""Writes what jobs print and log beside their attempts, where that is kept.

A log is deleted with its job. It is not fenced otherwise: even if a process was declared dead,
its log of its own attempt is true.
"""

from collections.abc import Iterable, Mapping

from jobsd.database.connection import Session, Statements
from jobsd.instruments.kept import KeptLog
from jobsd.text import storable

STATEMENTS = Statements("jobsd.jobs", "kept_logs.sql")


def write(session: Session, process: str, logs: Mapping[KeptLog, str]) -> list[KeptLog]:
    """Write logs; return those that were not written: their jobs are locked or gone."""
    parameters = {
        "process": process,
        "job_ids": [log.job_id for log in logs],
        "attempts": [log.attempt for log in logs],
        "began": [log.began for log in logs],
        "logs": [storable(text) for text in logs.values()],
    }
    written = set(session.fetch(STATEMENTS["write"], parameters))
    return [log for log in logs if (log.job_id, log.attempt) not in written]


def sweep(session: Session, job_ids: Iterable[int]) -> None:
    """Delete logs that were written while their jobs were deleted."""
    session.fetch(STATEMENTS["sweep"], {"job_ids": list(job_ids)})
