"""Reads the gauges of all trees from the database; costs nothing without a scrape."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from jobsd.database.connection import Session, Statement, Statements
from jobsd.metrics.figures import Arrived, DatabaseFigures, TableSize, TaskRuns
from jobsd.processes import registry
from jobsd.scoreboard.thresholds import DEFAULTS
from jobsd.states import parked

from . import health, next_runs, queues
from .processes import process_rows

Rows = list[tuple[Any, ...]]

STATEMENTS = Statements("jobsd.operations", "gauges.sql")

COUNTED_MAX = 1_000_000
"""The maximum that is counted of one queue's jobs, if there are too many for one pass."""
TOGETHER_MAX = 3_000_000
"""The maximum of ready jobs that are counted in one pass. Only their number bounds the pass: it
takes the server up to half a second on one core, and less on two.
"""
_NAMES = (
    *("processes", "tasks", "server"),
    *("pauses", "tables", "oldest_transaction", "arrivals"),
)


def database_figures(
    session: Session,
    busy_jobs: Sequence[int] | None = None,
    *,
    targets_s: Mapping[str, float] | None = None,
    threshold_s: float = DEFAULTS.process_alive_threshold,
    asked: Callable[[], None] | None = None,
) -> DatabaseFigures:
    """Return the current figures: one round trip, one transaction.

    `busy_jobs` are the jobs that threads of a tree perform: the database knows their queues.
    With `targets_s` run times are read, too. A process is dead after `threshold_s` without a
    heartbeat. `asked` is called before the wait; after an error the session must be closed.
    """
    read = _read(session, busy_jobs, run_times=bool(targets_s), asked=asked)
    arrivals = {queue: Arrived(*row) for queue, *row in read["arrivals"]}
    ((last_heartbeat, postgresql),) = read["server"]
    counts, claim_ages_s = queues.by_queue(read)
    unknown_jobs, unknown_for_s = _unknown(read["unknown"])
    return DatabaseFigures(
        depths=counts,
        latencies_s=_latencies_s(read),
        claim_ages_s=claim_ages_s,
        unknown_jobs=unknown_jobs,
        unknown_for_s=unknown_for_s,
        processes=_by_kind(read["processes"]),
        heartbeat_ages_s=_heartbeat_ages_s(read["processes"]),
        tasks={key: _runs(key, *row) for key, *row in read["tasks"]},
        last_heartbeat=last_heartbeat,
        postgresql=postgresql,
        paused=_paused(read),
        dispatch_lag_s=read["dispatch"][0][0] or 0.0,
        tables={name: TableSize(*sizes) for name, *sizes in read["tables"]},
        oldest_transaction_s=read["oldest_transaction"][0][0],
        arrivals=arrivals,
        enqueued={queue: row.enqueued for queue, row in arrivals.items() if row.enqueued},
        run_times_s=dict(read.get("run_times", ())),
        busy_threads=None if busy_jobs is None else dict(read["busy"]),
        findings=_findings(read, counts, threshold_s, targets_s or {}),
    )


def _read(
    session: Session,
    busy_jobs: Sequence[int] | None,
    *,
    run_times: bool,
    asked: Callable[[], None] | None,
) -> dict[str, Rows]:
    names = [*_NAMES, "run_times"] if run_times else _NAMES
    statements: dict[str, tuple[Statement, dict[str, object]]] = {
        **queues.asked(COUNTED_MAX, together_max=TOGETHER_MAX),
        **{name: (STATEMENTS[name], {}) for name in names},
        "unknown": (parked.STATEMENTS["unknown"], {}),
        "every_process": (registry.STATEMENTS["all"], {}),
        **health.asked(),
    }
    if busy_jobs is not None:
        statements = {
            "snapshot": (STATEMENTS["snapshot"], {}),
            **statements,
            "busy": (STATEMENTS["busy"], {"ids": list(busy_jobs)}),
            "end": (STATEMENTS["end"], {}),
        }
    rows = session.fetch_together(list(statements.values()), asked)
    return dict(zip(statements, rows, strict=True))


def _findings(
    read: Mapping[str, Rows],
    counts: queues.Depths,
    threshold_s: float,
    targets_s: Mapping[str, float],
) -> dict[tuple[str, str], bool]:
    """Return for each finding that there may be whether it is there."""
    registered = (registry.ProcessRow(*row) for row in read["every_process"])
    processes = process_rows(registered, threshold_s)
    seen = health.evidence(read, processes, _queue_rows(read, counts), targets_s)
    found = {each.name for each in health.findings(seen)}
    return {(name, severity): name in found for name, severity in health.SEVERITIES.items()}


def _queue_rows(read: Mapping[str, Rows], counts: queues.Depths) -> list[health.Row]:
    """Return the figures of each queue from which the health is judged."""
    latencies_s, paused = _latencies_s(read), _paused(read)
    return [
        {
            "name": name,
            "ready": counts.get(name, {}).get("ready", 0),
            "oldest_age": timedelta(seconds=latencies_s.get(name, 0.0)),
            "paused": name in paused,
        }
        for name in sorted({*counts, *paused})
    ]


def _latencies_s(read: Mapping[str, Rows]) -> dict[str, float]:
    return {queue: age_s for queue, _, age_s in read["ready"]}


def _paused(read: Mapping[str, Rows]) -> frozenset[str]:
    return frozenset(queue for (queue,) in read["pauses"])


def _runs(  # noqa: PLR0913, PLR0917 - a row
    key: str,
    enqueued: int,
    missed: int,
    last_at: float | None,
    failed: int,
    schedule: str | None,
    time_zone: str,
    disabled: bool,  # noqa: FBT001
) -> TaskRuns:
    next_at = None if schedule is None else next_runs.next_run(key, schedule, time_zone)
    return TaskRuns(enqueued, missed, last_at, failed, next_at, disabled)


def _unknown(rows: Rows) -> tuple[dict[str, int], dict[str, float]]:
    """Return the number of waiting jobs of unknown classes in each queue, and their age."""
    unknown_jobs: Counter[str] = Counter()
    unknown_for_s: dict[str, float] = {}
    for queue, _, jobs, _, age_s in rows:
        unknown_jobs[queue] += jobs
        unknown_for_s[queue] = max(age_s, unknown_for_s.get(queue, 0.0))
    return unknown_jobs, unknown_for_s


def _heartbeat_ages_s(processes: Rows) -> dict[tuple[str, str], float]:
    return {(kind, series): age_s for kind, series, _, age_s in processes if series is not None}


def _by_kind(processes: Rows) -> dict[str, int]:
    kinds = Counter[str]()
    for kind, _, count, _ in processes:
        kinds[kind] += count
    return dict(kinds)
