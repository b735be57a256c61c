"""Storing many jobs, all or none, in bounded memory.

Ids come from the sequence, then the rows go in by COPY, a batch at a time. While the
server stores a batch, the next is drawn from the caller's iterable: making jobs costs the
program about as much as storing them costs the server.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import psycopg

from jobsd.database.statements import Statements
from jobsd.errors import EnqueueError
from jobsd.instruments.events import emit

from . import limits
from .connections import PlainCursor
from .draft import Draft
from .enqueue import EnqueuedJob, told

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Connection = psycopg.Connection[Any]

STATEMENTS = Statements("jobsd.jobs", "bulk.sql")

BATCH = 2000
"""Jobs that are stored by one COPY; twice as many are held in memory at most."""
PIECE = 200
"""Rows that are written at once, so that the server reads while we go on."""
KEYS_MAX = 500
"""With more keys than these, all limits are locked at once: the table of locks has an end."""

_READY, _SCHEDULED, _BLOCKED, _DISCARDED = range(4)
_STATES = ("ready", "scheduled", "blocked", "discarded")

_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_NULL = r"\N"


class EnqueuedJobs(Sequence[EnqueuedJob]):
    """Many jobs that were enqueued, in the order in which they were given: nine bytes each.

    `stored` says how many they are without those that were discarded.
    """

    def __init__(self) -> None:
        self._ids = array("q")
        self._states = bytearray()

    def add(self, ids: Iterable[int], states: Iterable[int]) -> None:
        """Append jobs."""
        self._ids.extend(ids)
        self._states.extend(states)

    @property
    def stored(self) -> int:
        """How many were stored."""
        return len(self._states) - self._states.count(_DISCARDED)

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> EnqueuedJob: ...
    @overload
    def __getitem__(self, index: slice) -> list[EnqueuedJob]: ...
    def __getitem__(self, index: int | slice) -> EnqueuedJob | list[EnqueuedJob]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        state = self._states[index]
        return EnqueuedJob(None if state == _DISCARDED else self._ids[index], _STATES[state])

    def __repr__(self) -> str:
        return f"<{len(self)} enqueued jobs>"


def enqueue_many(
    connection: Connection, schema: str, jobs: Iterable[Draft], *, owned: bool
) -> EnqueuedJobs:
    """Store many jobs, all or none, however many there are; in the caller's transaction if any.

    Raises:
        EnqueueError: when the database refuses; the cause is the driver's error.
    """
    try:
        with connection.transaction(), PlainCursor(connection) as cursor:
            bulk = _Bulk(cursor, schema, iter(jobs), ahead=owned)
            while bulk.store():
                pass
            bulk.wake(always=not owned)
    except (psycopg.Error, OverflowError, UnicodeEncodeError) as error:
        raise EnqueueError(told(error, owned=owned)) from error
    stored = bulk.stored
    emit("jobs.enqueued", size=stored.stored)
    if stored.stored < len(stored):
        emit("jobs.discarded", size=len(stored) - stored.stored, reason="conflict")
    return stored


class _Row(NamedTuple):
    """A job, its id and when it is due; None for at once."""

    id: int
    job: Draft
    due: str | None


class _Bulk:
    """One call of `enqueue_many`: what is common to its batches."""

    def __init__(
        self,
        cursor: psycopg.Cursor[tuple[Any, ...]],
        schema: str,
        jobs: Iterator[Draft],
        *,
        ahead: bool,
    ) -> None:
        self.stored = EnqueuedJobs()
        self._cursor = cursor
        self._schema = schema
        self._jobs = jobs
        # On a caller's connection the iterable may itself have something to ask there.
        self._ahead = ahead
        self._next: list[Draft] = []
        self._payloads: set[str] = set()
        self._kinds: dict[tuple[Any, ...], str] = {}

    def store(self) -> bool:
        """Store the next batch; return whether there is another one."""
        self._draw(BATCH)
        batch, self._next = self._next, []
        if not batch:
            return False
        now, ids = self._begin(len(batch))
        rows = [
            _Row(job_id, job, _due(job, now) if job.later else None)
            for job_id, job in zip(ids, batch, strict=True)
        ]
        waiting = [row for row in rows if row.due is not None]
        limited = [row for row in rows if row.due is None and row.job.limited is not None]
        plain = [row for row in rows if row.due is None and row.job.limited is None]
        self._copy("copy_jobs", map(self._job, rows), draw=BATCH // 2)
        self._copy("copy_scheduled", map(_scheduled, waiting))
        self._copy("copy_blocked", map(_blocked, limited))
        self._copy("copy_ready", map(_ready, plain), draw=BATCH)
        states = dict.fromkeys((row.id for row in waiting), _SCHEDULED)
        if limited:
            self._draw(BATCH)
            states |= self._admit(limited, alone=not self._next and not len(self.stored))
        self.stored.add(ids, (states.get(job_id, _READY) for job_id in ids))
        self._payloads.update(
            f"ready {queue}" for queue in {row.job.queue_name for row in plain}
        )
        if waiting:
            self._payloads.add("due")
        return True

    def wake(self, *, always: bool) -> None:
        """Wake all who may sleep: one notification for each queue, sent at the commit."""
        if self._payloads:
            self._rows("wake", {"payloads": sorted(self._payloads), "always": always})

    def _begin(self, count: int) -> tuple[float, list[int]]:
        now, ids = self._rows("begin", {"count": count})[0]
        return now, list(map(int, ids[1:-1].split(",")))

    def _draw(self, count: int) -> None:
        """Take jobs from the iterable, up to a full batch."""
        drawn = list(islice(self._jobs, min(count, BATCH - len(self._next))))
        for given in drawn:
            if not isinstance(given, Draft):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise EnqueueError(
                    f"{given!r} is no job with arguments: write job.with_args(…)"
                )
        self._next += drawn

    def _admit(self, rows: list[_Row], *, alone: bool) -> dict[int, int]:
        """Give slots to limited jobs; return the states of those that got none.

        When more batches may come, all limits are locked at once: two programs that lock
        one key after the other, each in its order, would wait for each other.
        """
        keys = {row.job.limited.key for row in rows if row.job.limited}
        everything = not alone or len(keys) > KEYS_MAX
        statement = limits.STATEMENTS["admit"].render(self._schema)
        self._cursor.execute(statement, {"keys": list(keys), "everything": everything})
        ids = [row.id for row in rows]
        return {
            ids[turn - 1]: _BLOCKED if blocked else _DISCARDED
            for turn, blocked in self._rows("left_out", {"ids": ids})
        }

    def _job(self, row: _Row) -> str:
        job = row.job
        kind = (
            job.queue_name, job.class_name, job.priority, job.max_attempts, job.retries_crash
        )  # fmt: skip
        head = self._kinds.get(kind)
        if head is None:
            head = self._kinds[kind] = "\t".join(map(_field, kind))
        limited = _UNLIMITED if job.limited is None else _limit_fields(job.limited)
        return f"{row.id}\t{_field(job.arguments)}\t{head}\t{row.due or _NULL}\t{limited}\n"

    def _rows(self, name: str, parameters: dict[str, Any]) -> list[Any]:
        return self._cursor.execute(
            STATEMENTS[name].render(self._schema), parameters
        ).fetchall()

    def _copy(self, name: str, lines: Iterator[str], *, draw: int = 0) -> None:
        """Write rows; draw jobs from the iterable while the server stores them."""
        piece = "".join(islice(lines, PIECE))
        if not piece:
            return
        with self._cursor.copy(STATEMENTS[name].render(self._schema)) as copy:
            while piece:
                copy.write(piece)
                piece = "".join(islice(lines, PIECE))
            if draw and self._ahead:
                self._draw(draw)


def _field(value: object) -> str:
    """Return a value as a field of COPY's text format."""
    text = str(value)
    if "\\" in text or not text.isprintable():
        return text.translate(_ESCAPES)
    return text


