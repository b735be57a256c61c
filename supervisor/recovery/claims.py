"""Recovers the claims of a dead process: the outcomes of its jobs.

The slots go with their claims, and are handed over in the same transaction.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from psycopg import errors

from jobsd.database.connection import Session, Statements
from jobsd.jobs import policy
from jobsd.states import claims

STATEMENTS = Statements("jobsd.supervisor.recovery", "claims.sql")


@dataclass(frozen=True, slots=True)
class SeenHeartbeat:
    """The heartbeat of a process that is considered dead, in seconds since the epoch.

    A heartbeat that differs by more than `within_s` shows that it lives.
    """

    heartbeat: float
    within_s: float


@dataclass(frozen=True, slots=True)
class DeadProcess:
    """The known facts about a process that has ended, and about its jobs.

    `endings` are the outcomes of jobs that had ended in it without success. Facts about a job
    count in its claim only. `threads` is for a process without other facts: this number of the
    first jobs of each claim counts as running. With
    `release` no attempt has failed: running jobs are released.
    """

    process_id: int
    process: str
    error: dict[str, Any]
    running: Collection[claims.InClaim] = ()
    succeeded: Collection[claims.InClaim] = ()
    endings: Collection[policy.Ending] = ()
    threads: int = 0
    release: bool = False
    keep: bool = True
    """Whether finished jobs are kept."""
    seen: SeenHeartbeat | None = None
    """Given if the process may live: it is recovered only while its heartbeat stands."""
    ages_s: Mapping[int, float] = field(default_factory=dict[int, float])
    """How long its jobs have been running, by id, if known."""


@dataclass(slots=True)
class Recovered:
    """The jobs of a dead process, by their outcomes.

    `complete`: it has no claims left; otherwise some of their rows are locked. `gone`: its row
    was removed, too. `alive`: its heart has beaten, or could not, since another session holds
    its row locked: then no claim was recovered.
    """

    finished: list[RecoveredJob] = field(default_factory=list["RecoveredJob"])
    failed: list[RecoveredJob] = field(default_factory=list["RecoveredJob"])
    retried: list[RecoveredJob] = field(default_factory=list["RecoveredJob"])
    discarded: list[RecoveredJob] = field(default_factory=list["RecoveredJob"])
    snoozed: list[RecoveredJob] = field(default_factory=list["RecoveredJob"])
    released: list[RecoveredJob] = field(default_factory=list["RecoveredJob"])
    complete: bool = True
    gone: bool = False
    alive: bool = False


@dataclass(frozen=True, slots=True)
class RecoveredJob:
    """One job that a dead process had claimed."""

    id: int
    class_name: str | None
    queue_name: str
    attempt: int | None
    error: dict[str, Any] | None = None
    reason: str | None = None
    """Why it was discarded, if it was cancelled."""
    duration: float | None = None
    """For how many seconds it ran, if known."""
    created_at: datetime | None = None


def recover(session: Session, dead: DeadProcess) -> Recovered:
    """Recover the jobs that a dead process has left claimed; its slots are handed over.

    Raises:
        psycopg.errors.IdleInTransactionSessionTimeout: if we were suspended meanwhile.
    """
    parameters = {
        "process_id": dead.process_id,
        "process": dead.process,
        "running": [each.job_id for each in dead.running],
        "running_claims": [each.claim_id for each in dead.running],
        "succeeded": [each.job_id for each in dead.succeeded],
        "succeeded_claims": [each.claim_id for each in dead.succeeded],
        "threads": dead.threads,
        "release": dead.release,
        "error": json.dumps(dead.error),
        "ages_s": json.dumps(dead.ages_s),
        "keep": dead.keep,
        **_endings(dead),
    }
    try:
        with session.connection.transaction():
            session.fetch(STATEMENTS["bounded"])
            if dead.seen is not None and not _stands(session, dead, dead.seen):
                return Recovered(complete=False, alive=True)
            recovered = _recovered(session.fetch(STATEMENTS["recover"], parameters))
    except errors.LockNotAvailable:
        # One of the rows that must not be skipped is locked: all is left for the next call.
        return Recovered(complete=False)
    return recovered


def _stands(session: Session, dead: DeadProcess, seen: SeenHeartbeat) -> bool:
    """Return whether the heart could beat and has not; it can't until our transaction ends."""
    parameters = {"process_id": dead.process_id, **asdict(seen)}
    return bool(session.fetch(STATEMENTS["standing"], parameters))


def _endings(dead: DeadProcess) -> dict[str, Any]:
    message = dead.error.get("message", "")
    lost = f"its error message is lost, because it was not recorded yet: {message}"
    return {
        "ended": [ending.job_id for ending in dead.endings],
        "ended_claims": [ending.claim_id for ending in dead.endings],
        "outcomes": [ending.outcome for ending in dead.endings],
        "waits_s": [ending.wait_s for ending in dead.endings],
        "error_types": [ending.error_type for ending in dead.endings],
        "errors": [
            None if ending.error is None else json.dumps(ending.error)
            for ending in dead.endings
        ],
        "lost": json.dumps({"message": lost, "stack": ""}),
    }


def _recovered(rows: list[tuple[Any, ...]]) -> Recovered:
    recovered = Recovered()
    for row in rows:
        job_id, name, queue, attempt, outcome, error, reason, created_at, is_left = row
        if outcome is None:
            recovered.complete = not is_left
        else:
            jobs: list[RecoveredJob] = getattr(recovered, outcome)
            job = RecoveredJob(job_id, name, queue, attempt, error, reason)
            jobs.append(replace(job, created_at=created_at))
    return recovered
