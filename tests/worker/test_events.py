"""Each transition of a job is an event with its facts, and a poll in vain is none."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from harness.event_recorder import Emitted, EventRecorder, names
from jobsd.enqueueing.client import enqueue_many
from jobsd.events import events
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.policy import Discard, Retry, Snooze

if TYPE_CHECKING:
    from jobsd.database.connection import Session

    from .conftest import Count, MakeWorker

pytestmark = pytest.mark.behaviour(88)


@pytest.fixture
def emitted(recorder: EventRecorder) -> Emitted:
    """What is emitted of jobs."""
    return recorder.events("job.", "jobs.")


@job(queue="mail", max_attempts=2, discard_on=LookupError)
def act(what: str) -> None:
    match what:
        case "retry":
            raise Retry(after=3600)
        case "snooze":
            raise Snooze(3600)
        case "discard":
            raise Discard("nobody needs it")
        case "gone":
            raise LookupError(what)
        case "fail":
            raise ValueError(what)
        case _:
            pass


@job(limits_concurrency=Limit(to=1, key="k"))
def wait_its_turn() -> None: ...


@job(limits_concurrency=Limit(to=1, key="d", on_conflict="discard"))
def be_the_only_one() -> None: ...


def test_each_step_of_a_job_that_succeeds_is_an_event(
    make_worker: MakeWorker, emitted: Emitted, count: Count
) -> None:
    stored = act.enqueue("pass")
    make_worker().until(lambda: count("jobs WHERE finished_at IS NOT NULL"))

    facts = {"job_id": stored.id, "class_name": f"{__name__}.act", "queue_name": "mail"}
    order, by_name = names(emitted), dict(emitted)
    # The job's thread may begin before its claim is emitted of.
    assert sorted(order[1:3]) == ["job.started", "jobs.claimed"]
    assert [order[0], *order[3:]] == ["job.enqueued", "job.finished"]
    created_at = stored.created_at.isoformat() if stored.created_at else ""
    assert by_name["job.enqueued"] == {**facts, "state": "ready", "created_at": created_at}
    assert by_name["jobs.claimed"]["job_ids"] == [stored.id]
    assert by_name["job.started"] == {**facts, "attempt": 1}
    assert facts.items() <= by_name["job.finished"].items()
    assert by_name["job.finished"]["duration"] >= 0


def test_a_start_is_emitted_in_the_thread_of_the_job_and_its_end_in_that_of_the_worker(
    make_worker: MakeWorker,
) -> None:
    threads: dict[str, str] = {}
    end = events.subscribe(
        lambda event, _: threads.update({event.name: threading.current_thread().name}),
        names=("job.started", "job.finished"),
    )

    act.enqueue("pass")
    make_worker().until(lambda: "job.finished" in threads)
    end()

    assert threads["job.started"].startswith("job-")
    assert threads["job.finished"] == threading.current_thread().name


@pytest.mark.parametrize(
    ("what", "event", "fact"),
    [
        ("retry", "job.retried", "retry_in"),
        ("snooze", "job.snoozed", "retry_in"),
        ("discard", "job.discarded", "reason"),
        ("fail", "job.retried", "error"),
    ],
)
def test_each_other_outcome_of_a_job_is_an_event(
    what: str, event: str, fact: str, make_worker: MakeWorker, emitted: Emitted
) -> None:
    stored = act.enqueue(what)
    make_worker().until(lambda: event in names(emitted))

    (facts,) = [facts for name, facts in emitted if name == event]
    assert (facts["job_id"], facts["attempt"]) == (stored.id, 1)
    assert fact in facts


@pytest.mark.parametrize(
    ("what", "reason"), [("discard", "nobody needs it"), ("gone", "LookupError: gone")]
)
def test_the_event_of_a_discarded_job_has_its_reason(
    what: str, reason: str, make_worker: MakeWorker, emitted: Emitted
) -> None:
    act.enqueue(what)
    make_worker().until(lambda: "job.discarded" in names(emitted))

    assert emitted[-1][1]["reason"] == reason


def test_polling_in_vain_is_no_event(make_worker: MakeWorker, emitted: Emitted) -> None:
    driven = make_worker()

    for _ in range(20):
        driven.worker.poll()

    assert emitted == []


def test_a_job_for_later_is_emitted_as_scheduled(
    make_worker: MakeWorker, emitted: Emitted
) -> None:
    make_worker()

    act.using(wait=3600).enqueue("pass")

    assert [(name, facts["state"]) for name, facts in emitted] == [
        ("job.enqueued", "scheduled")
    ]


def test_jobs_that_are_met_without_a_free_slot_are_an_event(
    make_worker: MakeWorker, emitted: Emitted, session: Session
) -> None:
    wait_its_turn.enqueue()
    session.connection.execute(
        "INSERT INTO jobsd.claims (process_id, concurrency_key, slot, job_ids)"
        " SELECT -1, concurrency_key, 1, ARRAY[-1] FROM jobsd.blocked_executions"
    )

    make_worker().until(lambda: ("jobs.blocked", {"size": 1}) in emitted)


def test_a_job_that_may_not_wait_is_emitted_as_discarded(
    make_worker: MakeWorker, emitted: Emitted
) -> None:
    make_worker()
    be_the_only_one.enqueue()

    be_the_only_one.enqueue()

    name, facts = emitted[-1]
    assert (name, facts["reason"]) == ("job.discarded", "conflict")


def test_many_at_once_are_one_event(make_worker: MakeWorker, emitted: Emitted) -> None:
    make_worker()

    enqueue_many(each.with_args() for each in [be_the_only_one] * 3)

    assert emitted == [
        ("jobs.enqueued", {"size": 1}),
        ("jobs.discarded", {"size": 2, "reason": "conflict"}),
    ]


def test_a_hand_over_is_an_event(
    make_worker: MakeWorker, emitted: Emitted, count: Count
) -> None:
    wait_its_turn.enqueue()
    wait_its_turn.enqueue()

    make_worker().until(lambda: count("jobs WHERE finished_at IS NOT NULL") == 2)

    assert ("jobs.unblocked", {"size": 1}) in emitted


@pytest.mark.parametrize(("slow_after_s", "lines"), [(0.0, 1), (3600.0, 0), (None, 0)])
def test_a_job_that_is_late_or_slow_by_choice_is_an_event(
    make_worker: MakeWorker,
    emitted: Emitted,
    count: Count,
    slow_after_s: float | None,
    lines: int,
) -> None:
    act.enqueue("pass")

    make_worker(slow_after_s=slow_after_s).until(
        lambda: count("jobs WHERE finished_at IS NOT NULL")
    )

    slow = [facts for name, facts in emitted if name == "job.slow"]
    assert len(slow) == lines
    assert all(facts["waited"] >= 0 and facts["duration"] >= 0 for facts in slow)
