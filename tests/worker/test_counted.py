"""What becomes of jobs is counted, each outcome up, in the slot of the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.performing.perform import SUCCESS, Run
from jobsd.scoreboard.counters import OUTCOMES
from jobsd.scoreboard.entry import ScoreboardEntry
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.worker.report import Report

from .bodies import gate, note, noted, wait_for_gate

if TYPE_CHECKING:
    from harness.event_recorder import EventRecorder

    from .conftest import Count, Driven, MakeWorker


def counted(driven: Driven, queue: str = "default") -> dict[str, int]:
    """Return the counts of a queue that are not zero."""
    counters = driven.context.entry.queue(queue)
    return {name: count for name in OUTCOMES if (count := counters.outcome(name))}


def test_jobs_that_are_given_back_are_counted_as_released(
    make_worker: MakeWorker, count: Count
) -> None:
    wait_for_gate.enqueue()
    driven = make_worker(threads=1, prefetch=10)
    driven.until(lambda: noted)
    enqueue_many(note.with_args(i) for i in range(5))
    driven.until(lambda: count("claimed_executions") == 6)

    driven.worker.stop()
    driven.until(lambda: count("ready_executions") == 5)

    assert counted(driven) == {"released": 5}
    of_classes = [each.outcome("released") for each in driven.context.entry.classes()]
    assert of_classes == [5]
    gate.set()
    driven.until(lambda: driven.worker.stopped)
    assert counted(driven) == {"released": 5, "finished": 1}


def test_jobs_claimed_too_far_ahead_are_counted_as_one_event(
    make_worker: MakeWorker, count: Count, recorder: EventRecorder
) -> None:
    emitted = recorder.events("job.released", "jobs.released")
    enqueue_many([note.with_args(0)] * 200)
    driven = make_worker(threads=1)
    driven.until(lambda: not count("ready_executions"))
    enqueue_many([wait_for_gate.with_args(), *[note.with_args(i) for i in range(20)]])

    driven.until(lambda: counted(driven).get("released"))

    assert {name for name, _ in emitted} == {"jobs.released"}
    assert sum(facts["size"] for _, facts in emitted) == counted(driven)["released"]
    gate.set()


@pytest.fixture
def entry() -> ScoreboardEntry:
    made = Scoreboard().free_entry()
    assert made is not None
    made.take("worker", "worker-1")
    return made


def _run(queue: str, class_name: str, *, seconds: float) -> Run:
    job = ClaimedJob(1, 1, class_name, "[]", queue, 0, 1, 0.0, None, 0, 1)
    return Run(job, SUCCESS, 10.0, 10.0 + seconds)


@pytest.mark.parametrize(
    "pairs",
    [
        [("mail", "Welcome")] * 3,
        [("mail", "Welcome"), ("sms", "Welcome"), ("mail", "Welcome")],
        [("mail", "Welcome"), ("mail", "Goodbye"), ("mail", "Welcome")],
        [("mail", "Welcome"), ("sms", "Goodbye"), ("sms", "Welcome")],
        [],
    ],
    ids=["one", "two queues", "two classes", "two of both", "none"],
)
def test_jobs_that_end_together_count_for_their_queues_and_classes(
    entry: ScoreboardEntry, pairs: list[tuple[str, str]]
) -> None:
    runs = [_run(*pair, seconds=2.0**number) for number, pair in enumerate(pairs)]

    Report(entry).ended(runs)

    for at, counted in enumerate((list(entry.queues()), list(entry.classes()))):
        assert {each.name for each in counted} == {pair[at] for pair in pairs}
        for each in counted:
            own = [2.0**number for number, pair in enumerate(pairs) if pair[at] == each.name]
            assert each.outcome("finished") == len(own)
            assert (sum(each.durations()[0]), sum(each.waits()[0])) == (len(own), len(own))
            assert each.durations()[1] == pytest.approx(sum(own))
