"""Decides whether a tree is alive, ready and healthy, from facts that the monitor already has.

If a recurring task runs the heartbeat job, the runs that it enqueued decide: they prove that
tasks are enqueued, claimed, performed and recorded. A heartbeat may be late by one more period.
A tree that has just started has the same time for its first heartbeat. While the database
can't be reached, no tree is healthy.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from jobsd.clock import monotonic_ns, utc_now
from jobsd.configuration.options import Options
from jobsd.recurring.definition import TaskDefinition
from jobsd.schedules import ScheduleError

if TYPE_CHECKING:
    from jobsd.scoreboard.scoreboard import Scoreboard

    from .heartbeats import LastHeartbeat, LastHeartbeats

HEARTBEAT_CLASS = "HeartbeatJob"
WITHIN_S = 600.0
"""The maximum age of the last heartbeat if its period is unknown."""
LOOP_AGE_S = 10.0
"""The supervisor's loop ticks every second or so."""
_RUNS = 10
"""Enough to meet the longest pause of an uneven schedule."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The promise of the configuration: processes by kind, and heartbeats if any."""

    processes: dict[str, int]
    heartbeat_within_s: float | None

    @classmethod
    def by(cls, options: Options) -> Expected:
        """Return the promise of these options."""
        processes = {
            "worker": sum(worker.processes for worker in options.workers),
            "dispatcher": len(options.dispatchers),
            "scheduler": int(options.schedules),
        }
        wanted = {kind: n for kind, n in processes.items() if n and kind in options.only}
        return cls(wanted, _heartbeat_within_s(options))


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether all is well, and the facts behind it."""

    good: bool
    facts: dict[str, Any]


def alive(scoreboard: Scoreboard) -> Answer:
    """Return whether the supervisor's loop ticks."""
    age_s = scoreboard.tick_age_s
    good = age_s < LOOP_AGE_S
    return Answer(good, {"alive": good, "supervisor_loop_age": round(age_s, 3)})


def ready(scoreboard: Scoreboard, expected: Expected) -> Answer:
    """Return whether the database answers, and all processes are up and have their tables."""
    up, answers = _up(scoreboard), scoreboard.database_answers
    tables = not any(entry.tables_awaited for entry in scoreboard.living())
    missing = {kind: n - up[kind] for kind, n in expected.processes.items() if n > up[kind]}
    runs = scoreboard.ready and not scoreboard.stopping
    good = bool(answers and tables and runs and not missing)
    facts = {"ready": good, "database": answers, "tables": tables, "processes": dict(up)}
    return Answer(good, {**facts, "missing": missing, "stopping": bool(scoreboard.stopping)})


def healthy(scoreboard: Scoreboard, expected: Expected, seen: LastHeartbeats) -> Answer:
    """Return whether jobs run: by the heartbeat if there is one, otherwise by the processes.

    An outage of the database is known from the second failed attempt.
    """
    up, answers = _up(scoreboard), scoreboard.database_answers
    within_s = expected.heartbeat_within_s
    last = seen.of_any if within_s is None else seen.of_task
    facts: dict[str, Any] = {
        "last_heartbeat": _iso(last),
        "database": answers,
        "processes": dict(up),
    }
    if within_s is None:
        good = answers and all(up[kind] for kind in expected.processes)
        return Answer(good, {"healthy": good, **facts, "judged_by": "processes"})
    age_s = last.age_s if last.executed_at is not None else None
    beats = age_s is not None and age_s <= within_s
    away = bool(scoreboard.outage_since_ns)
    good = (beats or _age_s(scoreboard) <= within_s) and not away
    facts["heartbeat_age"] = None if age_s is None else round(age_s, 3)
    facts["heartbeat_within"] = within_s
    by = "heartbeat" if beats or not good else "time since the start"
    facts["judged_by"] = "database" if away else by
    return Answer(good, {"healthy": good, **facts})


def _up(scoreboard: Scoreboard) -> Counter[str]:
    from jobsd.scoreboard.entry import UP  # noqa: PLC0415 - `health` has no scoreboard

    return Counter(entry.kind for entry in scoreboard.living() if entry.state == UP)


def _age_s(scoreboard: Scoreboard) -> float:
    return (monotonic_ns() - scoreboard.started_ns) / 1e9


def _iso(last: LastHeartbeat) -> str | None:
    if last.executed_at is None:
        return None
    return last.executed_at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _heartbeat_within_s(options: Options) -> float | None:
    """Return the maximum age of a heartbeat: two periods of its task; None without one."""
    if not options.schedules:
        return None
    periods = [_period_s(task) for task in options.tasks if task.enabled and _beats(task)]
    known = [period for period in periods if period is not None]
    if not periods:
        return None
    return 2 * min(known) if known else WITHIN_S


def _beats(task: TaskDefinition) -> bool:
    return (task.class_name or "").rpartition(".")[2] == HEARTBEAT_CLASS


def _period_s(task: TaskDefinition) -> float | None:
    """Return the longest time between two of the next runs."""
    try:
        runs = task.plan.upcoming(_RUNS, utc_now())
    except ScheduleError:
        return None
    return max((later - earlier).total_seconds() for earlier, later in pairwise(runs))
