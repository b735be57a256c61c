"""Cancels jobs: waiting ones are discarded at once, running ones are asked to stop.

The request is stored in the claim of a running job, and its worker is woken: it interrupts the
job with `Cancelled`. From then on any end of the job but success discards it: the process that
records the end, a worker or the one that recovers a dead worker, reads the claim. A job that is
being moved, or that another session holds locked, is tried again for two seconds.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import NamedTuple

from jobsd import clock, errors
from jobsd.database.connection import Session, Statements
from jobsd.enqueueing.on_demand import lent, replaceable
from jobsd.events.events import emit
from jobsd.jobs.draft import ID_MAX, JobOrId
from jobsd.states import claims, lost
from jobsd.states.claims import STATEMENTS as CLAIMS

from . import discards, holders, inspect, listing

STATEMENTS = Statements("jobsd.acts", "cancels.sql")

MANY = ("scheduled", "ready", "blocked", "claimed")
"""The states in which many jobs can be cancelled at once."""
STATES = (*MANY, "lost")
"""The states in which a job may be cancelled."""


class CancelRequest(NamedTuple):
    """A claimed job with a request to stop; `forced`: its process is ended if necessary."""

    job: claims.InClaim
    forced: bool


@replaceable
def cancel(
    job: JobOrId,
    force: bool = False,  # noqa: FBT001, FBT002 - as it is called in SQL
    *,
    keep: bool = True,
    session: Session | None = None,
) -> str:
    """Cancel a job; return the state that it had: scheduled, ready, blocked, lost or claimed.

    A waiting job is discarded. In a claimed job `Cancelled` is raised, and it is discarded
    unless it succeeds nevertheless. With `force` its process is ended when the job has not
    stopped in time. The row of a discarded job stays, unless `keep` is false.

    Raises:
        NotFoundError: when no job has this id.
        RefusedError: when it has ended, or is locked: the error names the locking session.
    """
    job_id = inspect.check_id(job)
    with lent(session) as taken:
        inspect.require_same(taken, job)
        for done in batches(taken, [job_id], force=force, keep=keep):
            if job_id in done:
                return done[job_id]
        raise errors.RefusedError(refusal(taken, inspect.find(taken, job_id)))


async def acancel(
    job: JobOrId,
    force: bool = False,  # noqa: FBT001, FBT002 - as above
) -> str:
    """Call `cancel` in a thread, without blocking the event loop."""
    return await asyncio.to_thread(cancel, job, force)


@replaceable
def cancel_all(  # noqa: PLR0913 - the filters, and a session
    *,
    state: str | None = None,
    queue: str | None = None,
    class_name: str | None = None,
    since: float | str | timedelta | None = None,
    limit: int | None = None,
    force: bool = False,
    keep: bool = True,
    session: Session | None = None,
) -> dict[int, str]:
    """Cancel all jobs that match the filters; return the state in which each was found.

    Scheduled, ready, blocked and lost jobs are discarded, claimed ones are asked to stop. Jobs
    that had meanwhile finished, failed or been discarded are left alone; the state of deleted
    ones is "gone". `since` selects jobs by their age ("1h"); `limit` selects the newest ones.
    Commits a few hundred jobs at a time.

    Raises:
        Error: for an invalid filter.
        RefusedError: for a state in which jobs cannot be cancelled.
    """
    meant = listing.wanted(state, queue, class_name, since)
    with lent(session) as taken:
        chosen = ids(taken, meant, limit)
        done: dict[int, str] = {}
        for each in batches(taken, chosen, force=force, keep=keep):
            done.update(each)
        return {job_id: done.get(job_id) or _state(taken, job_id) for job_id in chosen}


def ids(session: Session, meant: listing.Filter, limit: int | None = None) -> array[int]:
    """Return the ids of the jobs that match and may be cancelled, or of the newest ones.

    Raises:
        RefusedError: for a state in which jobs cannot be cancelled.
    """
    if meant.state is not None:
        check_state(meant.state)
        return listing.ids(session, meant, limit)
    found = listing.ids(session, meant.of(MANY[0]), limit)
    # Lost ones are searched only when asked: that reads all jobs.
    for state in MANY[1:]:
        found.extend(listing.ids(session, meant.of(state), limit))
    chosen = sorted(set(found))
    return type(found)("q", chosen if limit is None else chosen[-limit:])


def check_state(state: str) -> None:
    """Refuse a state in which jobs can't be cancelled.

    Raises:
        RefusedError: with the reason.
    """
    if state not in STATES:
        raise errors.RefusedError(f"{state} jobs can't be cancelled: they have ended")


def batches(
    session: Session, ids: Sequence[int], *, force: bool, keep: bool
) -> Iterator[dict[int, str]]:
    """Cancel jobs, a transaction for each few hundred; yield the state that each had.

    Jobs that have ended are left out.
    """
    for start in range(0, len(ids), discards.BATCH):
        left = [
            job_id for job_id in ids[start : start + discards.BATCH] if 0 < job_id <= ID_MAX
        ]
        until = clock.monotonic() + holders.AGAIN_MAX_S
        while left:
            done = _cancel(session, left, force=force, keep=keep)
            if done:
                emit("jobs.cancelled", size=len(done), job_ids=list(done))
                yield done
            left = _open(session, [each for each in left if each not in done])
            if clock.monotonic() >= until:
                break
            if left:
                time.sleep(holders.AGAIN_S)


def refusal(session: Session, found: inspect.Found) -> str:
    """Return the reason why a job was not cancelled."""
    job = found.job
    if job.state in {"finished", "discarded"}:
        return f"job {job.id} is {job.state} already"
    if job.state == "failed":
        return f"job {job.id} has failed: there is nothing to cancel, but it can be discarded"
    return holders.in_way(session, job.id)


def requests(session: Session, process_id: int) -> list[CancelRequest]:
    """Return the claimed jobs of a process that have been asked to stop."""
    rows = session.fetch(CLAIMS["cancelled"], {"process_id": process_id})
    return [
        CancelRequest(claims.InClaim(job_id, claim_id), forced)
        for job_id, claim_id, forced in rows
    ]


def _cancel(session: Session, ids: list[int], *, force: bool, keep: bool) -> dict[int, str]:
    with session.connection.transaction():
        parameters = {"ids": ids, "force": force, "keep": keep}
        done = dict(session.fetch(STATEMENTS["cancel"], parameters))
        left = [each for each in ids if each not in done]
        if found := lost.drop(session, left, keep=keep):
            session.fetch(STATEMENTS["mark_cancelled"], {"ids": found})
        return done | dict.fromkeys(found, "lost")


def _open(session: Session, ids: list[int]) -> list[int]:
    """Return the jobs that have not ended: they were being moved."""
    if not ids:
        return []
    return [row[0] for row in session.fetch(STATEMENTS["open"], {"ids": ids})]


def _state(session: Session, job_id: int) -> str:
    try:
        return inspect.find(session, job_id).job.state
    except errors.NotFoundError:
        return "gone"
