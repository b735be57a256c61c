"""Many jobs in a row that a worker can't run hold up nobody behind them."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.enqueueing.client import enqueue_many
from jobsd.processes import registry as processes
from jobsd.states import parked
from jobsd.worker.claiming.known_classes import KnownClasses
from waiting import wait_until

from .bodies import note, noted

if TYPE_CHECKING:
    from harness.event_recorder import EventRecorder
    from jobsd.database.connection import Session, Target
    from jobsd.jobs.claimed_job import ClaimedJob

    from .conftest import Count, MakeWorker

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
    """Let few be set aside at once, and another worker know what this one does not."""
    monkeypatch.setattr("jobsd.worker.claiming.known_classes.SET_ASIDE_MAX", 300)
    row = processes.register(session, kind="worker", name="other", supervisor_id=0, metadata={})
    parked.publish(session, row, ["*"], [GONE])


def _fill(
    session: Session,
    queue: str = "default",
    priority: int = 0,
    many: int = MANY,
    name: str = GONE,
) -> None:
    session.connection.execute(_FILL, (queue, name, priority, many))


@pytest.mark.parametrize("patterns", [("*",), ("default",), ("d*",)])
def test_many_unknown_jobs_before_one_are_set_aside_by_few_statements(
    make_worker: MakeWorker,
    session: Session,
    count: Count,
    monkeypatch: pytest.MonkeyPatch,
    patterns: tuple[str, ...],
) -> None:
    judged: list[int] = []
    judge = KnownClasses.judge

    def note_size(self: KnownClasses, jobs: list[ClaimedJob]) -> list[ClaimedJob]:
        judged.append(len(jobs))
        return judge(self, jobs)

    monkeypatch.setattr(KnownClasses, "judge", note_size)
    _fill(session)
    note.enqueue("behind")
    driven = make_worker(queues=patterns)

    driven.until(lambda: noted)
    driven.until(lambda: not count("ready_executions") and driven.at_rest())

    assert sum(judged) < MANY / 4
    assert count("parked_executions WHERE position = job_id AND lane = 'elsewhere.job'") == MANY
    assert count("jobs WHERE attempts > 0") == 1


def test_known_jobs_amid_unknown_ones_keep_their_places(
    make_worker: MakeWorker, session: Session, count: Count, recorder: EventRecorder
) -> None:
    for turn in range(5):
        _fill(session, many=300)
        note.using(priority=1).enqueue(f"less urgent {turn}")
        note.enqueue(turn)
    unknown = recorder.facts("job.unknown")
    driven = make_worker(threads=1)  # which run them in the order of their claims

    driven.until(lambda: len(noted) == 10)

    assert noted == [*range(5), *(f"less urgent {turn}" for turn in range(5))]
    driven.until(lambda: count("parked_executions") == 1500)
    assert [facts["class_name"] for facts in unknown] == [GONE]


def test_a_class_that_was_met_amid_many_others_alone_is_noted(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    _fill(session)
    _fill(session, name="elsewhere.other", many=10)
    driven = make_worker(unknown_class_after_s=3600)

    driven.until(lambda: count("parked_executions") == MANY + 10)

    assert count("lanes WHERE lane = 'elsewhere.other'") == 1


def test_sweeps_do_not_touch_parked_jobs_again(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    _fill(session)
    driven = make_worker()
    driven.until(lambda: not count("ready_executions") and driven.at_rest())
    versions = "SELECT string_agg(xmin::text, ',' ORDER BY job_id) FROM jobsd.parked_executions"
    before = session.connection.execute(versions.encode()).fetchone()

    for turn in range(3):
        driven.worker.claiming.cursor.swept_at = (
            driven.worker.claiming.cursor.sweep_allowed_at
        ) = 0.0
        note.enqueue(turn)
        driven.until(lambda: len(noted) > turn and driven.at_rest())  # noqa: B023 - at once

    assert session.connection.execute(versions.encode()).fetchone() == before
    assert count("parked_executions") == MANY


@pytest.mark.failure(
    "A job commits late, or is released, amid a million jobs that its worker can't run.",
    "It runs with the next search of its queue: only the jobs around it are set aside",
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


def test_more_urgent_jobs_and_other_queues_go_before_and_behind_unknown_ones(
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


def test_unknown_jobs_of_a_paused_queue_stay_ready(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    _fill(session, "paused")
    session.connection.execute("INSERT INTO jobsd.pauses (queue_name) VALUES ('paused')")
    note.enqueue("behind")
    driven = make_worker()

    driven.until(lambda: noted)
    driven.until(driven.at_rest)

    assert count("ready_executions WHERE queue_name = 'paused'") == MANY


def test_two_workers_set_each_unknown_job_aside_once(
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
