"""Storing one job, in one statement: a plain one by `at_once`, any other by `store`.

Through a connection of ours a job is committed at once. Through the caller's it is part
of the caller's transaction: committed with it, or leaving nothing.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors

from jobsd.clock import moment_of
from jobsd.database import other_build
from jobsd.database.connection import Session, Statement, Statements
from jobsd.database.grants import REMEDY
from jobsd.errors import DuplicateError, EnqueueError, Error
from jobsd.events.events import emit
from jobsd.jobs.draft import Draft, EnqueuedJob
from jobsd.jobs.unique import Uniqueness

from . import submission
from .drivers import Driver, commits_itself, is_lost, said_by, sqlstate
from .steps import Ask, Steps, take
from .submission import as_json

STATEMENTS = Statements("jobsd.enqueueing", "enqueue.sql")


def enqueue_within(driver: Driver, job: Draft) -> EnqueuedJob:
    """Store one job in the caller's transaction: one statement.

    Raises:
        EnqueueError: when the database refuses; the cause is the driver's error.
    """
    with refused(doubtful=commits_itself(driver)):
        return take(steps_within(job, driver.schema), driver)


def steps_within(job: Draft, schema: str) -> Steps[EnqueuedJob]:
    """Store one job in a caller's transaction; a role that may only enqueue submits it."""
    submits = yield from submission.is_needed(schema)
    asked = (submission.request if submits else request)(job, always=True)
    try:
        (row,) = yield Ask(*asked)
    except Exception as error:
        submission.forget(schema, error)
        raise
    return reported(job, row)


def enqueue_alone(session: Session, job: Draft) -> EnqueuedJob:
    """Store one job through a connection of ours: committed when this returns.

    Raises:
        EnqueueError: when the database refuses; the cause is the driver's error.
    """
    try:
        return _store_alone(session, job)
    except EnqueueError as error:
        if not met_a_replacement(error.__cause__):
            raise
        return _store_alone(session, job)


def met_a_replacement(error: BaseException | None) -> bool:
    """Return whether a function was replaced while a statement called it: nothing is stored.

    Our migrations never replace a function in use, but an operator may. The server calls it an
    internal error, or an unknown function. A second call finds the new one.
    """
    return isinstance(error, errors.InternalError_ | errors.UndefinedFunction)


def _store_alone(session: Session, job: Draft) -> EnqueuedJob:
    schema = session.target.schema
    refused_by_tables: EnqueueError | None = None
    if not submission.is_known(schema):
        try:
            return _enqueue_alone(session, job)
        except EnqueueError as error:
            if not submission.is_refusal(error.__cause__):
                raise
            refused_by_tables = error
    try:
        (row,) = session.fetch_prepared(*submission.request(job, always=False))
    except (psycopg.Error, UnicodeEncodeError) as error:
        raise refused_by_tables or refusal(error, doubtful=True) from error
    submission.know(schema)
    return reported(job, row)


def _enqueue_alone(session: Session, job: Draft) -> EnqueuedJob:
    try:
        (row,) = session.fetch_prepared(*request(job, always=False))
    except (psycopg.Error, UnicodeEncodeError) as error:
        raise refusal(error, doubtful=True) from error
    return reported(job, row)


def request(job: Draft, *, always: bool) -> tuple[Statement, dict[str, Any]]:
    """Return the statement that stores a job, and its parameters.

    `always` wakes workers also when none seems to sleep: in a transaction that is not ours.
    """
    if job.is_plain:
        return STATEMENTS["at_once"], job.columns() | {"always": always}
    return STATEMENTS["store"], {"jobs": f"[{as_json(job, always=always)}]"}


def reported(job: Draft, row: Sequence[Any]) -> EnqueuedJob:
    """Return the answer of a statement of `request`, and emit it.

    The last column is when the job was created, in microseconds since 1970.
    """
    job_id = row[0]
    created_at = None if job_id is None or row[-1] is None else moment_of(row[-1])
    state = row[1] if isinstance(row[1], str) else "scheduled" if row[1] else "ready"
    enqueued = EnqueuedJob(job_id, state, job.class_name, created_at)
    if job.unique is not None and state == "duplicate":
        report_duplicate(job, job.unique, job_id or 0)
    elif job.unique is not None and row[2]:
        facts = {"job_id": job_id, "class_name": job.class_name, "queue_name": job.queue_name}
        emit("job.replaced", **facts, state=state)
    else:
        _report(job, enqueued)
    return enqueued


def report_duplicate(job: Draft, unique: Uniqueness, present: int) -> None:
    """Emit that a job was not stored because of an existing one.

    Raises:
        DuplicateError: if the job has `on_conflict="raise"`.
    """
    if unique.unique_conflict == "raise":
        raise DuplicateError(job.class_name, unique.unique_key, present)
    facts = {"job_id": present, "class_name": job.class_name, "queue_name": job.queue_name}
    emit("job.duplicate", **facts, unique_key=unique.unique_key)


def _report(job: Draft, enqueued: EnqueuedJob) -> None:
    """Emit that a job was stored, or was not because of a conflict; committed or not."""
    facts = {
        "job_id": enqueued.id,
        "class_name": job.class_name,
        "queue_name": job.queue_name,
    }
    key = job.limited.key if job.limited is not None else None
    if enqueued.id is None:
        emit("job.discarded", **facts, concurrency_key=key, reason="conflict")
        return
    created_at = enqueued.created_at
    text = None if created_at is None else created_at.isoformat()
    emit("job.enqueued", **facts, state=enqueued.state, created_at=text)


@contextmanager
def refused(*, doubtful: bool = False) -> Generator[None]:
    """Turn any driver's exception in a caller's transaction into an EnqueueError.

    If `doubtful`, there is no transaction: each statement is committed by itself.

    Raises:
        EnqueueError: the cause is the driver's error.
    """
    try:
        yield
    except Error:
        raise
    except Exception as error:
        raise refusal(error, doubtful=doubtful) from error


def refusal(error: Exception, *, doubtful: bool) -> EnqueueError:
    """Return the error with the reason why no job was enqueued, or that this is unknown.

    If `doubtful`, the server may have committed when it was lost. It has not in a caller's
    transaction, or before we asked it to commit.
    """
    known = not (doubtful and is_lost(error))
    head = "the job was not" if known else "it is not known whether the job was"
    return EnqueueError(f"{head} enqueued: {_reported(error)}", known=known)


def _reported(error: Exception) -> str:
    """Return the refusal of the server, or of the driver, in one line."""
    said = said_by(error).strip()
    first = said.splitlines()[0] if said else type(error).__name__
    state = sqlstate(error)
    if state in _UNLIKE_TABLES:
        return f"{first}; the tables are missing, or another build's: {other_build.remedy()}"
    if state == errors.LockNotAvailable.sqlstate:
        return f"{first}; a transaction that is open holds what it needs, or its unique key"
    if state == errors.InsufficientPrivilege.sqlstate:
        return f"{first}; {REMEDY}"
    return first


_UNLIKE_TABLES = {kind.sqlstate for kind in other_build.UNDEFINED}
