"""Many jobs in a row that a worker can't run hold up nobody behind them."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.acts import queues
from jobsd.enqueueing.client import enqueue_many
from jobsd.processes import registry as processes
from jobsd.states import parked
from waiting import wait_until

from .bodies import note, noted

if TYPE_CHECKING:
    from collections.abc import Generator

    from jobsd.database.connection import Session, Target

    from .conftest import Count, Driven, MakeWorker

GONE = "elsewhere.job"
MANY = 2000

_FILL = """
WITH job AS (
    INSERT INTO jobsd.jobs (queue_name, class_name, arguments, priority)
    SELECT %s, %s, '[]', %s
    FROM generate_series(1, %s)
    RETURNING id, priority, queue_name
)
INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
SELECT id, id, priority, queue_name
FROM job
"""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, session: Session) -> None:
    """Let walks be short, and another worker know what this one does not."""
    monkeypatch.setattr("jobsd.worker.claiming.known_classes.SCOUTED", 300)
    monkeypatch.setattr("jobsd.worker.claiming.known_classes.MOVED", 70)
    row = processes.register(session, kind="worker", name="other", supervisor_id=0, metadata={})
    parked.publish(session, row, ["*"], [GONE])


def _fill(
    session: Session, queue: str = "default", priority: int = 0, many: int = MANY
) -> None:
    session.connection.execute(_FILL, (queue, GONE, priority, many))


def _gaps(driven: Driven) -> bool:
    return (
        driven.worker._claiming.ways.both.cursor.first_gap is not None
        or driven.worker._claiming.scout.is_under_way
    )


def _rest(_clearing: object, rest_s: float) -> float:
    return rest_s


@contextmanager
def _no_gap_is_cleared() -> Generator[None]:
    """Let workers clear no gap, as where they have no time for it."""
    with pytest.MonkeyPatch.context() as patched:
        clearing = "jobsd.worker.claiming.cursor.GapClearing.work"
        patched.setattr(clearing, _rest)
        yield


@pytest.mark.parametrize("patterns", [("*",), ("default",), ("d*",)])
def test_a_job_behind_many_unknown_ones_runs_before_these_are_moved(
    make_worker: MakeWorker, session: Session, count: Count, patterns: tuple[str, ...]
) -> None:
    _fill(session)
    note.enqueue("behind")
    driven = make_worker(queues=patterns)

    with _no_gap_is_cleared():
        driven.until(lambda: noted)
    before = count("parked_executions")
    driven.until(lambda: not count("ready_executions") and driven.at_rest())

    assert before < MANY / 2
    assert count("parked_executions WHERE position = job_id AND lane = 'elsewhere.job'") == MANY
    assert count("jobs WHERE attempts > 0") == 1
    assert not _gaps(driven)


def test_what_was_moved_is_not_touched_again_by_sweeps(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    _fill(session)
    driven = make_worker()
    driven.until(lambda: not count("ready_executions") and not _gaps(driven))
    versions = "SELECT string_agg(xmin::text, ',' ORDER BY job_id) FROM jobsd.parked_executions"
    before = session.connection.execute(versions.encode()).fetchone()

    for turn in range(3):
        driven.worker._claiming.ways.both.cursor._swept_at = (
            driven.worker._claiming.ways.both.cursor._sweep_allowed_at
        ) = 0.0
        note.enqueue(turn)
        driven.until(lambda: len(noted) > turn and driven.at_rest())  # noqa: B023 - at once

    assert session.connection.execute(versions.encode()).fetchone() == before
    assert count("parked_executions") == MANY


@pytest.mark.failure(
    "A job commits late, or is released, amid a million jobs that its worker can't run.",
    "It runs once that part of the queue has been searched",
)
def test_a_late_commit_amid_unknown_jobs_is_found(
    make_worker: MakeWorker, target: Target, session: Session, count: Count
) -> None:
    _fill(session, many=500)
    with psycopg.connect(target.url) as late:
        enqueue_many([note.with_args("late")], connection=late)
        _fill(session, many=500)
        note.enqueue("behind")
        driven = make_worker()
        driven.until(lambda: noted == ["behind"])
        late.commit()

        driven.until(lambda: "late" in noted, within_s=60)

    driven.until(lambda: count("parked_executions") == 1000)


def test_more_urgent_jobs_and_other_queues_go_before_and_behind_a_stretch(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    _fill(session, "a", 5, 400)
    _fill(session, "b", 7, 400)
    note.using(queue="a", priority=9).enqueue("last")
    driven = make_worker()
    driven.until(lambda: noted == ["last"])

    note.using(queue="b", priority=5).enqueue("amid")
    note.using(queue="a", priority=1).enqueue("urgent")
    driven.until(lambda: len(noted) == 3)
    driven.until(lambda: not count("ready_executions"))

    assert count("parked_executions") == 800


def test_a_stretch_of_a_paused_queue_is_left_where_it_is(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    _fill(session, "paused")
    session.connection.execute("INSERT INTO jobsd.pauses (queue_name) VALUES ('paused')")
    note.enqueue("behind")
    driven = make_worker()

    driven.until(lambda: noted)
    driven.until(driven.at_rest)

    assert count("ready_executions WHERE queue_name = 'paused'") == MANY


def test_what_lies_in_a_stretch_and_was_paused_is_found_when_it_is_resumed(
    make_worker: MakeWorker, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobsd.worker.claiming.known_classes.MOVED", 1)
    monkeypatch.setattr("jobsd.worker.claiming.known_classes.IDLE_SHARE", 1e9)
    monkeypatch.setattr("jobsd.worker.claiming.cursor.BUSY_SHARE", 1e9)
    queues.pause("paused", session=session)
    _fill(session, many=500)
    note.using(queue="paused").enqueue("amid")
    _fill(session, many=500)
    note.enqueue("behind")
    driven = make_worker()
    driven.until(lambda: noted == ["behind"])
    assert _gaps(driven)

    queues.resume("paused", session=session)
    driven.until(lambda: len(noted) == 2)

    assert noted == ["behind", "amid"]


def test_two_workers_leave_a_stretch_once(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    _fill(session)
    note.enqueue("behind")
    workers = [make_worker(f"worker-{number}") for number in range(2)]

    def turns() -> bool:
        for driven in workers:
            driven.worker.poll()
        return not count("ready_executions") and all(each.at_rest() for each in workers)

    wait_until(turns)

    assert noted == ["behind"]
    assert count("parked_executions") == MANY


_ELSEWHERE = """
WITH gone AS (DELETE FROM jobsd.scheduled_executions RETURNING job_id, priority, queue_name)
INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
SELECT job_id, nextval('jobsd.jobs_id_seq'), priority, queue_name
FROM gone
"""
_LONG_DONE = """
INSERT INTO jobsd.jobs (queue_name, class_name, arguments, finished_at, outcome)
SELECT 'default', %s, '[]', now(), 'finished'
FROM generate_series(1, %s)
"""


@pytest.mark.parametrize("sparse", [False, True])
def test_a_scout_finds_every_job_that_it_can_run_where_that_has_its_place(
    make_worker: MakeWorker, session: Session, count: Count, *, sparse: bool
) -> None:
    note.using(wait=3600).enqueue("was scheduled")
    for turn in range(5):
        if sparse:
            session.connection.execute(_LONG_DONE, (note.definition.name, 1500))
        _fill(session, many=300)
        note.using(priority=1).enqueue(f"less urgent {turn}")
        if turn == 2:
            session.connection.execute(_ELSEWHERE.encode())
    if sparse:
        session.connection.execute(_LONG_DONE, (note.definition.name, 1500))
    note.enqueue("behind")
    driven = make_worker(threads=1)  # which run them in the order of their claims

    with _no_gap_is_cleared():
        driven.until(lambda: len(noted) >= 2)
    before = count("parked_executions")
    driven.until(lambda: not count("ready_executions") and driven.at_rest())

    assert noted == ["was scheduled", "behind", *(f"less urgent {turn}" for turn in range(5))]
    assert before < 1500
    assert count("parked_executions") == 1500
