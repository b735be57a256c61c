"""Enqueues the runs that are due, and emits the outcome of each, once.

Runs are stored by one statement, so a scheduler that is stopped holds up no other. When the
answer to that statement is lost, only the table shows whether this scheduler has stored the
runs, or another. So each attempt has a number, which is stored with its runs: by this number
they are looked up later.
"""

import secrets
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import psycopg

from jobsd import clock, errors
from jobsd.database.connection import Session
from jobsd.database.portions import cut
from jobsd.events.events import emit
from jobsd.processes.process import WAITED_OUT
from jobsd.recurring import runs
from jobsd.recurring.runs import PlannedRun, StoredRun
from jobsd.text import byte_size

from .timetable import DueRun

ATTEMPT_BITS = 62
LIVES_ON_S = 60.0
"""After this time the server has given up a statement whose connection is gone."""
EMITTED_MAX = 10_000
"""How many instants are remembered: after an outage, runs at the start are stored again."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """An attempt to store runs, with its answer lost at `lost_at`."""

    number: int
    runs: list[PlannedRun]
    lost_at: float


class RunEnqueuer:
    """Enqueues due runs in one session, and knows for which attempts the answer was lost."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._unanswered: list[_Attempt] = []
        self._emitted: set[tuple[str, datetime]] = set()
        """Runs that we have stored and emitted in an outage. If one is "taken", we have taken
        it."""

    def enqueue(self, due: Iterable[DueRun]) -> list[PlannedRun]:
        """Store the runs in as few statements as possible.

        Returns the runs whose tasks have changed meanwhile.
        """
        self.emit_unheard()
        planned = [run for each in due if (run := _planned(each))]
        stored = self._store_groups([[*group] for group in cut(planned, _size)])
        return [each.run for each in stored if each.outcome == "changed"]

    def emit_unheard(self) -> None:
        """Emit the runs of attempts that were stored although their answers were lost."""
        for attempt in list(self._unanswered):
            stored = runs.stored_by(self._session, attempt.number, attempt.runs)
            if stored or clock.monotonic() > attempt.lost_at + LIVES_ON_S:
                self._unanswered.remove(attempt)
            _emit_outcomes(stored)
            self._remember_emitted(stored)

    def _store(self, planned: list[PlannedRun]) -> list[StoredRun]:
        """Store all runs together, or one by one if one run makes the database refuse all."""
        number = secrets.randbits(ATTEMPT_BITS)
        try:
            stored = runs.store(self._session, planned, attempt=number)
        except WAITED_OUT:
            self._unanswered.append(_Attempt(number, planned, clock.monotonic()))
            raise
        except psycopg.Error as error:
            if len(planned) == 1:
                _emit_failure(planned[0].task.key, planned[0].run_at, error)
                return []
            return self._store_groups([[run] for run in planned])
        self._emit(stored)
        return stored

    def _store_groups(self, groups: list[list[PlannedRun]]) -> list[StoredRun]:
        stored: list[StoredRun] = []
        try:
            for group in groups:
                stored += self._store(group)
        except WAITED_OUT:
            self._remember_emitted(stored)
            raise
        return stored

    def _emit(self, stored: list[StoredRun]) -> None:
        """Emit the outcomes; an unanswered attempt of ours may have taken a run."""
        _emit_outcomes([each for each in stored if each.outcome != "taken"])
        if taken := [each for each in stored if each.outcome == "taken"]:
            self.emit_unheard()
            _emit_outcomes([each for each in taken if _instant(each.run) not in self._emitted])

    def _remember_emitted(self, stored: list[StoredRun]) -> None:
        if len(self._emitted) > EMITTED_MAX:
            self._emitted.clear()
        self._emitted |= {_instant(each.run) for each in stored if each.outcome != "changed"}


def _planned(due: DueRun) -> PlannedRun | None:
    """Return the run with the draft of its job, or report why there is none and return None."""
    if due.missed:
        return PlannedRun(due.task, due.run_at, None)
    try:
        return PlannedRun(due.task, due.run_at, runs.draft_of(due.task))
    except errors.Error as error:
        _emit_failure(due.task.key, due.run_at, error)
        return None


def _size(run: PlannedRun) -> int:
    return 0 if run.draft is None else byte_size(run.draft.arguments)


def _instant(run: PlannedRun) -> tuple[str, datetime]:
    return run.task.key, run.run_at


def _emit_outcomes(stored: list[StoredRun]) -> None:
    """Emit an event for each run, but only one for all missed runs of a task."""
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
