"""Jobs that wait for somebody's decision: of paused queues, failed ones, and lost ones."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from jobsd.database.statements import Statements
from jobsd.jobs import lanes
from jobsd.jobs import lost as lost_jobs

from .finding import Finding
from .output import counted, length, when
from .program import program

if TYPE_CHECKING:
    from datetime import datetime

    from jobsd.database.connection import Session

STATEMENTS = Statements("jobsd.daemon", "held_up.sql")

COUNTED_MAX = 100_000
"""Nobody decides otherwise for more of them, and a count must cost little."""
_TOLD_MAX = 3
_WALK_OLD_S = 2 * 86400.0


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


def unknown(session: Session) -> Finding:
    """Say of which classes jobs wait that no worker knows, and since when."""
    rows = lanes.unknown(session)
    if not rows:
        return Finding("OK", "classes", "no job waits whose class no worker knows")
    told = [
        f"{_number(row.jobs, 'ready job')} of {row.lane!r} in queue {row.queue_name!r}, which"
        f" no worker has known for {length(row.for_s)}"
        for row in rows[:_TOLD_MAX]
    ]
    more = len(rows) - len(told)
    told += [f"and {counted(more, 'more class')}"] if more else []
    return Finding("WARN", "classes", "; ".join(told))


def lost(session: Session) -> Finding:
    """Say how many jobs are in no table, and when all were last looked at for such ones."""
    known = lost_jobs.known(session)
    age_s = known.walk_age_s
    looked = "not looked for yet" if age_s is None else f"looked for {length(age_s)} ago"
    if known.jobs:
        jobs = counted(known.jobs, "job")
        told = f"{jobs} in no table, {looked}; `{program()} list --state lost`"
        return Finding("FAIL", "lost jobs", told)
    if age_s is not None and age_s > _WALK_OLD_S:
        return Finding("WARN", "lost jobs", f"{looked}: a dispatcher does so once a day")
    return Finding("OK", "lost jobs", f"none is known, {looked}")


def _told(name: str, reason: str | None, by: str | None, since: datetime, count: int) -> str:
    said = f": {reason}" if reason else ""
    resume = f"`{program()} queues resume {shlex.quote(name)}`"
    return (
        f"{_number(count, 'ready job')} in queue {name!r}, paused {when(since)}"
        f" by {by or 'somebody'}{said}; {resume}"
    )


def _number(count: int, noun: str) -> str:
    return f"{count} or more {noun}s" if count >= COUNTED_MAX else counted(count, noun)
