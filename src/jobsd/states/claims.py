"""Claims: the jobs of each process, and their outcomes.

Every change that ends a claim is fenced by it: the row is changed in the statement that records
the outcome, and only if it still is as its owner believes. A process that was declared dead
finds its rows gone or smaller, and changes nothing. Ids of claims are random and are never
reused: sequential ids would come again when a database is restored from a backup.
"""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from jobsd.database.connection import Session, Statement, Statements

STATEMENTS = Statements("jobsd.states", "claims.sql")

LOCK_WAIT = "500ms"
"""How long outcomes wait for a locked row: others wait behind them."""


class InClaim(NamedTuple):
    """The name of a claimed job in memory: its id within one claim."""

    job_id: int
    claim_id: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The outcome of one claimed job.

    `outcome` is finished, failed, retried, discarded, expired, snoozed, set_aside (its
    arguments did not fit), released or parked (moved into the lane of its class, at its
    `position`); `started_s` and `ended_s` are ages in seconds at the time of the write; `error`
    is JSON text or None.
    """

    claim_id: int
    job_id: int
    outcome: str
    started_s: float = 0.0
    ended_s: float = 0.0
    wait_s: float = 0.0
    error: str | None = None
    position: int | None = None


def draw_id() -> int:
    """Return a random id for a claim, like `jobsd.random_id`, which is slower."""
    return int.from_bytes(os.urandom(8)) & (1 << 52) - 1 | 1 << 52


def array(numbers: Iterable[int]) -> str:
    """Return whole numbers as the text of an array: in a tenth of the driver's time."""
    return f"{{{','.join(map(str, numbers))}}}"


@cache
def record_statement(*, keep: bool) -> Statement:
    """Return the first part of a turn: it records successes.

    `keep`: finished jobs stay.
    """
    return STATEMENTS["record"].with_(STATEMENTS["finish" if keep else "erase"])


class StoredClaim(NamedTuple):
    """A row of `claims`: its jobs, and the claim that its one job was moved out of, if any.

    `completed` is the job that remains in it after `complete()` has recorded the end of that
    job.
    """

    job_ids: list[int]
    moved_from: int | None
    completed: int | None


def own(session: Session, process_id: int) -> dict[int, StoredClaim]:
    """Return the claims of a process in the database, by their ids."""
    rows = session.fetch(STATEMENTS["own"], {"process_id": process_id})
    return {claim_id: StoredClaim(*rest) for claim_id, *rest in rows}


def locked(session: Session, jobs: Collection[InClaim]) -> set[InClaim]:
    """Return the jobs with a row that another session locks; waits for no lock."""
    parameters = {
        "job_ids": [job.job_id for job in jobs],
        "claim_ids": [job.claim_id for job in jobs],
    }
    return {InClaim(*row) for row in session.fetch(STATEMENTS["locked"], parameters)}


def conclusion(
    ended: Iterable[Ended], process: str, *, keep: bool, lock_wait: str = LOCK_WAIT
) -> dict[str, Any]:
    """Return the parameters of `conclude`."""
    jobs = list(ended)
    return {
        "claim_ids": [job.claim_id for job in jobs],
        "job_ids": [job.job_id for job in jobs],
        "outcomes": [job.outcome for job in jobs],
        "waits_s": [job.wait_s for job in jobs],
        "started_s": [job.started_s for job in jobs],
        "ended_s": [job.ended_s for job in jobs],
        "errors": [job.error for job in jobs],
        "positions": [job.position for job in jobs],
        "process": process,
        "keep": keep,
        "lock_wait": lock_wait,
    }
