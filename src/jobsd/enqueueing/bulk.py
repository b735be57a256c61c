"""Storing many jobs, all or none, in bounded memory.

A batch at a time, the jobs go in by a few COPYs, and are drawn from the caller's iterable while
the server stores those before: making them costs the program nearly as much as storing them
costs the server. One statement behind it gives each its place. From the first job on about
which the server has to decide, and over a driver without COPY, `store` stores the batches.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any, overload

import psycopg

from jobsd.clock import moment_of, monotonic
from jobsd.database.portions import cut
from jobsd.database.statements import Statement, Statements
from jobsd.events.events import emit
from jobsd.jobs import limits
from jobsd.jobs.draft import Draft, EnqueuedJob
from jobsd.text import byte_size

from . import enqueue, submission
from .bulk_rows import Batches
from .drivers import Driver, PsycopgDriver
from .enqueue import refusal, refused, report_duplicate
from .steps import Ask, Copy, Steps, take, within_savepoint

Connection = psycopg.Connection[Any]

STATEMENTS = Statements("jobsd.enqueueing", "bulk.sql")

BATCH = 2000
"""Jobs that are stored by one COPY, and held in memory at most: fewer of more than 4 MiB."""
PIECE, FIRST_PIECE = 250, 50
"""Rows of one COPY, each of which waits for an answer, and of the first COPY of a bulk."""

_STATES = ("ready", "scheduled", "discarded", "duplicate")
_READY, _SCHEDULED, _DISCARDED, _DUPLICATE = range(len(_STATES))
_STATE_OF_CODE = bytes.maketrans(b"012", bytes((_READY, _SCHEDULED, _READY)))

_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_NULL = r"\N"


def code_of(state: str) -> int:
    """Return the byte of a state in `EnqueuedJobs`."""
    return _STATES.index(state)


class EnqueuedJobs(Sequence[EnqueuedJob]):
    """Many jobs that were enqueued, in the order in which they were given: nine bytes each.

    `stored` is their number without discarded jobs and duplicates.
    """

    def __init__(self) -> None:
        self._ids = array("q")
        self._states = bytearray()
        self.created_us: int | None = None
        # When others were created that are there in the place of duplicates, by place.
        self._others_us: dict[int, int | None] = {}

    def add(
        self, ids: Iterable[int], states: bytearray, others_us: Mapping[int, int | None]
    ) -> None:
        """Append jobs; `others_us` has when those were created that were there before."""
        self._others_us |= {len(self._ids) + place: us for place, us in others_us.items()}
        self._ids.extend(ids)
        self._states.extend(states)

    @property
    def stored(self) -> int:
        """How many were stored."""
        left_out = self._states.count(_DISCARDED) + self._states.count(_DUPLICATE)
        return len(self._states) - left_out

    @property
    def duplicates(self) -> int:
        """How many are duplicates of existing jobs."""
        return self._states.count(_DUPLICATE)

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
        if state == _DISCARDED:
            return EnqueuedJob(None, _STATES[state])
        created_us = self._others_us.get(index % len(self), self.created_us)
        created_at = None if created_us is None else moment_of(created_us)
        return EnqueuedJob(self._ids[index], _STATES[state], created_at=created_at)

    def __repr__(self) -> str:
        return f"<{len(self)} enqueued jobs>"


class PendingJobs(EnqueuedJobs):
    """Many jobs that wait for a commit: their ids and states are filled in when it has come."""

    def __init__(self, handles: Sequence[EnqueuedJob]) -> None:
        super().__init__()
        self._handles = handles

    @property
    def stored(self) -> int:
        """How many were stored by now."""
        return sum(each.state not in _NOT_STORED for each in self._handles)

    @property
    def duplicates(self) -> int:
        """How many are duplicates of existing jobs."""
        return sum(each.state == "duplicate" for each in self._handles)

    def __len__(self) -> int:
        return len(self._handles)

    @overload
    def __getitem__(self, index: int) -> EnqueuedJob: ...
    @overload
    def __getitem__(self, index: slice) -> list[EnqueuedJob]: ...
    def __getitem__(self, index: int | slice) -> EnqueuedJob | list[EnqueuedJob]:
        return list(self._handles[index]) if isinstance(index, slice) else self._handles[index]


_NOT_STORED = {"pending", "discarded", "duplicate"}


def enqueue_many(
    connection: Connection, schema: str, jobs: Iterable[Draft], *, owned: bool
) -> EnqueuedJobs:
    """Store many jobs, all or none, however many there are, over psycopg.

    Raises:
        EnqueueError: when the database refuses; the cause is the driver's error.
    """
    bulk = Bulk(iter(jobs), schema, owned=owned)
    driver = PsycopgDriver(connection, schema)
    commits = False
    try:
        with connection.transaction():
            take(bulk.steps(), driver)
            commits = owned
    except (psycopg.Error, OverflowError, UnicodeEncodeError) as error:
        raise refusal(error, doubtful=commits) from error
    return bulk.report()


def enqueue_many_within(driver: Driver, jobs: Iterable[Draft]) -> EnqueuedJobs:
    """Store many jobs, all or none, in the caller's transaction over another driver.

    Raises:
        EnqueueError: when the database refuses; the cause is the driver's error.
    """
    bulk = Bulk(iter(jobs), driver.schema, owned=False)
    with refused():
        take(within_savepoint(bulk.steps(copies=False)), driver)
    return bulk.report()


class Bulk:
    """One call of `enqueue_many`: the state that its batches share.

    `steps` yields the statements for any driver, which waits or awaits. If the jobs are
    committed at once (`owned`), they are drawn while they are sent. On a caller's connection
    the iterable may itself run statements there.
    """

    def __init__(self, jobs: Iterator[Draft], schema: str, *, owned: bool) -> None:
        self.stored = EnqueuedJobs()
        self._schema = schema
        self._batches = Batches(jobs, BATCH)
        self._owned = owned
        self._payloads: set[str] = set()
        self._kinds: dict[tuple[Any, ...], str] = {}
        # Of the batch: the keys of limited jobs that are ready, and how many there are.
        self._keys: set[str] = set()
        self._limited = 0
        self._clock_ahead_s, self._created = 0.0, ""

    def steps(self, *, copies: bool = True) -> Steps[None]:
        """Store all batches, then wake idle workers: once for each queue, at a commit."""
        statement = enqueue.STATEMENTS["store"]
        if (yield from submission.is_needed(self._schema)):
            statement, copies = submission.STATEMENTS["submit"], False
        while copies and (yield from self._copy()):
            pass
        while batch := list(self._batches.draw()):
            yield from self._call(statement, batch)
        for payloads in cut(sorted(self._payloads), byte_size):
            parameters = {"payloads": payloads, "always": not self._owned}
            yield Ask(STATEMENTS["wake"], parameters)

    def report(self) -> EnqueuedJobs:
        """Emit the stored jobs, and return them."""
        stored = self.stored
        emit("jobs.enqueued", size=stored.stored)
        if stored.duplicates:
            emit("jobs.duplicate", size=stored.duplicates)
        if discarded := len(stored) - stored.stored - stored.duplicates:
            emit("jobs.discarded", size=discarded, reason="conflict")
        return stored

    def _copy(self) -> Steps[bool]:
        """Store the next batch by COPY; return whether there may be another one."""
        drawn = self._batches.draw(undecided=False)
        if (first := next(drawn, None)) is None:
            return False
        batch: Iterable[Draft] = chain((first,), drawn)
        if not self._owned:
            batch = list(batch)
        after, now_s, created_us = (yield Ask(STATEMENTS["begin"]))[0]
        self._clock_ahead_s = now_s - monotonic()
        self.stored.created_us = created_us
        self._created = moment_of(created_us).isoformat()
        self._keys.clear()
        self._limited = 0
        yield Copy(STATEMENTS["copy"], _pieces(map(self._line, batch)))
        found = {"after": after, "keys_differ": len(self._keys) == self._limited}
        ((ids, codes, payloads),) = yield Ask(STATEMENTS["place"], found)
        states = bytearray(codes.encode().translate(_STATE_OF_CODE))
        self._payloads.update(payloads)
        if _SCHEDULED in states:
            self._payloads.add("due")
        self.stored.add(map(int, ids.split(",")), states, {})
        return self._batches.is_full

    def _call(self, statement: Statement, batch: list[Draft]) -> Steps[None]:
        """Store a batch by a function of the server."""
        rows = (submission.as_json(job, always=not self._owned) for job in batch)
        answers: list[Sequence[Any]] = []
        for ask in submission.requests(statement, rows):
            answers += yield ask
        others_us: dict[int, int | None] = {}
        states = bytearray()
        for turn, (job_id, state, replaced, created_us) in enumerate(answers):
            unique = batch[turn].unique
            if state == "duplicate" and unique and unique.unique_conflict == "raise":
                report_duplicate(batch[turn], unique, job_id)
            if state == "duplicate" or replaced:
                others_us[turn] = created_us
            else:
                self.stored.created_us = created_us
            states.append(code_of(state))
        self.stored.add((answer[0] or 0 for answer in answers), states, others_us)

    def _line(self, job: Draft) -> str:
        kind = (
            job.queue_name, job.class_name, job.priority, job.max_attempts, job.retries_crash
        )  # fmt: skip
        head = self._kinds.get(kind)
        if head is None:
            head = self._kinds[kind] = "\t".join(map(_field, kind))
        due = self._due(job) if job.later else _NULL
        limited = _UNLIMITED
        if job.limited is not None:
            limited = _limit_fields(job.limited)
            if due is _NULL:
                self._limited += 1
                self._keys.add(job.limited.key)
        context = _NULL if job.context is None else _field(job.context)
        expires = _NULL if job.expires_in_s is None else f"{job.expires_in_s} s"
        rest = f"{due}\t{limited}\t{context}\t{expires}\t{self._created}"
        return f"{_field(job.arguments)}\t{head}\t{rest}\n"

    def _due(self, job: Draft) -> str:
        """Return when a job is due by the server's clock, or NULL when its time has come."""
        now_s = self._clock_ahead_s + monotonic()
        if job.wait_until is not None:
            moment_s = job.wait_until.timestamp()
        else:
            moment_s = now_s + (job.wait_s or 0.0)
        if moment_s <= now_s:
            return _NULL
        return datetime.fromtimestamp(moment_s, UTC).isoformat()


def _pieces(lines: Iterator[str]) -> Iterator[str]:
    """Return the lines, many at once."""
    size = FIRST_PIECE
    while piece := "".join(islice(lines, size)):
        yield piece
        size = PIECE


def _field(value: object) -> str:
    """Return a value as a field of COPY's text format."""
    text = str(value)
    if "\\" in text or not text.isprintable():
        return text.translate(_ESCAPES)
    return text


_UNLIMITED = "\t".join([_NULL] * 4)


def _limit_fields(limited: limits.Limited) -> str:
    key, to, duration, on_conflict = limited
    lasts = _NULL if duration is None else f"{duration.total_seconds()} s"
    # A backslash is the only character of a key that needs an escape (`keys.encode`).
    escaped = _field(key) if "\\" in key else key
    return f"{escaped}\t{to}\t{lasts}\t{on_conflict}"
