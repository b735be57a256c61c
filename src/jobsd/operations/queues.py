"""The queues as rows: how many jobs each has in which state, how old, whether paused."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from jobsd.database.connection import Session
from jobsd.jobs import queues, ready

from .depths import depths

Row = dict[str, Any]


COUNTED_MAX = 100_000
"""Jobs of one state of a queue that are counted; a million would take longer than all else."""


def queue_rows(session: Session, most: int = COUNTED_MAX) -> list[Row]:
    """Return the queues that have jobs which have not ended, or are paused, by name.

    Of each state of a queue at most `most` jobs are counted.
    """
    counts, ages_s = depths(session, most)
    pauses = {pause.queue_name: pause for pause in queues.paused(session=session)}
    names = sorted({*counts, *pauses})
    return [
        {
            "name": name,
            "ready": counts.get(name, {}).get("ready", 0),
            "oldest_age": _age(ages_s.get(name)),
            "paused": name in pauses,
            "reason": pauses[name].reason if name in pauses else None,
            "paused_by": pauses[name].created_by if name in pauses else None,
            "jobs": dict(counts.get(name, {})),
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


def takers(rows: Sequence[Row], processes: Sequence[Row]) -> dict[str, int]:
    """Return how many living workers that are not quiet take jobs of each queue."""
    selections = [
        ready.Selection(tuple(str(process["metadata"].get("queues", "*")).split(",")))
        for process in processes
        if process["kind"] == "worker"
        and process["life"] == "alive"
        and not process["metadata"].get("quiet")
    ]
    return {row["name"]: sum(each.matches(row["name"]) for each in selections) for row in rows}


def _age(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=max(0.0, seconds))
