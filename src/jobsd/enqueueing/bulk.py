"""Storing many jobs, all or none, in bounded memory.

A batch at a time, the jobs go in by a few COPYs, and are drawn from the caller's iterable while
the server stores those before: making them costs the program nearly as much as storing them
costs the server. One statement behind it gives each its place.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any, overload

import psycopg

from jobsd.clock import moment_of, monotonic
from jobsd.database.portions import cut
from jobsd.database.statements import Statements
from jobsd.events.events import emit
from jobsd.jobs import limits
from jobsd.jobs.draft import Draft, EnqueuedJob
from jobsd.jobs.unique import Uniqueness
from jobsd.text import byte_size

from . import submission
from .bulk_rows import Batches, as_json
from .drivers import Driver, PsycopgDriver
from .enqueue import refusal, refused, report_duplicate, request
from .steps import Ask, Copy, Steps, take, within_savepoint

Connection = psycopg.Connection[Any]

STATEMENTS = Statements("jobsd.enqueueing", "bulk.sql")

BATCH = 2000
"""Jobs that are stored by one COPY, and held in memory at most: fewer of more than 4 MiB."""
PIECE, FIRST_PIECE = 250, 50
"""Rows of one COPY, each of which waits for an answer, and of the first COPY of a bulk."""

COLUMNS = tuple(re.findall(r"\w+", STATEMENTS["copy"].text.partition("(")[2].partition(")")[0]))
"""The columns of a line, in their order; drivers without COPY get them as JSON."""

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
        # Of the batch: the keys of jobs that may not wait.
        self._impatient: set[str] = set()
        # Of the batch: the unique jobs, by their places in it.
        self._unique: dict[int, tuple[Draft, Uniqueness]] = {}
        # Of the batch: the creation times of the originals of duplicates, by position.
        self._others_us: dict[int, int | None] = {}
        self._drawn = 0
        self._clock_ahead_s, self._created = 0.0, ""

    def steps(self, *, copies: bool = True) -> Steps[None]:
        """Store all batches, then wake idle workers: once for each queue, at a commit."""
        if (yield from submission.is_needed(self._schema)):
            while batch := list(self._batches.draw()):
                yield from self._submit(batch)
            return
        while (yield from self._store(copies=copies)):
            pass
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

    def _store(self, *, copies: bool) -> Steps[bool]:
        """Store the next batch; return whether there may be another one."""
        drawn = self._batches.draw()
        if (first := next(drawn, None)) is None:
            return False
        batch: Iterable[Draft] = chain((first,), drawn)
        if not self._owned:
            batch = list(batch)
        after, now_s, created_us = (yield Ask(STATEMENTS["begin"]))[0]
        self._clock_ahead_s = now_s - monotonic()
        self.stored.created_us = created_us
        self._created = moment_of(created_us).isoformat()
        self._others_us.clear()
        self._keys.clear()
        self._impatient.clear()
        self._unique.clear()
        self._drawn = self._limited = 0
        lines = map(self._line, batch)
        if copies:
            yield Copy(STATEMENTS["copy"], _pieces(lines))
        else:
            for rows in as_json(lines, COLUMNS):
                yield Ask(STATEMENTS["insert"], {"jobs": rows})
        found = {"after": after, "keys_differ": len(self._keys) == self._limited}
        ((ids_reported, codes, payloads),) = yield Ask(STATEMENTS["place"], found)
        ids = [int(job_id) for job_id in ids_reported.split(",")]
        states = bytearray(codes.encode().translate(_STATE_OF_CODE))
        self._payloads.update(payloads)
        if _SCHEDULED in states:
            self._payloads.add("due")
        if self._unique:
            yield from self._admit_unique(ids, states)
        if self._impatient:
            yield from self._admit(ids, states)
        self._report_duplicates(ids, states)
        self.stored.add(ids, states, self._others_us)
        return self._batches.is_full

    def _submit(self, batch: list[Draft]) -> Steps[None]:
        """Store a batch as a role that may not write to the tables."""
        rows = (submission.row(request(job, always=not self._owned)[1]) for job in batch)
        answers: list[Sequence[Any]] = []
        for ask in submission.requests(rows):
            answers += yield ask
        for job, (job_id, state, _, created_us) in zip(batch, answers, strict=True):
            if state == "duplicate" and job.unique and job.unique.unique_conflict == "raise":
                report_duplicate(job, job.unique, job_id)
            self.stored.add([job_id or 0], bytearray([code_of(state)]), {0: created_us})

    def _admit(self, ids: list[int], states: bytearray) -> Steps[None]:
        """Drop those of the batch's jobs that may not wait and would have to.

        Where a key can't be held in time, the worker that meets the job decides.
        """
        rows = yield Ask(STATEMENTS["admit"], {"keys": list(self._impatient)})
        dropped = {row[0] for row in rows}
        twins = [
            turn for turn in self._unique if states[turn] == _DUPLICATE and ids[turn] in dropped
        ]
        for turn, job_id in enumerate(ids if dropped else ()):
            if job_id in dropped:
                states[turn] = _DISCARDED
        keys = [unique.unique_key for _, unique in self._unique.values()] if dropped else []
        if keys:
            yield Ask(STATEMENTS["forget_unique"], {"keys": keys, "ids": list(dropped)})
        for turn in twins:
            yield from self._store_twin(turn, ids, states)

    def _store_twin(self, turn: int, ids: list[int], states: bytearray) -> Steps[None]:
        """Store a job that is no duplicate after all: the one before it was dropped."""
        statement, parameters = request(self._unique[turn][0], always=not self._owned)
        ((job_id, state, _, self._others_us[turn]),) = yield Ask(statement, parameters)
        ids[turn], states[turn] = job_id or 0, code_of(state)

    def _admit_unique(self, ids: list[int], states: bytearray) -> Steps[None]:
        """Drop the batch's unique jobs that exist already; the existing ones are reported."""
        wanted = {ids[turn]: turn for turn in self._unique}
        found = admission(wanted, [unique for _, unique in self._unique.values()])
        found |= {"always": not self._owned, "hastily": False}
        rows = yield Ask(STATEMENTS["admit_unique"], found)
        for job_id, present, replaced, created_us in rows:
            turn = wanted[job_id]
            ids[turn], self._others_us[turn] = present, created_us
            if replaced:
                continue
            states[turn] = _DUPLICATE

    def _report_duplicates(self, ids: list[int], states: bytearray) -> None:
        """Raise if a duplicate of the batch has `on_conflict="raise"`.

        Raises:
            DuplicateError: for the first one.
        """
        for turn, (job, unique) in self._unique.items():
            if states[turn] == _DUPLICATE and unique.unique_conflict == "raise":
                report_duplicate(job, unique, ids[turn])

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
                if job.limited.on_conflict == "discard":
                    self._impatient.add(job.limited.key)
        context = _NULL if job.context is None else _field(job.context)
        rest = _PLAIN
        if job.unique is not None or job.expires_in_s is not None:
            rest = _rest_fields(job)
            if job.unique is not None:
                self._unique[self._drawn] = job, job.unique
        self._drawn += 1
        rest = f"{rest}\t{self._created}"
        return f"{_field(job.arguments)}\t{head}\t{due}\t{limited}\t{context}\t{rest}\n"

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


