"""Storing jobs: one in one statement, many by COPY.

Through a connection of ours a job is committed at once. Through the caller's it is part
of the caller's transaction: committed with it, or leaving nothing.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, overload

import psycopg
from psycopg import errors
from psycopg.rows import tuple_row

from jobsd.database.statements import Statements
from jobsd.errors import EnqueueError

from .draft import Draft

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Connection = psycopg.Connection[Any]

STATEMENTS = Statements("jobsd.jobs", "enqueue.sql")

BATCH = 2000
"""Jobs that are held in memory at once when many are enqueued."""


@dataclass(frozen=True, slots=True)
class EnqueuedJob:
    """A job that was stored: its id, and whether it is "ready" or "scheduled"."""

    id: int
    state: str


class EnqueuedJobs(Sequence[EnqueuedJob]):
    """Many jobs that were stored, in the order in which they were given: nine bytes each."""

    def __init__(self) -> None:
        self._ids = array("q")
        self._waits = bytearray()

    def add(self, job_id: int, *, waits: bool) -> None:
        """Append a job."""
        self._ids.append(job_id)
        self._waits.append(waits)

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> EnqueuedJob: ...
    @overload
    def __getitem__(self, index: slice) -> list[EnqueuedJob]: ...
    def __getitem__(self, index: int | slice) -> EnqueuedJob | list[EnqueuedJob]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        return EnqueuedJob(self._ids[index], "scheduled" if self._waits[index] else "ready")

    def __repr__(self) -> str:
        return f"<{len(self)} enqueued jobs>"


def enqueue(connection: Connection, schema: str, job: Draft, *, owned: bool) -> EnqueuedJob:
    """Store one job: one statement. `owned` says that the connection commits by itself.

    Raises:
        EnqueueError: when the database refuses; the cause is the driver's error.
    """
    statement = STATEMENTS["later" if job.later else "at_once"]
    parameters = {
        "queue_name": job.queue_name,
        "class_name": job.class_name,
        "arguments": job.arguments,
        "priority": job.priority,
        "max_attempts": job.max_attempts,
        "retries_crash": job.retries_crash,
        "wait_s": job.wait_s,
        "wait_until": job.wait_until,
        "always": not owned,
    }
    try:
        with connection.cursor(row_factory=tuple_row) as cursor:
            row = cursor.execute(statement.render(schema), parameters).fetchone()
    except (psycopg.Error, OverflowError) as error:
        raise EnqueueError(_told(error)) from error
    assert row is not None  # noqa: S101 - one row was inserted
    return EnqueuedJob(row[0], "scheduled" if row[1] else "ready")


def enqueue_many(connection: Connection, schema: str, jobs: Iterable[Draft]) -> EnqueuedJobs:
    """Store many jobs, all or none, however many there are; in the caller's transaction if any.

    Raises:
        EnqueueError: when the database refuses; the cause is the driver's error.
    """
    stored = EnqueuedJobs()
    remaining = iter(jobs)
    try:
        with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
            bulk = _Bulk(cursor, schema)
            while batch := list(islice(remaining, BATCH)):
                _check(batch)
                bulk.store(batch, stored)
            bulk.wake()
    except (psycopg.Error, OverflowError) as error:
        raise EnqueueError(_told(error)) from error
    return stored


class _Bulk:
    """One call of `enqueue_many`: what is common to its batches."""

    def __init__(self, cursor: psycopg.Cursor[tuple[Any, ...]], schema: str) -> None:
        self._cursor = cursor
        self._schema = schema
        self._payloads: set[str] = set()
        self._now = self._rows("now")[0][0]

    def store(self, batch: list[Draft], stored: EnqueuedJobs) -> None:
        ids = [row[0] for row in self._rows("take_ids", {"count": len(batch)})]
        due = [_due(job, self._now) for job in batch]
        waits = [moment is not None and moment > self._now for moment in due]
        rows = list(zip(ids, batch, due, waits, strict=True))
        self._copy("copy_jobs", (
            (i, j.queue_name, j.class_name, j.arguments, j.priority, j.max_attempts,
             j.retries_crash, at)
            for i, j, at, _ in rows
        ))  # fmt: skip
        self._copy(
            "copy_ready", ((i, i, j.priority, j.queue_name) for i, j, _, w in rows if not w)
        )
        self._copy(
            "copy_scheduled", ((i, at, j.priority, j.queue_name) for i, j, at, w in rows if w)
        )
        for job_id, job, _, wait in rows:
            stored.add(job_id, waits=wait)
            self._payloads.add("due" if wait else f"ready {job.queue_name}")

    def wake(self) -> None:
        """Wake all who may sleep: one notification for each queue, sent at the commit."""
        if self._payloads:
            self._rows("wake", {"payloads": sorted(self._payloads)})

    def _rows(self, name: str, parameters: dict[str, Any] | None = None) -> list[Any]:
        return self._cursor.execute(
            STATEMENTS[name].render(self._schema), parameters
        ).fetchall()

    def _copy(self, name: str, rows: Iterator[tuple[Any, ...]]) -> None:
        first = next(rows, None)
        if first is None:
            return
        with self._cursor.copy(STATEMENTS[name].render(self._schema)) as copy:
            copy.write_row(first)
            for row in rows:
                copy.write_row(row)


def _check(batch: list[Draft]) -> None:
    for given in batch:
        if not isinstance(given, Draft):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise EnqueueError(f"{given!r} is no job with arguments: write job.with_args(…)")


def _due(job: Draft, now: datetime) -> datetime | None:
    if job.wait_s is not None:
        return now + timedelta(seconds=job.wait_s)
    return job.wait_until


def _told(error: Exception) -> str:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    hint = ""
    if isinstance(error, errors.UndefinedTable | errors.InvalidSchemaName):
        hint = "; the tables are missing: run `db migrate`"
    return f"the job was not enqueued: {first}{hint}"
