"""Reads the gauges of all trees from the database; costs nothing without a scrape."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from jobsd.database.statements import Statements
from jobsd.instruments.figures import DatabaseFigures, TableSize
from jobsd.jobs import lanes, lost

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.database.connection import Session

STATEMENTS = Statements("jobsd.operations", "gauges.sql")

_NAMES = (
    *("ready", "elsewhere", "processes", "tasks", "server"),
    *("pauses", "dispatch", "tables", "oldest_transaction"),
)
_LOST = lost.STATEMENTS["known"]
_UNKNOWN = lanes.STATEMENTS["unknown"]


def database_figures(session: Session) -> DatabaseFigures:
    """Return the figures as they are now: one round trip, one transaction."""
    asked = [*(STATEMENTS[name] for name in _NAMES), _LOST, _UNKNOWN]
    *answers, unknown = session.fetch_together([(statement, {}) for statement in asked])
    ready, elsewhere, processes, tasks, ((last_heartbeat, postgresql),), *rest = answers
    paused, ((dispatch_lag_s,),), tables, ((oldest_transaction_s,),), (known,) = rest
    unknown_jobs: Counter[str] = Counter()
    unknown_for_s: dict[str, float] = {}
    for queue, _, jobs, _, age_s in unknown:
        unknown_jobs[queue] += jobs
        unknown_for_s[queue] = max(age_s, unknown_for_s.get(queue, 0.0))
    depths: defaultdict[str, dict[str, int]] = defaultdict(dict)
    claim_ages_s: dict[str, float] = {}
    for queue, state, count, age_s in elsewhere:
        depths[queue][state] = count
        if age_s is not None:
            claim_ages_s[queue] = age_s
    for queue, count, _ in ready:
        depths[queue]["ready"] = count
    return DatabaseFigures(
        depths=depths,
        latencies_s={queue: age_s for queue, _, age_s in ready},
        claim_ages_s=claim_ages_s,
        unknown_jobs=unknown_jobs,
        unknown_for_s=unknown_for_s,
        processes=_by_kind((kind, count) for kind, _, count, _ in processes),
        heartbeat_ages_s={
            (kind, series): age_s for kind, series, _, age_s in processes if series is not None
        },
        tasks={key: (count, last) for key, count, last in tasks},
        last_heartbeat=last_heartbeat,
        postgresql=postgresql,
        paused=frozenset(queue for (queue,) in paused),
        dispatch_lag_s=dispatch_lag_s or 0.0,
        tables={name: TableSize(*sizes) for name, *sizes in tables},
        oldest_transaction_s=oldest_transaction_s,
        lost_jobs=known[0],
        lost_walk_age_s=known[1],
    )


def _by_kind(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    kinds = Counter[str]()
    for kind, count in counts:
        kinds[kind] += count
    return dict(kinds)