def admission(ids: Iterable[int], unique: Iterable[Uniqueness]) -> dict[str, Any]:
    """Return the parameters with the unique keys of jobs that were just stored."""
    columns = zip(*unique, strict=True)
    return {"ids": list(ids), **dict(zip(Uniqueness._fields, map(list, columns), strict=True))}


_UNLIMITED = "\t".join([_NULL] * 4)
_NOT_UNIQUE = f"{_NULL}\t{_NULL}"
_PLAIN = f"{_NOT_UNIQUE}\t{_NULL}"


def _limit_fields(limited: limits.Limited) -> str:
    key, to, duration, on_conflict = limited
    lasts = _NULL if duration is None else f"{duration.total_seconds()} s"
    # A backslash is the only character of a key that needs an escape (`keys.encode`).
    escaped = _field(key) if "\\" in key else key
    return f"{escaped}\t{to}\t{lasts}\t{on_conflict}"


def _rest_fields(job: Draft) -> str:
    unique = _NOT_UNIQUE if job.unique is None else _unique_fields(job.unique)
    return f"{unique}\t{_NULL if job.expires_in_s is None else f'{job.expires_in_s} s'}"


def _unique_fields(unique: Uniqueness) -> str:
    return f"{_field(unique.unique_key)}\t{unique.unique_until or _NULL}"
