"""Beside duplicates that never cease, jobs that are unique until they are started begin."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
import pytest

from jobsd.clock import monotonic
from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import job
from jobsd.jobs.unique import Unique
from waiting import Stopwatch, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobsd.database.connection import Target
    from rows import Rows

    from .conftest import MakeWorker

    Connection = psycopg.Connection[tuple[Any, ...]]
    Enqueue = Callable[[Connection], tuple[int | None, str]]

CALLERS = 6
LASTS_S = 0.1
"""How long a caller's transaction stays open: about 60 a second with these callers."""
STORM_S = 4.0
BEGINS_S = 1.0

_UNIQUE = Unique(key="n", until="started")


class Answer(NamedTuple):
    """What an enqueue said: which job, in which state, and when its transaction had ended."""

    job_id: int
    state: str
    ended_at: float


began: dict[int, float] = {}
"""When each job began."""


@job(name="s.skip", unique=_UNIQUE)
def skipped(n: int) -> None:
    _note(n)


@job(name="s.raise", unique=Unique(key="n", until="started", on_conflict="raise"))
def strict(n: int) -> None:
    _note(n)


@job(
    name="s.replace",
    unique=Unique(key="n", until="started", on_conflict="replace", max_wait="1s"),
)
def replaced(n: int) -> None:
    _note(n)


def _note(n: int) -> None:
    del n
    running = current_job()
    assert running is not None
    began[running.id] = monotonic()


def _within(mine: Connection) -> tuple[int | None, str]:
    stored = skipped.using(connection=mine).enqueue(1)
    return stored.id, stored.state


def _strict(mine: Connection) -> tuple[int | None, str]:
    # DuplicateError stores nothing, and the caller goes on.
    try:
        stored = strict.using(connection=mine).enqueue(1)
    except Exception as error:  # noqa: BLE001 - asserted below by its id
        return getattr(error, "job_id", None), "duplicate"
    return stored.id, stored.state


def _replace(mine: Connection) -> tuple[int | None, str]:
    stored = replaced.using(connection=mine).enqueue(1)
    return stored.id, stored.state


def _bulk(mine: Connection) -> tuple[int | None, str]:
    (stored,) = enqueue_many([skipped.with_args(1)], connection=mine)
    return stored.id, stored.state


def _sql(mine: Connection) -> tuple[int | None, str]:
    row = mine.execute(
        "SELECT jobsd.enqueue('s.skip', '[1]', unique_key => 's.skip/1',"
        " unique_until => 'started')"
    ).fetchone()
    assert row is not None
    return row[0], "unknown"


def _submit(mine: Connection) -> tuple[int | None, str]:
    """Enqueue as a role that may do nothing else."""
    given = {
        "class_name": "s.skip", "queue_name": "default", "arguments": "[1]", "priority": 0,
        "max_attempts": 1, "unique_key": "s.skip/1", "unique_until": "started",
        "unique_conflict": "skip",
    }  # fmt: skip
    row = mine.execute(
        "SELECT job_id, state FROM jobsd.submit(%s)", (json.dumps([given]),)
    ).fetchone()
    assert row is not None
    return row[0], row[1]


WAYS = {
    "skip": _within,
    "raise": _strict,
    "replace": _replace,
    "bulk": _bulk,
    "SQL": _sql,
    "submit": _submit,
}


@pytest.fixture
def storm(target: Target) -> Iterator[Callable[[Enqueue], list[Answer]]]:
    """Let callers enqueue without end, each in transactions that stay open for a while."""
    over = threading.Event()
    pool = ThreadPoolExecutor(CALLERS)
    answers: list[Answer] = []

    def call(enqueue: Enqueue) -> None:
        with psycopg.connect(target.url) as mine:
            while not over.is_set():
                job_id, state = enqueue(mine)
                mine.execute("SELECT pg_sleep(%s)", (LASTS_S,))
                mine.commit()
                assert job_id is not None
                answers.append(Answer(job_id, state, monotonic()))

    calls: list[Any] = []

    def begin(enqueue: Enqueue) -> list[Answer]:
        calls.extend(pool.submit(call, enqueue) for _ in range(CALLERS))
        return answers

    began.clear()
    yield begin
    over.set()
    pool.shutdown()
    for each in calls:
        each.result()


@pytest.mark.failure(
    "60 transactions a second, each open for 0.1 s, enqueue duplicates of one job that counts"
    " until it is started",
    "The job begins within a second, and so does each next job of the key; at most two wait",
)
@pytest.mark.parametrize("way", WAYS)
def test_a_due_job_begins_beside_duplicates_without_end(
    make_worker: MakeWorker, storm: Callable[[Enqueue], list[Answer]], rows: Rows, way: str
) -> None:
    driven = make_worker(polling_interval_s=0.02)
    waiting: list[int] = []
    answers = storm(WAYS[way])
    wait_until(lambda: answers)
    watch = Stopwatch()

    def over() -> bool:
        waiting.extend(rows("SELECT count(*) FROM jobsd.ready_executions"))
        return watch.took() > STORM_S

    driven.until(over, 60)

    first_answers: dict[int, float] = {}
    for each in list(answers):
        first_answers.setdefault(each.job_id, each.ended_at)
    late = {
        job_id: watch.of(max(0.0, began.get(job_id, monotonic()) - ended_at))
        for job_id, ended_at in first_answers.items()
    }
    assert [each for each in late.items() if not each[1] < BEGINS_S + LASTS_S] == []
    assert len(began) > 2
    assert max(waiting) <= 2
