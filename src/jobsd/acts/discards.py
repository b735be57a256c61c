"""Discards jobs, in any state but claimed, because a running job can't be called back.

Where a limited job is dropped that comes first of its key, the next one takes its place, also
when many are dropped at once. Of many jobs those that somebody holds locked are left to him: a
worker that claims them, or a transaction that was told of a unique one. A job that is named is
waited for, by looking again.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator, Sequence
from datetime import timedelta

from jobsd import clock, errors, late
from jobsd.database.connection import Session, Statements
from jobsd.enqueueing.on_demand import lent
from jobsd.events.events import emit
from jobsd.jobs import limits
from jobsd.states import lost

from . import holders, inspect, listing

STATEMENTS = Statements("jobsd.acts", "discards.sql")

BATCH = 500
STATES = ("scheduled", "ready", "blocked", "failed", "lost")
"""Where a job may be dropped from."""


@late.dataclass(frozen=True, slots=True)
class Discarded:
    """What one transaction did: the jobs that were dropped, and the state each had."""

    jobs: dict[int, str]


def discard(job_id: int, *, keep: bool = True, session: Session | None = None) -> str:
    """Discard a job that does not run; return the state that it had.

    Its row stays, as a discarded job; with `keep` false it is deleted. Whoever holds the job
    locked is waited for, two seconds.

    Raises:
        NotFoundError: when there is no such job.
        RefusedError: when it runs, or has ended, or is still held: by whom is said.
        Error: for an invalid id.
    """
    job_id = inspect.check_id(job_id)
    with lent(session) as taken:
        for done in batches(taken, [job_id], keep=keep, patient=True):
            if job_id in done.jobs:
                return done.jobs[job_id]
        raise errors.RefusedError(refusal(taken, inspect.find(taken, job_id)))


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
    """Discard all jobs that match the filters and do not run; return how many.

    `since` selects jobs that were enqueued at most so long ago ("1h"); `limit` selects the
    newest ones. Commits a few hundred jobs at a time.

    Raises:
        Error: for an invalid filter.
        RefusedError: for a state in which jobs cannot be discarded.
    """
    meant = listing.wanted(state, queue, class_name, since)
    with lent(session) as taken:
        chosen = ids(taken, meant, limit)
        return sum(len(done.jobs) for done in batches(taken, chosen, keep=keep))


def ids(session: Session, meant: listing.Filter, limit: int | None = None) -> array[int]:
    """Return the jobs that are meant and may be dropped, or the newest ones of them.

    Raises:
        RefusedError: for a state in which jobs cannot be discarded.
    """
    if meant.state is not None:
        check_state(meant.state)
        return listing.ids(session, meant, limit)
    found = listing.ids(session, meant.of("scheduled"), limit)
    for state in STATES[1:]:
        found.extend(listing.ids(session, meant.of(state), limit))
    return found if limit is None else type(found)("q", sorted(found)[-limit:])


def batches(
    session: Session, ids: Sequence[int], *, keep: bool, patient: bool = False
) -> Iterator[Discarded]:
    """Drop jobs, a transaction for each few hundred; those that run or have ended are left.

    So are those that somebody holds locked; with `patient` they are met again for a while.
    """
    for start in range(0, len(ids), BATCH):
        left = [each for each in ids[start : start + BATCH] if 0 < each <= inspect.ID_MAX]
        until = clock.monotonic() + holders.AGAIN_MAX_S
        held = set(left)
        while left:
            done = _discard(session, left, keep=keep)
            if done.jobs:
                emit("jobs.discarded", size=len(done.jobs), job_ids=list(done.jobs))
            yield done
            if not patient or clock.monotonic() >= until:
                break
            # What is not held is met once more: it may have been let go just before.
            left = [each for each in left if each in held and each not in done.jobs]
            held = set(holders.held(session, left))
            if left:
                time.sleep(holders.AGAIN_S)


def expire(session: Session, ids: Sequence[int], *, keep: bool) -> list[int]:
    """Drop jobs that wait and have expired, in the caller's transaction; return which."""
    parameters = {"ids": list(ids), "keep": keep, "reason": "expired", "failed": False}
    rows = session.fetch(STATEMENTS["discard"], parameters)
    limits.hand_over(session, [row[2] for row in rows if row[2] is not None])
    return [row[0] for row in rows]


def check_state(state: str) -> None:
    """Let nothing be dropped from where it can't be.

    Raises:
        RefusedError: saying why.
    """
    if state not in STATES:
        why = (
            "they may be running; cancel them instead"
            if state == "claimed"
            else "they have ended"
        )
        raise errors.RefusedError(f"{state} jobs can't be discarded: {why}")


def refusal(session: Session, found: inspect.Found) -> str:
    """Say why a job was not dropped."""
    job = found.job
    match job.state:
        case "claimed":
            return f"job {job.id} can't be discarded while it is claimed by {holder(found)}"
        case "finished" | "discarded":
            return f"job {job.id} is {job.state} already"
        case _:
            return holders.in_way(session, job.id)


def holder(found: inspect.Found) -> str:
    """Return the process that has claimed a job, as people are told."""
    if found.job.process is None:
        return f"process {found.job.process_id}, which no longer exists"
    return f"{found.job.process} (pid {found.job.pid} on {found.job.hostname})"


def _discard(session: Session, ids: list[int], *, keep: bool) -> Discarded:
    with session.connection.transaction():
        parameters = {"ids": ids, "keep": keep, "reason": None, "failed": True}
        rows = session.fetch(STATEMENTS["discard"], parameters)
        done = {row[0]: row[1] for row in rows}
        found = lost.drop(session, [each for each in ids if each not in done], keep=keep)
        limits.hand_over(session, [row[2] for row in rows if row[2] is not None])
    return Discarded(done | dict.fromkeys(found, "lost"))
