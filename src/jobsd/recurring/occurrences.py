"""The `recurring_executions` table: each planned run once, and what became of it.

A run is stored and its job enqueued by one statement, whoever comes first: the table's
key, task and planned instant, is what makes it once for any number of schedulers, killed
wherever they may be. The table outlives the jobs, so clearing those never runs one again.
Where a limit holds a job, two more statements of the same transaction find it a slot.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING, Any

from jobsd.database.statements import Statements
from jobsd.errors import RefusedError
from jobsd.jobs import limits, registry
from jobsd.jobs.draft import Options, draft
from jobsd.jobs.enqueue import EnqueuedJob

from .command_job import RecurringCommandJob
from .making import is_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from jobsd.database.connection import Session
    from jobsd.jobs.draft import Draft

    from .tasks import RecurringTask

STATEMENTS = Statements("jobsd.recurring", "occurrences.sql")

_REFUSALS = {
    "skipped": "its previous run has not ended",
    "changed": "it was changed meanwhile",
    "taken": "it was enqueued at this very instant",
}


@dataclass(frozen=True, slots=True)
class Run:
    """One planned run; without a draft it is only told, as "missed"."""

    task: RecurringTask
    run_at: datetime
    draft: Draft | None


@dataclass(frozen=True, slots=True)
class Fate:
    """What has become of a run.

    "enqueued", "missed", "skipped" (the previous run lives and may not be overlapped) or
    "discarded" (by its limit): it is stored now. "taken": somebody else has stored it.
    "changed": nothing was stored, since the task is no longer the one that the run was
    planned from. `state` is where an enqueued job is: "ready" or "blocked".
    """

    run: Run
    what: str
    job_id: int | None = None
    state: str = "ready"


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One row of a task's history.

    `outcome` is "missed", "skipped" or "discarded", else the state of its job: "ready",
    "claimed", "finished", "failed", …, and "cleared" once that job's row is gone.
    """

    run_at: datetime
    enqueued_at: datetime
    job_id: int | None
    outcome: str
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def late_s(self) -> float:
        """Seconds from the planned instant until it was stored."""
        return (self.enqueued_at - self.run_at).total_seconds()


def draft_of(task: RecurringTask) -> Draft:
    """Return the job that a task's run is.

    Raises:
        UnknownJobError: when this process does not know the job.
        LimitError: when the key of its limit can't be had.
    """
    if task.class_name is None:
        # The job carries the key alone. What is to be called is looked up where only an
        # operator writes, never read from a payload.
        drafted = draft(RecurringCommandJob.definition, [task.key], {})
    elif (definition := registry.get(task.class_name)).limit is not None:
        drafted = draft(definition, *task.arguments)
    else:
        drafted = replace(draft(definition, [], {}), arguments=task.arguments_json)
    return Options(queue=task.queue_name, priority=task.priority).apply(drafted)


def store(session: Session, runs: Sequence[Run], *, even_disabled: bool = False) -> list[Fate]:
    """Store planned runs and enqueue their jobs: one transaction, however many they are.

    Of a task whose runs may not overlap, only one run may be among them.
    """
    by_instant = {(run.task.key, run.run_at.astimezone(UTC)): run for run in runs}
    # The statement may write no row twice.
    rows, places = _stored(session, [*by_instant.values()], even_disabled=even_disabled)
    allowed: set[tuple[str, datetime]] = set()
    stored: dict[tuple[str, datetime], Fate] = {}
    for key, run_at, is_stored, job_id, outcome, *_ in rows:
        at = (key, run_at.astimezone(UTC))
        allowed.add(at)
        if places.get(at) == "discarded":
            stored[at] = Fate(by_instant[at], "discarded")
        elif is_stored:
            state = places.get(at, "ready")
            stored[at] = Fate(by_instant[at], outcome or "enqueued", job_id, state)
    return [
        stored.get(at) or Fate(run, "taken" if at in allowed else "changed")
        for at, run in by_instant.items()
    ]


