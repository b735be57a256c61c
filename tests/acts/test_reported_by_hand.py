"""What is done to jobs and queues by hand is told, with its facts, and once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enqueueing.placed import block, enqueue, fail
from jobsd.acts import discards, moves, queues, retention, retries
from jobsd.enqueueing import client
from jobsd.events import events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.event_recorder import Emitted, EventRecorder
    from jobsd.database.connection import Session, Target

pytestmark = pytest.mark.behaviour(88)


@pytest.fixture
def reported(target: Target, recorder: EventRecorder) -> Iterator[Emitted]:
    """All events but those of enqueues."""
    client.configure(client=client.Client(target))
    yield recorder.events(*(name for name in events.EVENTS if "enqueued" not in name))
    client.configure()


def test_a_retry_is_reported_with_the_jobs(reported: Emitted, session: Session) -> None:
    jobs = [enqueue(), enqueue()]
    fail(session, *jobs)

    retries.retry_all()

    assert reported == [("jobs.retried", {"size": 2, "job_ids": jobs})]


def test_a_discard_is_reported_with_the_jobs_and_how_many_it_unblocks(
    reported: Emitted, session: Session
) -> None:
    first, second = enqueue(key="a"), enqueue(key="a")
    block(session, second)

    discards.discard(first)

    assert sorted(reported, key=lambda each: each[0]) == [
        ("jobs.discarded", {"size": 1, "job_ids": [first]}),
        ("jobs.unblocked", {"size": 1}),
    ]


@pytest.mark.parametrize("act", ["expire", "clear", "move"])
def test_an_act_on_the_first_job_of_a_key_reports_how_many_it_unblocks(
    reported: Emitted, session: Session, act: str
) -> None:
    first, second = enqueue(key="a"), enqueue(key="a")
    block(session, second)

    if act == "clear":
        queues.clear("mail")
    elif act == "move":
        list(moves.batches(session, [first], None, 5))
    else:
        discards.expire(session, [first], keep=True)

    assert ("jobs.unblocked", {"size": 1}) in reported


def test_a_pause_and_a_resume_are_reported_with_queue_reason_and_author(
    reported: Emitted,
) -> None:
    queues.pause("mail", "moving", by="me@here")
    queues.resume("mail")
    queues.resume("mail")

    assert reported == [
        ("queue.paused", {"queue_name": "mail", "reason": "moving", "by": "me@here"}),
        ("queue.resumed", {"queue_name": "mail"}),
    ]


def test_a_clearing_is_reported_with_its_size(reported: Emitted) -> None:
    enqueue()
    enqueue()

    queues.clear("mail")

    assert reported == [("queue.cleared", {"queue_name": "mail", "size": 2})]


def test_the_clearing_of_finished_jobs_is_reported(reported: Emitted, session: Session) -> None:
    enqueue()
    queues.clear("mail")
    session.connection.execute("UPDATE jobsd.jobs SET finished_at = now() - interval '2 d'")
    reported.clear()

    retention.clear_finished_in_batches()

    assert reported == [("jobs.cleared", {"jobs": 1, "class_name": None})]
