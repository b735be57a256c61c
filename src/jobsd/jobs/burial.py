"""What becomes of the jobs of a process that has ended.

The slots that they give back are promoted in the same transaction, under the *try* form of
each key's lock: whoever enqueues may hold it for long, and a burial must not wait for it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg import errors

from jobsd.database.statements import Statements

from . import limits

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobsd.database.connection import Session

    from .claims import InClaim
    from .policy import Ending

STATEMENTS = Statements("jobsd.jobs", "burial.sql")


@dataclass(frozen=True, slots=True)
class Standing:
    """The heartbeat of a process that is taken for dead, in seconds since the epoch.

    One that differs by more than `within_s` shows that it lives.
    """

    heartbeat: float
    within_s: float


@dataclass(frozen=True, slots=True)
class Death:
    """What is known of a process that has ended, and of what ran in it.

    `endings` are what jobs were to become that had ended in it without success. What is
    known of a job counts in its claim only.
    `threads` is for a process of which nothing else is known: as many of the first jobs
    of each claim count as running. With `release` nothing has failed: what ran goes back.
    """

    process_id: int
    process: str
    error: dict[str, Any]
    running: Collection[InClaim] = ()
    succeeded: Collection[InClaim] = ()
    endings: Collection[Ending] = ()
    threads: int = 0
    release: bool = False
    keep: bool = True
    """Whether finished jobs are kept."""
    standing: Standing | None = None
    """Given when the process may live: it is buried only while its heartbeat stands."""


@dataclass(slots=True)
class Buried:
    """The jobs of a dead process, by what became of them.

    `complete` says that it has no claims left: else something of theirs is locked. `freed` are
    the keys of the limits of which slots were given back. `gone` is set once its row was
    removed, too. `alive` says that its heart has beaten, or that it
    could not, since somebody holds its row locked: then nothing was done.
    """

    finished: list[BuriedJob] = field(default_factory=list["BuriedJob"])
    failed: list[BuriedJob] = field(default_factory=list["BuriedJob"])
    retried: list[BuriedJob] = field(default_factory=list["BuriedJob"])
    discarded: list[BuriedJob] = field(default_factory=list["BuriedJob"])
    snoozed: list[BuriedJob] = field(default_factory=list["BuriedJob"])
    released: list[BuriedJob] = field(default_factory=list["BuriedJob"])
    freed: list[str] = field(default_factory=list[str])
    complete: bool = True
    gone: bool = False
    alive: bool = False


@dataclass(frozen=True, slots=True)
class BuriedJob:
    """One job that a dead process had claimed."""

    id: int
    class_name: str | None
    queue_name: str
    attempt: int | None
    error: dict[str, Any] | None = None


def bury(session: Session, death: Death) -> Buried:
    """Settle the jobs that a dead process has left claimed, and promote who waited for them.

    Raises:
        psycopg.errors.IdleInTransactionSessionTimeout: when we stood still meanwhile.
    """
    parameters = {
        "process_id": death.process_id,
        "process": death.process,
        "running": [each.job_id for each in death.running],
        "running_claims": [each.claim_id for each in death.running],
        "succeeded": [each.job_id for each in death.succeeded],
        "succeeded_claims": [each.claim_id for each in death.succeeded],
        "threads": death.threads,
        "release": death.release,
        "error": json.dumps(death.error),
        "keep": death.keep,
        **_endings(death),
    }
    try:
        with session.connection.transaction():
            session.fetch(STATEMENTS["bounded"])
            if death.standing is not None and not _stands(session, death, death.standing):
                return Buried(complete=False, alive=True)
            buried = _buried(session.fetch(STATEMENTS["bury"], parameters))
            promotion = limits.promote(session, buried.freed, keep=death.keep)
            if buried.complete or buried.freed:
                # Neither the keys that we have missed are asked for again by us, nor by the
                # dead one those that it had missed: who maintains the limits looks at all.
                session.fetch(limits.STATEMENTS["ask"])
    except errors.LockNotAvailable:
        # Of what is not passed over when it is locked: all is left for the next call.
        return Buried(complete=False)
    promotion.tell()
    return buried


def _stands(session: Session, death: Death, standing: Standing) -> bool:
    """Return whether the heart could beat and has not; it can't until our transaction ends."""
    parameters = {"process_id": death.process_id, **asdict(standing)}
    return bool(session.fetch(STATEMENTS["standing"], parameters))


def _endings(death: Death) -> dict[str, Any]:
    told = death.error.get("message", "")
    lost = f"what it said is lost, since it was not recorded yet: {told}"
    return {
        "ended": [ending.job_id for ending in death.endings],
        "ended_claims": [ending.claim_id for ending in death.endings],
        "outcomes": [ending.outcome for ending in death.endings],
        "waits_s": [ending.wait_s for ending in death.endings],
        "error_types": [ending.error_type for ending in death.endings],
        "lost": json.dumps({"message": lost, "stack": ""}),
    }


def _buried(rows: list[tuple[Any, ...]]) -> Buried:
    buried = Buried()
    for job_id, class_name, queue, attempt, outcome, error, _, left, freed in rows:
        if outcome is None:
            buried.complete, buried.freed = not left, freed
        else:
            jobs: list[BuriedJob] = getattr(buried, outcome)
            jobs.append(BuriedJob(job_id, class_name, queue, attempt, error))
    return buried
