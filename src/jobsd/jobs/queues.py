"""Queues as an operator sees them: paused or not, how long, how old; and emptied.

A queue exists once a job is in it, so any name may be paused, also one that nothing was
ever enqueued to. A pause takes effect at the next claim of each worker and leaves alone
what runs already.

Each function takes a session, or else asks the database of the program.
"""

from __future__ import annotations

import contextlib
import getpass
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobsd.database.statements import Statements

from . import client
from .registry import check_queue

if TYPE_CHECKING:
    from datetime import datetime

    from jobsd.database.connection import Session

STATEMENTS = Statements("jobsd.jobs", "queues.sql")

CLEAR_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Pause:
    """Why, by whom and since when a queue is paused."""

    queue_name: str
    reason: str | None
    created_by: str | None
    created_at: datetime


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
    parameters = {"name": check_queue(name), "reason": reason, "by": by or _whoever()}
    with _lent(session) as lent:
        return bool(lent.fetch(STATEMENTS["pause"], parameters)[0][0])


def resume(name: str, *, session: Session | None = None) -> bool:
    """Let workers claim from the queue again, at once; return False when it was not paused."""
    with _lent(session) as lent:
        return bool(lent.fetch(STATEMENTS["resume"], {"name": name}))


def paused(*, session: Session | None = None) -> list[Pause]:
    """Return all pauses, by the names of their queues."""
    with _lent(session) as lent:
        return [Pause(*row) for row in lent.fetch(STATEMENTS["pauses"])]


def size(name: str, *, session: Session | None = None) -> int:
    """Return how many jobs of the queue are ready."""
    with _lent(session) as lent:
        return int(lent.fetch(STATEMENTS["size"], {"name": name})[0][0])


def latency(name: str, *, session: Session | None = None) -> float:
    """Return for how many seconds the oldest ready job of the queue has waited, or 0."""
    with _lent(session) as lent:
        return float(lent.fetch(STATEMENTS["latency"], {"name": name})[0][0])


def clear(name: str, *, keep: bool = True, session: Session | None = None) -> int:
    """Discard the ready jobs of the queue and return how many they were.

    Jobs that are scheduled, failed or claimed stay. Their rows stay as discarded ones, or
    go with `keep` false. Committed a thousand at a time; ends with those that were ready
    when it began, whoever goes on to enqueue.
    """
    cleared = 0
    with _lent(session) as lent:
        until = lent.fetch(STATEMENTS["last_position"], {"name": name})[0][0]
        parameters = {"name": name, "until": until, "keep": keep, "limit": CLEAR_BATCH}
        while until is not None:
            batch = int(lent.fetch(STATEMENTS["clear"], parameters)[0][0])
            cleared += batch
            if batch == 0:
                break
    return cleared


def _whoever() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as containers have
        user = "?"
    return f"{user}@{socket.gethostname()}"


def _lent(session: Session | None) -> contextlib.AbstractContextManager[Session]:
    return contextlib.nullcontext(session) if session else client.default_client().session()
