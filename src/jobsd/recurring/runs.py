"""The `recurring_executions` table: each recurring run once, and its outcome.

One statement stores a run and enqueues its job. The table's key is the task and the planned
instant, so the first scheduler to store a run enqueues it, however many there are and
wherever they are killed. The table outlives the jobs: clearing jobs never repeats a run.
Where a limit may discard a job, or one of its unique key, a second statement of the same
transaction records that.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from jobsd import errors, text
from jobsd.clock import moment_of
from jobsd.database.connection import Session, Statements
from jobsd.enqueueing import submission
from jobsd.jobs import registry
from jobsd.jobs.draft import Draft, EnqueuedJob, draft, with_options
from jobsd.jobs.job_options import UsingOptions
from jobsd.jobs.job_schedule import is_key

from .command_job import COMMAND_JOB
from .definition import StoredTask

STATEMENTS = Statements("jobsd.recurring", "runs.sql")

_REFUSALS = {
    "skipped": "its previous run has not ended",
    "changed": "it was changed meanwhile",
    "taken": "another run of it has this very instant",
}


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A task's run at a planned instant; without a draft it is recorded as "missed"."""

    task: StoredTask
    run_at: datetime
    draft: Draft | None


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A planned run after the attempt to store it.

    With the `outcome` "enqueued", "missed", "skipped" (the previous run has not ended and may
    not be overlapped) or "discarded" (by its limit, or a job of its unique key) the run is
    stored now. With "taken" another process has stored the run. With "changed" the run was not
    stored, since its task has changed since the run was planned.
    """

    run: PlannedRun
    outcome: str
    job_id: int | None = None


@dataclass(frozen=True, slots=True)
class RecurringRun:
    """One row of a task's history: a recurring run and its outcome.

    `outcome` is "missed", "skipped" or "discarded", otherwise the state of its job: "ready",
    "claimed", "finished", "failed", …, and "cleared" once that job's row is gone.
    """

    run_at: datetime
    enqueued_at: datetime
    job_id: int | None
    outcome: str
    started_at: datetime | None
    finished_at: datetime | None

    def __repr__(self) -> str:
        return text.facts_of(self, run_at=self.run_at, job_id=self.job_id, outcome=self.outcome)

    @property
    def late_s(self) -> float:
        """Seconds from the planned instant until the run was stored."""
        return (self.enqueued_at - self.run_at).total_seconds()


def draft_of(task: StoredTask) -> Draft:
    """Return the draft of the job that each run of a task enqueues.

    Raises:
        UnknownJobError: if this process does not know the job.
        LimitError: if the key of its limit can't be computed.
    """
    if task.class_name is None:
        # The job carries the key alone. The command is looked up in a table that only an
        # operator writes, never read from a payload.
        drafted = draft(registry.get(COMMAND_JOB), [task.key], {})
    elif (definition := registry.get(task.class_name)).limit or definition.unique:
        drafted = draft(definition, *task.arguments)
    else:
        drafted = replace(draft(definition, [], {}), arguments=task.arguments_json)
    options: UsingOptions = {"queue": task.queue_name, "priority": task.priority}
    return with_options(drafted, {**options, "tags": task.tags})


def store(
    session: Session,
    runs: Sequence[PlannedRun],
    *,
    even_disabled: bool = False,
    attempt: int | None = None,
) -> list[StoredRun]:
    """Store planned runs and enqueue their jobs: one transaction, however many they are.

    The runs may include only one run of a task whose runs may not overlap. If the answer is
    lost, `stored_by` finds the stored runs by the number of the `attempt`, which is unique.
    """
    by_instant = {_at(run): run for run in runs}
    facts = {"even_disabled": even_disabled, "attempt": attempt}
    # The statement must not write a row twice.
    rows, discarded = _store(session, [*by_instant.values()], facts)
    allowed: set[tuple[str, datetime]] = set()
    stored: dict[tuple[str, datetime], StoredRun] = {}
    for key, run_at, is_stored, job_id, outcome, *_ in rows:
        at = (key, run_at.astimezone(UTC))
        allowed.add(at)
        if at in discarded:
            stored[at] = StoredRun(by_instant[at], "discarded")
        elif is_stored:
            stored[at] = StoredRun(by_instant[at], outcome or "enqueued", job_id)
    return [
        stored.get(at) or StoredRun(run, "taken" if at in allowed else "changed")
        for at, run in by_instant.items()
    ]


def stored_by(session: Session, attempt: int, runs: Sequence[PlannedRun]) -> list[StoredRun]:
    """Return the runs that the attempt has stored, with their outcomes."""
    by_instant = {_at(run): run for run in runs}
    instants = json.dumps([_instant(run) for run in runs])
    rows = session.fetch(STATEMENTS["stored_by"], {"attempt": attempt, "runs": instants})
    return [
        StoredRun(by_instant[key, run_at.astimezone(UTC)], outcome or "enqueued", job_id)
        for key, run_at, job_id, outcome in rows
    ]


def _store(
    session: Session, runs: Sequence[PlannedRun], facts: dict[str, Any]
) -> tuple[list[tuple[Any, ...]], set[tuple[str, datetime]]]:
    """Store the runs; return the rows of the statement, and the discarded runs."""
    records = json.dumps([_record(run) for run in runs])
    store = (STATEMENTS["store"], {"runs": records, **facts})
    alone = [run.task.key for run in runs if run.task.overlap == "skip"]
    lock = [(STATEMENTS["lock_tasks"], {"keys": alone})] if alone else []
    picky = [run for run in runs if run.draft and run.draft.is_undecided]
    if not picky:
        return session.fetch_together([*lock, store])[-1], set()
    instants = json.dumps([_instant(run) for run in picky])
    record = (STATEMENTS["record_discards"], {"runs": instants})
    # One pipeline: both share a transaction, and a round trip.
    *_, rows, discarded = session.fetch_together([*lock, store, record])
    return rows, {(key, run_at.astimezone(UTC)) for key, run_at in discarded}


def run_now(session: Session, task: StoredTask) -> EnqueuedJob:
    """Enqueue a task's job now, in addition to its schedule; also if it is disabled.

    If its limit is reached and it may not wait, the job is "discarded", without an id.

    Raises:
        UnknownJobError: if this process does not know the job.
        LimitError: if the key of its limit can't be computed.
        RefusedError: if the previous run lives and may not be overlapped, or if the
            task was changed meanwhile.
    """
    now: datetime = session.fetch(STATEMENTS["now"])[0][0]
    (stored,) = store(session, [PlannedRun(task, now, draft_of(task))], even_disabled=True)
    if stored.outcome == "discarded":
        return EnqueuedJob(None, "discarded")
    if stored.job_id is None:
        why = _REFUSALS.get(stored.outcome, stored.outcome)
        raise errors.RefusedError(f"{task.key!r} was not enqueued: {why}")
    # The job may have ended, and be deleted, by now.
    created = session.fetch(STATEMENTS["created"], {"job_id": stored.job_id})
    created_at = moment_of(created[0][0]) if created else None
    return EnqueuedJob(stored.job_id, "ready", created_at=created_at)


def history(session: Session, key: str, limit: int = 20) -> list[RecurringRun]:
    """Return the latest planned runs of a task, newest first."""
    keys = [key] if is_key(key) else []
    rows = session.fetch(STATEMENTS["history"], {"keys": keys, "limit": limit})
    return [RecurringRun(*row[1:]) for row in rows]


def latest(session: Session, keys: Sequence[str]) -> dict[str, RecurringRun]:
    """Return the latest planned run of each of these tasks that has one."""
    rows = session.fetch(STATEMENTS["history"], {"keys": list(keys), "limit": 1})
    return {row[0]: RecurringRun(*row[1:]) for row in rows}


def clear(session: Session, keep_s: float, limit: int) -> int:
    """Remove at most `limit` rows older than `keep_s`; return the number of removed rows.

    The last day always stays, since it makes its runs unique.
    """
    return len(session.fetch(STATEMENTS["clear"], {"keep_s": keep_s, "limit": limit}))


def _at(run: PlannedRun) -> tuple[str, datetime]:
    return run.task.key, run.run_at.astimezone(UTC)


def _instant(run: PlannedRun) -> dict[str, Any]:
    return {"key": run.task.key, "run_at": run.run_at.isoformat()}


def _named(run: PlannedRun) -> dict[str, str]:
    """Return the facts for the job of a run (`job.context["recurring_task"]`)."""
    task = run.task
    instant = {"key": task.key, "run_at": run.run_at.isoformat()}
    return {**instant, "schedule": task.phrase, "time_zone": task.time_zone}


def _record(run: PlannedRun) -> dict[str, Any]:
    record = {**_instant(run), "version": run.task.updated_at.isoformat()}
    if run.draft is None:
        return {**record, "outcome": "missed"}
    context = json.dumps({"recurring_task": _named(run)})
    job = submission.fields(replace(run.draft, context=context))
    # Workers are woken only if one sleeps: this commits at once.
    return {**record, "job": {**job, "always": False}}
