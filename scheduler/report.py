"""What a scheduler tells of the runs that it has stored, or could not store."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from jobsd.instruments.events import emit

if TYPE_CHECKING:
    from datetime import datetime

    from jobsd.recurring.occurrences import Fate


def tell(fates: list[Fate]) -> None:
    """Tell what has become of each run; missed ones of a task together."""
    missed: defaultdict[str, list[datetime]] = defaultdict(list)
    for fate in fates:
        run = fate.run
        match fate.what:
            case "enqueued":
                emit(
                    "recurring.enqueued",
                    task=run.task.key,
                    run_at=run.run_at.isoformat(),
                    job_id=fate.job_id,
                    class_name=run.draft.class_name if run.draft else None,
                )
            case "missed":
                missed[run.task.key].append(run.run_at)
            case "skipped":
                emit("recurring.overlapped", task=run.task.key, run_at=run.run_at.isoformat())
            case "discarded":
                emit("recurring.discarded", task=run.task.key, run_at=run.run_at.isoformat())
            case "taken":
                emit("recurring.skipped", task=run.task.key, run_at=run.run_at.isoformat())
            case _:
                pass
    for key, instants in missed.items():
        emit(
            "recurring.missed",
            task=key,
            runs=len(instants),
            first=instants[0].isoformat(),
            last=instants[-1].isoformat(),
        )


def tell_failure(key: str, run_at: datetime, error: Exception) -> None:
    """Tell that a run could not be enqueued."""
    emit("recurring.failed", task=key, run_at=run_at.isoformat(), error=error)