_UNLIMITED = "\t".join([_NULL] * 4)


def _limit_fields(limited: limits.Limited) -> str:
    duration = _NULL if limited.duration is None else f"{limited.duration.total_seconds()} s"
    return "\t".join((_field(limited.key), str(limited.to), duration, limited.on_conflict))


def _ready(row: _Row) -> str:
    return f"{row.id}\t{row.id}\t{row.job.priority}\t{_field(row.job.queue_name)}\n"


def _scheduled(row: _Row) -> str:
    job = row.job
    key = _NULL if job.limited is None else _field(job.limited.key)
    return f"{row.id}\t{row.due}\t{job.priority}\t{_field(job.queue_name)}\t{key}\n"


def _blocked(row: _Row) -> str:
    job = row.job
    assert job.limited is not None  # noqa: S101 - only such rows are given
    yields = job.limited.on_conflict == "discard"
    key = _field(job.limited.key)
    return f"{row.id}\t{job.priority}\t{_field(job.queue_name)}\t{key}\t{yields}\n"


def _due(job: Draft, now: float) -> str | None:
    """Return when a job is due, or None when its time has come."""
    if job.wait_until is not None:
        moment = job.wait_until.timestamp()
    else:
        moment = now + (job.wait_s or 0.0)
    if moment <= now:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat()
