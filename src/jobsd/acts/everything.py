"""Pause and resume everything: no claim, no dispatch and no recurring run on any host.

The pause is a row of `jobsd.pauses` under the name `*`, which no queue can have. A process
reads it when it connects. Later its monitor reads it: after a notification, and with each
heartbeat. Running jobs go on, and jobs can be enqueued.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from jobsd import machine
from jobsd.database.connection import Session, Statements
from jobsd.events.events import emit
from jobsd.jobs.registry import check_line

STATEMENTS = Statements("jobsd.acts", "everything.sql")


@dataclass(frozen=True, slots=True)
class PauseOfEverything:
    """The pause of everything: its reason, its author, and its time."""

    reason: str | None
    created_by: str | None
    created_at: datetime


def pause(session: Session, reason: str | None = None, *, by: str | None = None) -> bool:
    """Pause everything; return False when it was paused already.

    A pause that exists already gets the new reason. `by` is USER@HOST by default.
    """
    by = check_line("by", by or machine.user_at_host())
    reason = None if reason is None else check_line("reason", reason)
    ((is_new, _),) = session.fetch(STATEMENTS["pause"], {"reason": reason, "by": by})
    emit("everything.paused", reason=reason, by=by)
    return bool(is_new)


def resume(session: Session, *, catch_up: bool = False) -> bool:
    """End the pause; return False when there was none.

    Instants of recurring tasks that the pause has covered are left out. With `catch_up` they
    count as missed: the `on_missed` of their task decides.
    """
    resumed = bool(session.fetch(STATEMENTS["resume"], {"catch_up": catch_up}))
    if resumed:
        emit("everything.resumed", catch_up=catch_up)
    return resumed


def paused(session: Session) -> PauseOfEverything | None:
    """Return the pause of everything, None if there is none."""
    rows = session.fetch(STATEMENTS["paused"])
    return PauseOfEverything(*rows[0]) if rows else None
