"""The queues as rows: how many jobs each has in which state, how old, whether paused."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jobsd.jobs import queues

from .gauges import database_figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobsd.database.connection import Session

    Row = dict[str, Any]


def queue_rows(session: Session) -> list[Row]:
    """Return the queues that have jobs which have not ended, or are paused, by name."""
    figures = database_figures(session)
    pauses = {pause.queue_name: pause for pause in queues.paused(session=session)}
    names = sorted({*figures.depths, *pauses})
    return [
        {
            "name": name,
            "ready": figures.depths.get(name, {}).get("ready", 0),
            "oldest_age": _age(figures.latencies_s.get(name)),
            "paused": name in pauses,
            "reason": pauses[name].reason if name in pauses else None,
            "paused_by": pauses[name].created_by if name in pauses else None,
            "jobs": dict(figures.depths.get(name, {})),
        }
        for name in names
    ]


def by_urgency(rows: Sequence[Row]) -> list[Row]:
    """Return the queues that somebody should see first: the longest, then the oldest."""
    return sorted(
        rows,
        key=lambda row: (
            -row["ready"],
            -(row["oldest_age"] or timedelta()),
            -sum(row["jobs"].values()),
            row["name"],
        ),
    )


def _age(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=max(0.0, seconds))
