"""Enqueues the runs that are due, and emits the outcome of each."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import psycopg

from jobsd.errors import Error
from jobsd.instruments.events import emit
from jobsd.processes.process import WAITED_OUT
from jobsd.recurring import runs
from jobsd.recurring.runs import PlannedRun

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from jobsd.database.connection import Session
    from jobsd.recurring.runs import StoredRun

    from .timetable import DueRun


def enqueue(session: Session, due: Iterable[DueRun]) -> list[PlannedRun]:
    """Store the runs together; return those whose tasks have changed in the meantime."""
    planned = [run for each in due if (run := _planned(each))]
    if not planned:
        return []
    stored = _store(session, planned)
    _emit_outcomes(stored)
    return [each.run for each in stored if each.outcome == "changed"]


def _planned(due: DueRun) -> PlannedRun | None:
    """Return the run with the draft of its job; None, reported, when that can't be made."""
    if due.missed:
        return PlannedRun(due.task, due.run_at, None)
    try:
        return PlannedRun(due.task, due.run_at, runs.draft_of(due.task))
    except Error as error:
        _emit_failure(due.task.key, due.run_at, error)
        return None


def _store(session: Session, planned: list[PlannedRun]) -> list[StoredRun]:
    """Store all runs together; one by one when the database refuses them for one of them."""
    try:
        return runs.store(session, planned)
    except WAITED_OUT:
        raise
    except psycopg.Error as error:
        if len(planned) == 1:
            _emit_failure(planned[0].task.key, planned[0].run_at, error)
            return []
        return [stored for run in planned for stored in _store(session, [run])]


def _emit_outcomes(stored: list[StoredRun]) -> None:
    """Emit the outcome of each run; missed runs of a task together."""
    missed: defaultdict[str, list[datetime]] = defaultdict(list)
    for each in stored:
        key, run_at = each.run.task.key, each.run.run_at
        match each.outcome:
            case "enqueued":
                emit(
                    "recurring.enqueued",
                    task=key,
                    run_at=run_at.isoformat(),
                    job_id=each.job_id,
                    class_name=each.run.draft.class_name if each.run.draft else None,
                )
            case "missed":
                missed[key].append(run_at)
            case "skipped":
                emit("recurring.skipped", task=key, run_at=run_at.isoformat())
            case "discarded":
                emit("recurring.discarded", task=key, run_at=run_at.isoformat())
            case "taken":
                emit("recurring.taken", task=key, run_at=run_at.isoformat())
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


def _emit_failure(key: str, run_at: datetime, error: Exception) -> None:
    emit("recurring.failed", task=key, run_at=run_at.isoformat(), error=error)
