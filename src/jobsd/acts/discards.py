"""Discards jobs, in any state but claimed, because a running job can't be called back.

When the first job of a limited key is discarded, the next one becomes the first, also when many
are discarded at once. An act on many jobs skips locked ones: a worker is claiming them, or a
transaction has found a duplicate of a unique job. For a single job, the act retries until the
lock is released.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from jobsd import clock, errors
from jobsd.database.connection import Session, Statements
from jobsd.enqueueing.on_demand import lent, replaceable
from jobsd.events.events import emit
from jobsd.jobs import limits
from jobsd.jobs.draft import ID_MAX, JobOrId
from jobsd.states import lost

from . import holders, inspect, listing

STATEMENTS = Statements("jobsd.acts", "discards.sql")

BATCH = 500
STATES = ("scheduled", "ready", "blocked", "failed", "lost")
"""The states in which a job may be discarded."""


@dataclass(frozen=True, slots=True)
class Discarded:
    """The effect of one transaction: the discarded jobs, and the state that each had."""

    jobs: dict[int, str]


@replaceable
def discard(job: JobOrId, *, keep: bool = True, session: Session | None = None) -> str:
    """Discard a job that is not running; return the state that it had.

    Its row stays, as a discarded job; with `keep` false it is deleted. If the job is locked,
    this waits up to two seconds for the lock.

    Raises:
        NotFoundError: when no job has this id.
        RefusedError: when it is running, has ended, or is still locked; the error names the
            session that locks it.
        Error: for an invalid id.
    """
    job_id = inspect.check_id(job)
    with lent(session) as taken:
        inspect.require_same(taken, job)
        for done in batches(taken, [job_id], keep=keep, patient=True):
            if job_id in done.jobs:
                return done.jobs[job_id]
        raise errors.RefusedError(refusal(taken, inspect.find(taken, job_id)))


@replaceable
def discard_all(  # noqa: PLR0913 - the filters, and a session
    *,
    state: str | None = None,
    queue: str | None = None,
    class_name: str | None = None,
    since: float | str | timedelta | None = None,
    limit: int | None = None,
    keep: bool = True,
    session: Session | None = None,
) -> int:
    """Discard all jobs that match the filters and are not running; return their number.

    `since` selects jobs by their age ("1h"); `limit` selects the newest ones. Commits a few
    hundred jobs at a time.

    Raises:
        Error: for an invalid filter.
        RefusedError: for a state in which jobs cannot be discarded.
    """
    meant = listing.wanted(state, queue, class_name, since)
    with lent(session) as taken:
        chosen = ids(taken, meant, limit)
        return sum(len(done.jobs) for done in batches(taken, chosen, keep=keep))


def ids(session: Session, meant: listing.Filter, limit: int | None = None) -> array[int]:
    """Return the ids of the jobs that match and may be discarded, or of the newest ones.

    Raises:
        RefusedError: for a state in which jobs cannot be discarded.
    """
    if meant.state is not None:
        check_state(meant.state)
        return listing.ids(session, meant, limit)
    found = listing.ids(session, meant.of("scheduled"), limit)
    # Lost ones are searched only when asked: that reads all jobs.
    for state in STATES[1:-1]:
        found.extend(listing.ids(session, meant.of(state), limit))
    return found if limit is None else type(found)("q", sorted(found)[-limit:])


def batches(
    session: Session, ids: Sequence[int], *, keep: bool, patient: bool = False
) -> Iterator[Discarded]:
    """Discard jobs, a transaction for each few hundred; running and ended ones are skipped.

    Locked jobs are skipped, too; with `patient` they are tried again for two seconds.
    """
    for start in range(0, len(ids), BATCH):
        left = [each for each in ids[start : start + BATCH] if 0 < each <= ID_MAX]
        until = clock.monotonic() + holders.AGAIN_MAX_S
        held = set(left)
        while left:
            done = _discard(session, left, keep=keep)
            if done.jobs:
                emit("jobs.discarded", size=len(done.jobs), job_ids=list(done.jobs))
            yield done
            if not patient or clock.monotonic() >= until:
                break
            # A job that is not locked now is tried once more: its lock may have been released
            # just before.
            left = [each for each in left if each in held and each not in done.jobs]
            held = set(holders.held(session, left))
            if left:
                time.sleep(holders.AGAIN_S)


def expire(session: Session, ids: Sequence[int], *, keep: bool) -> list[int]:
    """Discard expired waiting jobs, in the caller's transaction; return their ids."""
    parameters = {"ids": list(ids), "keep": keep, "reason": "expired", "failed": False}
    rows = session.fetch(STATEMENTS["discard"], parameters)
    limits.unblocked(rows)
    return [row[0] for row in rows]


def check_state(state: str) -> None:
    """Refuse a state in which jobs can't be discarded.

    Raises:
        RefusedError: with the reason.
    """
    if state not in STATES:
        why = (
            "they may be running; cancel them instead"
            if state == "claimed"
            else "they have ended"
        )
        raise errors.RefusedError(f"{state} jobs can't be discarded: {why}")


def refusal(session: Session, found: inspect.Found) -> str:
    """Return the reason why a job was not discarded."""
    job = found.job
    match job.state:
        case "claimed":
            return f"job {job.id} can't be discarded while it is claimed by {holder(found)}"
        case "finished" | "discarded":
            return f"job {job.id} is {job.state} already"
        case _:
            return holders.in_way(session, job.id)


def holder(found: inspect.Found) -> str:
    """Return the process that has claimed a job, in words."""
    if found.job.process is None:
        return f"process {found.job.process_id}, which no longer exists"
    return f"{found.job.process} (pid {found.job.pid} on {found.job.hostname})"


def _discard(session: Session, ids: list[int], *, keep: bool) -> Discarded:
    with session.connection.transaction():
        parameters = {"ids": ids, "keep": keep, "reason": None, "failed": True}
        rows = session.fetch(STATEMENTS["discard"], parameters)
        limits.unblocked(rows)
        done = {job_id: state for job_id, state, _ in rows}
        found = lost.drop(session, [each for each in ids if each not in done], keep=keep)
    return Discarded(done | dict.fromkeys(found, "lost"))
