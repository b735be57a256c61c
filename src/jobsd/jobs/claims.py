"""Claims: which process has which jobs, and what becomes of them when it ends.

Everything that leaves a claim is fenced by it: the row is changed in the statement that
records the outcome, and only if it still is as its owner believes. Whoever was declared
dead finds its rows gone or smaller, and changes nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobsd.database.statements import Statements

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from jobsd.database.connection import Session

STATEMENTS = Statements("jobsd.jobs", "claims.sql")


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of one claimed job.

    `outcome` is finished, failed, retried, discarded, snoozed or released; `started_s`
    and `ended_s` are ages in seconds when it is written; `error` is JSON text or None.
    """

    claim_id: int
    job_id: int
    outcome: str
    started_s: float = 0.0
    ended_s: float = 0.0
    wait_s: float = 0.0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Death:
    """What is known of a process that has ended, and of what ran in it.

    `threads` is for a process of which nothing else is known: as many of the first jobs
    of each claim count as running. With `release` nothing has failed: what ran goes back.
    """

    process_id: int
    process: str
    error: dict[str, Any]
    running: Collection[int] = ()
    succeeded: Collection[int] = ()
    threads: int = 0
    release: bool = False
    keep: bool = True
    """Whether finished jobs are kept."""


@dataclass(slots=True)
class Buried:
    """The jobs of a dead process, by what became of them: (id, class, queue, attempt).

    `complete` says that it has no claims left.
    """

    finished: list[BuriedJob] = field(default_factory=list["BuriedJob"])
    failed: list[BuriedJob] = field(default_factory=list["BuriedJob"])
    retried: list[BuriedJob] = field(default_factory=list["BuriedJob"])
    released: list[BuriedJob] = field(default_factory=list["BuriedJob"])
    complete: bool = True


@dataclass(frozen=True, slots=True)
class BuriedJob:
    """One job that a dead process had claimed."""

    id: int
    class_name: str | None
    queue_name: str
    attempt: int | None


def bury(session: Session, death: Death) -> Buried:
    """Settle the jobs that a dead process has left claimed: one statement."""
    parameters = {
        "process_id": death.process_id,
        "process": death.process,
        "running": list(death.running),
        "succeeded": list(death.succeeded),
        "threads": death.threads,
        "release": death.release,
        "error": json.dumps(death.error),
        "keep": death.keep,
    }
    buried = Buried()
    for job_id, class_name, queue, attempt, outcome, _, left in session.fetch(
        STATEMENTS["bury"], parameters
    ):
        if outcome is None:
            buried.complete = not left
        else:
            jobs: list[BuriedJob] = getattr(buried, outcome)
            jobs.append(BuriedJob(job_id, class_name, queue, attempt))
    return buried


def orphans(session: Session, living: Collection[int]) -> list[tuple[int, int]]:
    """Return (claim, process) of claims whose process has no row, but for the `living`."""
    return [
        (row[0], row[1])
        for row in session.fetch(STATEMENTS["orphans"], {"living": list(living)})
    ]


def own(session: Session, process_id: int) -> dict[int, list[int]]:
    """Return the claims of a process with their jobs, as they stand in the database."""
    return dict(session.fetch(STATEMENTS["own"], {"process_id": process_id}))


def conclusion(ended: Iterable[Ended], process: str, *, keep: bool) -> dict[str, Any]:
    """Return the parameters of `conclude`."""
    jobs = list(ended)
    return {
        "claim_ids": [job.claim_id for job in jobs],
        "job_ids": [job.job_id for job in jobs],
        "outcomes": [job.outcome for job in jobs],
        "wait_s": [job.wait_s for job in jobs],
        "started_s": [job.started_s for job in jobs],
        "ended_s": [job.ended_s for job in jobs],
        "errors": [job.error for job in jobs],
        "process": process,
        "keep": keep,
    }
