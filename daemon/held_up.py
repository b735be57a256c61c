"""Jobs that wait for somebody's decision: those of paused queues, and those that failed."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from jobsd.database.statements import Statements

from .finding import Finding
from .output import counted, when
from .program import program

if TYPE_CHECKING:
    from datetime import datetime

    from jobsd.database.connection import Session

STATEMENTS = Statements("jobsd.daemon", "held_up.sql")

COUNTED_MAX = 100_000
"""Nobody decides otherwise for more of them, and a count must cost little."""
_TOLD_MAX = 3


def paused(session: Session) -> Finding:
    """Say which paused queues have jobs waiting, since when, why, and how to let them go on."""
    rows = session.fetch(STATEMENTS["paused"], {"most": COUNTED_MAX})
    if not rows:
        return Finding("OK", "pauses", "no job waits in a paused queue")
    told = [_told(*row) for row in rows[:_TOLD_MAX]]
    more = len(rows) - len(told)
    told += [f"and {counted(more, 'more queue')}; `{program()} queues`"] if more else []
    return Finding("WARN", "pauses", "; ".join(told))


def failed(session: Session) -> Finding:
    """Say how many jobs have failed, and how to see them."""
    ((count,),) = session.fetch(STATEMENTS["failed"], {"most": COUNTED_MAX})
    if not count:
        return Finding("OK", "failures", "no job has failed for good")
    told = f"{_number(count, 'job')} failed for good; `{program()} list --state failed`"
    return Finding("WARN", "failures", told)


def _told(name: str, reason: str | None, by: str | None, since: datetime, count: int) -> str:
    said = f": {reason}" if reason else ""
    resume = f"`{program()} queues resume {shlex.quote(name)}`"
    return (
        f"{_number(count, 'ready job')} in queue {name!r}, paused {when(since)}"
        f" by {by or 'somebody'}{said}; {resume}"
    )


def _number(count: int, noun: str) -> str:
    return f"{count} or more {noun}s" if count >= COUNTED_MAX else counted(count, noun)
