"""Queues as an operator sees them: paused or not, how long, how old; and emptied.

A queue exists once a job is in it, so any name may be paused, also one that nothing was
ever enqueued to. A pause takes effect at the next claim of each worker and leaves alone
what runs already.

Each function takes a session, or else asks the database of the program.
"""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobsd import machine
from jobsd.database.statements import Statements
from jobsd.errors import Error
from jobsd.instruments.events import emit

from .operation import lent, promote
from .registry import check_queue

if TYPE_CHECKING:
    from datetime import datetime

    from jobsd.database.connection import Session

STATEMENTS = Statements("jobsd.jobs", "queues.sql")

CLEAR_BATCH = 500


@dataclass(frozen=True, slots=True)
class Pause:
    """Why, by whom and since when a queue is paused."""

    queue_name: str
    reason: str | None
    created_by: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Pausing:
    """What a pause came to: whether it began only now, its reason, and the one before."""

    anew: bool
    reason: str | None
    reason_before: str | None


def pause(
    name: str,
    reason: str | None = None,
    *,
    by: str | None = None,
    session: Session | None = None,
) -> bool:
    """Let no worker of any host claim from the queue; return False when it was paused.

    A queue that is paused already gets the new reason. `by` is USER@HOST unless given.
    """
    return pausing(name, reason, by=by, session=session).anew


def pausing(
    name: str,
    reason: str | None = None,
    *,
    by: str | None = None,
    session: Session | None = None,
) -> Pausing:
    """Do what `pause` does; return what it came to."""
    parameters = {
        "name": check_queue(name),
        "reason": _text("reason", reason),
        "by": _text("by", by or _whoever()),
    }
    with lent(session) as taken:
        done = Pausing(*taken.fetch(STATEMENTS["pause"], parameters)[0])
    emit("queue.paused", queue_name=name, reason=reason, by=parameters["by"])
    return done


def resume(name: str, *, session: Session | None = None) -> bool:
    """Let workers claim from the queue again, at once; return False when it was not paused."""
    with lent(session) as taken:
        resumed = bool(taken.fetch(STATEMENTS["resume"], {"name": check_queue(name)}))
    if resumed:
        emit("queue.resumed", queue_name=name)
    return resumed


def paused(*, session: Session | None = None) -> list[Pause]:
    """Return all pauses, by the names of their queues."""
    with lent(session) as taken:
        return [Pause(*row) for row in taken.fetch(STATEMENTS["pauses"])]


def size(name: str, *, session: Session | None = None) -> int:
    """Return how many jobs of the queue are ready."""
    with lent(session) as taken:
        return int(taken.fetch(STATEMENTS["size"], {"name": check_queue(name)})[0][0])


def is_known(name: str, *, session: Session | None = None) -> bool:
    """Return whether the queue has ready jobs, or one of the latest 10,000 jobs was in it."""
    with lent(session) as taken:
        return bool(taken.fetch(STATEMENTS["known"], {"name": check_queue(name)})[0][0])


def latency(name: str, *, session: Session | None = None) -> float:
    """Return for how many seconds the oldest ready job of the queue has waited, or 0."""
    with lent(session) as taken:
        return float(taken.fetch(STATEMENTS["latency"], {"name": check_queue(name)})[0][0])


def clear(name: str, *, keep: bool = True, session: Session | None = None) -> int:
    """Discard the ready jobs of the queue and return how many they were.

    Jobs that are scheduled, blocked, failed or claimed stay. The rows of the others stay as
    discarded ones, or go with `keep` false. Committed a few hundred at a time; ends with
    those that were ready when it began, whoever goes on to enqueue.
    """
    cleared = 0
    with lent(session) as taken:
        until = taken.fetch(STATEMENTS["last_position"], {"name": check_queue(name)})[0][0]
        found = until is not None
        while found:
            found, batch = _clear(taken, name, until, keep=keep)
            cleared += batch
    emit("queue.cleared", queue_name=name, size=cleared)
    return cleared


def _clear(session: Session, name: str, until: int, *, keep: bool) -> tuple[bool, int]:
    parameters = {"name": name, "until": until, "keep": keep, "limit": CLEAR_BATCH}
    with session.connection.transaction():
        found, batch, keys = session.fetch(STATEMENTS["clear"], parameters)[0]
        promote(session, keys, keep=keep)
    return found > 0, int(batch)


def _text(option: str, text: str | None) -> str | None:
    if text is None or (isinstance(text, str) and text.isprintable()):  # pyright: ignore[reportUnnecessaryIsInstance]
        return text
    raise Error(f"{option}: {text!r} is no line of printable text")


def _whoever() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as containers have
        user = "?"
    return f"{user}@{machine.hostname()}"
