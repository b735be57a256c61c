"""Why a job is not running: every reason that holds, as far as the tables tell.

A job that has ended, or that a living process has, has none. A ready job without one is
about to be claimed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobsd.clock import utc_now
from jobsd.jobs import inspect, queues
from jobsd.jobs.ready import Selection
from jobsd.processes import registry

from .liveness import life
from .output import length, when

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session
    from jobsd.jobs.inspect import Found
    from jobsd.processes.registry import ProcessRow


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: its name for programs, a sentence for people, what it depends on."""

    reason: str
    sentence: str
    details: dict[str, Any] = field(default_factory=dict[str, Any])

    def facts(self) -> dict[str, Any]:
        """Return what a program is told."""
        return {"reason": self.reason, **self.details}


def why(session: Session, found: Found, threshold_s: float) -> list[Reason]:
    """Return all reasons that hold, the first in a job's way first."""
    rows = registry.processes(session)
    alive = [row for row in rows if life(row, threshold_s) == "alive"]
    match found.job.state:
        case "scheduled":
            return [*_scheduled(found, alive), *_queue(session, found, alive)]
        case "blocked":
            return [*_blocked(session, found), *_queue(session, found, alive)]
        case "ready":
            reasons = list(_queue(session, found, alive))
            return [*reasons, *_in_line(session, found, alive)]
        case "claimed":
            return list(_claimed(found, rows, alive))
        case "lost":
            told = "no table says where it is: rows were removed by hand, or this is a defect"
            return [Reason("lost", told)]
        case _:
            return []


def _scheduled(found: Found, alive: list[ProcessRow]) -> Iterator[Reason]:
    until = found.job.scheduled_at
    if until is not None and until > utc_now():
        yield Reason(
            "scheduled", f"it is scheduled {when(until)}, at {until}", {"until": until}
        )
    if not any(row.kind == "dispatcher" for row in alive):
        yield Reason("no_dispatcher", "no dispatcher runs that would make it ready")


def _blocked(session: Session, found: Found) -> Iterator[Reason]:
    key = found.concurrency_key or ""
    held_by = inspect.holders(session, key)
    jobs = ", ".join(map(str, held_by)) or "nobody any more"
    details = {"key": key, "held_by": held_by}
    yield Reason("blocked", f"the limit of {key!r} is reached: held by {jobs}", details)


def _queue(session: Session, found: Found, alive: list[ProcessRow]) -> Iterator[Reason]:
    queue = found.job.queue_name
    for pause in queues.paused(session=session):
        if pause.queue_name == queue:
            said = f": {pause.reason}" if pause.reason else ""
            yield Reason(
                "paused",
                f"queue {queue!r} was paused {when(pause.created_at)} by"
                f" {pause.created_by or 'somebody'}{said}",
                {
                    "queue_name": queue,
                    "by": pause.created_by,
                    "since": pause.created_at,
                    "because": pause.reason,
                },
            )
    if not _listening(alive, queue):
        yield Reason(
            "no_worker",
            f"no worker runs that takes from queue {queue!r}",
            {"queue_name": queue},
        )


def _in_line(session: Session, found: Found, alive: list[ProcessRow]) -> Iterator[Reason]:
    queue = found.job.queue_name
    if ahead := inspect.ahead(session, found):
        jobs = "1 job" if ahead == 1 else f"{ahead} jobs"
        yield Reason(
            "behind",
            f"{jobs} of queue {queue!r} come before it",
            {"queue_name": queue, "jobs": ahead},
        )
    workers = _listening(alive, queue)
    claimed = inspect.claimed(session)
    taken = {row.id: claimed.get(row.id, 0) for row in workers}
    if workers and all(taken[row.id] >= _threads(row) for row in workers):
        threads = sum(map(_threads, workers))
        in_hand = sum(taken.values())
        yield Reason(
            "busy",
            f"all {threads} threads that would take it have jobs",
            {"workers": len(workers), "threads": threads, "claimed": in_hand},
        )


def _claimed(found: Found, rows: list[ProcessRow], alive: list[ProcessRow]) -> Iterator[Reason]:
    if any(row.id == found.process_id for row in alive):
        return
    row = next((row for row in rows if row.id == found.process_id), None)
    name = f"process {found.process_id}" if row is None else row.name
    heard = "" if row is None else f"; last heard of {length(row.heartbeat_age_s)} ago"
    details = {"process_id": found.process_id, "process": None if row is None else row.name}
    yield Reason(
        "process_lost", f"{name} had claimed it and does not live any more{heard}", details
    )


def _listening(alive: list[ProcessRow], queue: str) -> list[ProcessRow]:
    return [
        row
        for row in alive
        if row.kind == "worker"
        and Selection(tuple(str(row.metadata.get("queues", "*")).split(","))).matches(queue)
    ]


def _threads(row: ProcessRow) -> int:
    threads = row.metadata.get("threads")
    return threads if isinstance(threads, int) else 1
