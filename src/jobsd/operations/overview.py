"""The facts that `status` prints, as of one moment."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from jobsd.acts import inspect
from jobsd.database.connection import Session, Statements
from jobsd.heartbeat.log import HeartbeatLogs

from . import failures, health, tasks
from .processes import processes
from .queues import queue_rows

Row = dict[str, Any]

STATEMENTS = Statements("jobsd.operations", "overview.sql")

COUNTED_MAX = 10_000
_ENDED = ("finished", "discarded")
_NEXT_RUNS = 5
_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Totals:
    """The number of jobs in each state, at most COUNTED_MAX + 1.

    Ended jobs are counted among the newest jobs, and among the oldest if most of the newest
    still wait; `all_seen`: there are no others.
    """

    scheduled: int
    retries: int
    ready: int
    blocked: int
    claimed: int
    failed: int
    finished: int
    discarded: int
    all_seen: bool

    def shown(self, state: str) -> str:
        """Return the number of a state as people read it.

        "at least 3": not all jobs were counted.
        """
        jobs: int = getattr(self, state)
        is_all = jobs <= COUNTED_MAX and (self.all_seen or state not in _ENDED)
        return f"{jobs:,}" if is_all else f"at least {min(jobs, COUNTED_MAX):,}"


@dataclass(frozen=True, slots=True)
class Threads:
    """The threads of all living workers, and the number of busy ones."""

    busy: int
    all: int


@dataclass(frozen=True, slots=True)
class Overview:
    """What `status` prints as JSON."""

    running: bool
    processes: list[Row]
    queues: list[Row]
    recurring: list[Row]
    failures: list[Row]
    last_heartbeat: datetime | None
    health: list[health.Finding]
    """Of all hosts, the worst finding first."""

    def document(self) -> dict[str, Any]:
        """Return the fields for programs."""
        return asdict(self)

    @property
    def alive(self) -> list[Row]:
        """The living processes."""
        return [row for row in self.processes if row["life"] == "alive"]

    @property
    def has_scheduler(self) -> bool:
        """Whether a scheduler lives; without one no task runs."""
        return any(row["kind"] == "scheduler" for row in self.alive)


def overview(
    session: Session,
    threshold_s: float,
    most: int = COUNTED_MAX + 1,
    *,
    here: bool = False,
    targets_s: Mapping[str, float] | None = None,
) -> Overview:
    """Read everything once; `running` is whether a supervisor lives, on any host.

    Of each state of a queue at most `most` jobs are counted. With `here` only the processes of
    this machine, or of this container, count; the health is that of all, by `targets_s`.
    """
    rows = processes(session, threshold_s, here=here)
    everywhere = processes(session, threshold_s) if here else rows
    queues = queue_rows(session, most)
    planned = [row for row in tasks.task_rows(session) if row["next_run"] is not None]
    planned.sort(key=lambda row: (row["next_run"], row["key"]))
    beat = HeartbeatLogs(session=session).latest()
    return Overview(
        running=any(row["kind"] == "supervisor" and row["life"] == "alive" for row in rows),
        processes=rows,
        queues=queues,
        recurring=planned[:_NEXT_RUNS],
        failures=_latest_failures(session),
        last_heartbeat=beat.executed_at if beat else None,
        health=health.judge(session, everywhere, queues, targets_s),
    )


def totals(
    session: Session, *, scheduled: int = COUNTED_MAX + 1, newest: int = COUNTED_MAX + 1
) -> Totals:
    """Count the jobs of each state, at a bounded cost.

    Retries are counted among the next `scheduled` jobs, ended jobs among the `newest`.
    """
    bounds = {"most": COUNTED_MAX + 1, "scheduled": scheduled, "newest": newest}
    (counts,) = session.fetch(STATEMENTS["totals"], bounds)
    return Totals(*counts)


def threads(session: Session, alive: list[Row]) -> Threads:
    """Count the threads of the living workers, and the threads that their claims keep busy."""
    claimed = inspect.claimed(session)
    workers = {
        row["id"]: int(row["metadata"].get("threads") or 1)
        for row in alive
        if row["kind"] == "worker"
    }
    busy = sum(min(claimed.get(row_id, 0), count) for row_id, count in workers.items())
    return Threads(busy, sum(workers.values()))


def failure_groups(session: Session) -> list[Row]:
    """Return the failed jobs by class and error, the latest failures first."""
    return failures.groups(session)


def _latest_failures(session: Session) -> list[Row]:
    return [
        {
            "id": failure.id,
            "class_name": failure.class_name,
            "queue_name": failure.queue_name,
            "failed_at": failure.failed_at,
            "error": f"{failure.error.get('type')}: {failure.error.get('message')}",
        }
        for failure in inspect.failures(session, _FAILURES)
    ]