def _stored(
    session: Session, runs: Sequence[Run], *, even_disabled: bool
) -> tuple[list[tuple[Any, ...]], dict[tuple[str, datetime], str]]:
    """Store the runs; return the rows of the statement, and which are blocked or discarded."""
    written = json.dumps([_record(run) for run in runs])
    store = (STATEMENTS["store"], {"runs": written, "even_disabled": even_disabled})
    alone = [run.task.key for run in runs if run.task.overlap == "skip"]
    hold = [(STATEMENTS["hold"], {"keys": alone})] if alone else []
    limited = [run for run in runs if run.draft and run.draft.limited]
    if not limited:
        return session.fetch_together([*hold, store])[-1], {}
    keys = sorted({run.draft.limited.key for run in limited if run.draft and run.draft.limited})
    at = json.dumps([_instant(run) for run in limited])
    *_, rows, promoted, settled = session.fetch_together(
        [
            *hold,
            store,
            (limits.STATEMENTS["promote"], {"keys": keys, "keep": None}),
            (STATEMENTS["settle"], {"runs": at}),
        ]
    )
    promotion = limits.promotion(promoted)
    promotion.tell()
    if promotion.missed:
        # Somebody holds the lock of a key: a dispatcher looks again, when it is free.
        session.fetch(limits.STATEMENTS["ask"])
    return rows, {(key, run_at.astimezone(UTC)): place for key, run_at, place in settled}


def run_now(session: Session, task: RecurringTask) -> EnqueuedJob:
    """Enqueue a task's job now, beside its schedule; also when it is turned off.

    Where its limit is reached the job is "blocked", or "discarded", without an id.

    Raises:
        UnknownJobError: when this process does not know the job.
        LimitError: when the key of its limit can't be had.
        RefusedError: when the previous run lives and may not be overlapped, or when the
            task was changed meanwhile.
    """
    now: datetime = session.fetch(STATEMENTS["now"])[0][0]
    fate = store(session, [Run(task, now, draft_of(task))], even_disabled=True)[0]
    if fate.what == "discarded":
        return EnqueuedJob(None, "discarded")
    if fate.job_id is None:
        why = _REFUSALS.get(fate.what, fate.what)
        raise RefusedError(f"{task.key!r} was not enqueued: {why}")
    return EnqueuedJob(fate.job_id, fate.state)


def history(session: Session, key: str, limit: int = 20) -> list[Occurrence]:
    """Return the latest planned runs of a task, newest first."""
    keys = [key] if is_key(key) else []
    rows = session.fetch(STATEMENTS["history"], {"keys": keys, "limit": limit})
    return [Occurrence(*row[1:]) for row in rows]


def latest(session: Session, keys: Sequence[str]) -> dict[str, Occurrence]:
    """Return the latest planned run of each of these tasks that has one."""
    rows = session.fetch(STATEMENTS["history"], {"keys": list(keys), "limit": 1})
    return {row[0]: Occurrence(*row[1:]) for row in rows}


def clear(session: Session, keep_s: float, limit: int) -> int:
    """Remove at most `limit` rows older than `keep_s` and return how many went.

    The last day always stays: it is what makes its runs unique.
    """
    return len(session.fetch(STATEMENTS["clear"], {"keep_s": keep_s, "limit": limit}))


def _instant(run: Run) -> dict[str, Any]:
    return {"key": run.task.key, "run_at": run.run_at.isoformat()}


def _record(run: Run) -> dict[str, Any]:
    record = {**_instant(run), "version": run.task.updated_at.isoformat()}
    if run.draft is None:
        return {**record, "outcome": "missed"}
    job, limited = run.draft, run.draft.limited
    record |= job.columns()
    if limited is None:
        return record
    return {
        **record,
        "concurrency_key": limited.key,
        "concurrency_limit": limited.to,
        "concurrency_duration_s": limited.duration and limited.duration.total_seconds(),
        "on_conflict": limited.on_conflict,
    }
