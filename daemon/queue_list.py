"""The queues as rows: how many jobs each has in which state, how old, whether paused."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jobsd.jobs import queues
from jobsd.supervisor.monitor.gauges import database_figures

from .table import Column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobsd.database.connection import Session

    Row = dict[str, Any]


def _is_paused(value: object) -> str:
    return "yellow" if value else ""


COLUMNS = (
    Column("name", "QUEUE"),
    Column("ready", rank=1, right=True),
    Column("oldest_age", "OLDEST", rank=2, right=True),
    Column("paused", rank=3, style=_is_paused),
    Column("claimed", rank=4, right=True, on="terminal"),
    Column("failed", rank=5, right=True, on="terminal"),
    Column("scheduled", rank=6, right=True, on="terminal"),
    Column("blocked", rank=7, right=True, on="terminal"),
    Column("reason", rank=8, cuts=True, on="terminal"),
)
EMPTY = "no queue has jobs that have not ended, and none is paused"


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


def for_people(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return the rows with the number of jobs of each state in columns of their own."""
    return [{**row["jobs"], **row, "jobs": None} for row in rows]


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
