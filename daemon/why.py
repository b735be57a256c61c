"""Why a job is not running: every reason that holds, as far as the tables tell.

A job that has ended, or that a living process has, has none. A ready job without one is
about to be claimed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.clock import utc_now
from jobsd.jobs import inspect
from jobsd.processes import registry

from .liveness import life
from .output import counted, length, when
from .program import program
from .reason import Reason, Sight
from .why_unclaimed import in_line, queue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session
    from jobsd.jobs.inspect import Found, Holder

_HOLDERS_TOLD = 10


def why(session: Session, found: Found, threshold_s: float) -> list[Reason]:
    """Return all reasons that hold, the first in a job's way first."""
    rows = registry.processes(session)
    alive = [row for row in rows if life(row, threshold_s) == "alive"]
    seen = Sight(session, found, rows, alive)
    match found.job.state:
        case "scheduled":
            return [*_scheduled(seen), *_limit(seen), *queue(seen)]
        case "blocked":
            return [*_blocked(seen), *queue(seen)]
        case "ready":
            return [*queue(seen), *in_line(seen)]
        case "claimed":
            return list(_claimed(seen))
        case "lost":
            told = (
                "no table says where it is: rows were removed by hand, or this is a defect. It"
                f" may still be running: `{program()} discard`, or `retry --yes` once it is not"
            )
            return [Reason("lost", told)]
        case _:
            return []


def _scheduled(seen: Sight) -> Iterator[Reason]:
    until = seen.found.job.scheduled_at
    if until is not None and until > utc_now():
        told = f"it is scheduled {when(until)}, at {until}"
        yield Reason("scheduled", told, {"until": until})
    elif until is not None:
        told = f"it was due {when(until)}, and was not made ready yet"
        yield Reason("not_dispatched", told, {"since": until})
    if not seen.has_dispatcher:
        yield Reason("no_dispatcher", "no dispatcher runs that would make it ready")


def _limit(seen: Sight) -> Iterator[Reason]:
    """Tell what a scheduled job would meet, were it due now."""
    key, limit = seen.found.concurrency_key, seen.found.concurrency_limit
    if key is None or limit is None:
        return
    held_by = inspect.holders(seen.session, key)
    if len(held_by) >= limit:
        yield Reason(
            "limit_reached",
            f"{_of_key(key, limit)}, so it would be blocked now: {_holders(held_by)}",
            {"key": key, "limit": limit, "held_by": [holder.id for holder in held_by]},
        )


def _blocked(seen: Sight) -> Iterator[Reason]:
    key, limit = seen.found.concurrency_key or "", seen.found.concurrency_limit or 1
    held_by = inspect.holders(seen.session, key)
    ahead = inspect.blocked_before(seen.session, seen.found)
    first = f"; {counted(ahead, 'job')} before it in line" if ahead else ""
    most = inspect.next_limit(seen.session, key) or limit
    if ahead and most != limit:
        first += f", of which the first lets {most} run at once"
    yield Reason(
        "blocked",
        f"{_of_key(key, limit)}: {_holders(held_by)}{first}",
        {
            "key": key,
            "limit": limit,
            "held_by": [holder.id for holder in held_by],
            "ahead": ahead,
        },
    )
    if free := max(0, most - len(held_by)):
        told = f"a slot of {key!r} is free, but was not given to who comes first yet"
        yield Reason("not_promoted", told, {"key": key, "free": free})
        if not seen.has_dispatcher:
            told = "no dispatcher runs that would give the free slot away"
            yield Reason("no_dispatcher", told)


def _of_key(key: str, limit: int) -> str:
    return f"its key {key!r} lets {limit} run at once"


def _holders(held_by: list[Holder]) -> str:
    if not held_by:
        return "nobody holds a slot"
    told = [f"{holder.id} ({holder.state})" for holder in held_by[:_HOLDERS_TOLD]]
    more = len(held_by) - len(told)
    return "held by " + ", ".join([*told, *([f"and {more} more"] if more else [])])


def _claimed(seen: Sight) -> Iterator[Reason]:
    process_id = seen.found.job.process_id
    if any(row.id == process_id for row in seen.alive):
        return
    row = next((row for row in seen.rows if row.id == process_id), None)
    name = f"process {process_id}" if row is None else row.name
    heard = "" if row is None else f"; last heard of {length(row.heartbeat_age_s)} ago"
    details = {"process_id": process_id, "process": None if row is None else row.name}
    yield Reason(
        "process_lost", f"{name} had claimed it and does not live any more{heard}", details
    )
