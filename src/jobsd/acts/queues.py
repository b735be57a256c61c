"""Pause, resume, measure and empty queues.

A queue exists as soon as a job is in it, so any name may be paused, even one that has
never had a job. A pause takes effect at the next claim of each worker; running jobs go on.

Each function uses the database of the program, or the `session` that it is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from jobsd import machine
from jobsd.database.connection import Session, Statements
from jobsd.enqueueing.on_demand import lent, replaceable
from jobsd.events.events import emit
from jobsd.jobs.registry import check_line, check_queue

STATEMENTS = Statements("jobsd.acts", "queues.sql")

CLEAR_BATCH = 500


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause of a queue: its reason, its author, and its time."""

    queue_name: str
    reason: str | None
    created_by: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Pausing:
    """The result of a pause: whether it began only now, its reason, and the one before."""

    is_new: bool
    reason: str | None
    reason_before: str | None


def pause(
    name: str,
    reason: str | None = None,
    *,
    by: str | None = None,
    session: Session | None = None,
) -> bool:
    """Pause the queue on all hosts; return False when it was paused already.

    A queue that is paused already gets the new reason. `by` is USER@HOST by default.
    """
    return pausing(name, reason, by=by, session=session).is_new


def pausing(
    name: str,
    reason: str | None = None,
    *,
    by: str | None = None,
    session: Session | None = None,
) -> Pausing:
    """Pause the queue as `pause` does; return the details."""
    by = by or machine.user_at_host()
    texts = None if reason is None else check_line("reason", reason), check_line("by", by)
    done = store_pause(check_queue(name), *texts, session=session)
    emit("queue.paused", queue_name=name, reason=reason, by=by)
    return done


@replaceable
def store_pause(
    name: str, reason: str | None, by: str | None, *, session: Session | None = None
) -> Pausing:
    """Store a pause, without an event; see `pausing`."""
    with lent(session) as taken:
        parameters = {"name": name, "reason": reason, "by": by}
        return Pausing(*taken.fetch(STATEMENTS["pause"], parameters)[0])


def resume(name: str, *, session: Session | None = None) -> bool:
    """Resume the queue at once; return False when it was not paused."""
    resumed = end_pause(check_queue(name), session=session)
    if resumed:
        emit("queue.resumed", queue_name=name)
    return resumed


@replaceable
def end_pause(name: str, *, session: Session | None = None) -> bool:
    """Delete a pause, without an event; see `resume`."""
    with lent(session) as taken:
        return bool(taken.fetch(STATEMENTS["resume"], {"name": name}))


@replaceable
def paused(*, session: Session | None = None) -> list[Pause]:
    """Return all pauses, by the names of their queues."""
    with lent(session) as taken:
        return [Pause(*row) for row in taken.fetch(STATEMENTS["pauses"])]


@replaceable
def size(name: str, *, session: Session | None = None) -> int:
    """Return the number of ready jobs of the queue."""
    with lent(session) as taken:
        return int(taken.fetch(STATEMENTS["size"], {"name": check_queue(name)})[0][0])


@replaceable
def is_known(name: str, *, session: Session | None = None) -> bool:
    """Return whether the queue has ready jobs, or one of the latest 10,000 jobs was in it."""
    with lent(session) as taken:
        return bool(taken.fetch(STATEMENTS["known"], {"name": check_queue(name)})[0][0])


@replaceable
def latency(name: str, *, session: Session | None = None) -> float:
    """Return for how many seconds the oldest ready job of the queue has waited, or 0."""
    with lent(session) as taken:
        return float(taken.fetch(STATEMENTS["latency"], {"name": check_queue(name)})[0][0])


@replaceable
def clear(name: str, *, keep: bool = True, session: Session | None = None) -> int:
    """Discard the ready jobs of the queue; return their number.

    Scheduled, blocked, failed and claimed jobs stay in the queue. The rows of the discarded
    jobs stay; with `keep` false they are deleted. Commits a few hundred jobs at a time, and
    ends with the jobs that were ready when it began.
    """
    from jobsd.jobs import limits  # noqa: PLC0415 - reading queues needs no limits

    cleared = 0
    with lent(session) as taken:
        until = taken.fetch(STATEMENTS["last_position"], {"name": check_queue(name)})[0][0]
        found = until is not None
        while found:
            parameters = {"name": name, "until": until, "keep": keep, "limit": CLEAR_BATCH}
            rows = taken.fetch(STATEMENTS["clear"], parameters)
            limits.unblocked(rows)
            found, batch, _ = rows[0]
            cleared += batch
    emit("queue.cleared", queue_name=name, size=cleared)
    return cleared
