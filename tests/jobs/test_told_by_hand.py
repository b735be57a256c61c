"""What is done to jobs and queues by hand is told, with its facts, and once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobs.placed import block, enqueue, fail
from jobsd.instruments import events
from jobsd.jobs import client, discards, failed, queues, retention

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session, Target

Told = list[tuple[str, dict[str, Any]]]

pytestmark = pytest.mark.behaviour(88)


@pytest.fixture
def told(target: Target) -> Iterator[Told]:
    """All events but those of enqueues."""
    client.configure(client=client.Client(target))
    heard: Told = []
    names = [name for name in events.EVENTS if "enqueued" not in name]
    end = events.subscribe(lambda event, facts: heard.append((event.name, facts)), names=names)
    yield heard
    end()
    client.configure()


def test_a_retry_is_told_with_the_jobs(told: Told, session: Session) -> None:
    jobs = [enqueue(), enqueue()]
    fail(session, *jobs)

    failed.retry_all()

    assert told == [("jobs.retried", {"size": 2, "job_ids": jobs})]


def test_a_discard_is_told_with_the_jobs_and_how_many_it_unblocks(
    told: Told, session: Session
) -> None:
    first, second = enqueue(key="a"), enqueue(key="a")
    block(session, second)

    discards.discard(first)

    assert sorted(told, key=lambda each: each[0]) == [
        ("jobs.discarded", {"size": 1, "job_ids": [first]}),
        ("jobs.unblocked", {"size": 1}),
    ]


def test_a_pause_and_a_resume_are_told_with_queue_reason_and_who(told: Told) -> None:
    queues.pause("mail", "moving", by="me@here")
    queues.resume("mail")
    queues.resume("mail")

    assert told == [
        ("queue.paused", {"queue_name": "mail", "reason": "moving", "by": "me@here"}),
        ("queue.resumed", {"queue_name": "mail"}),
    ]


def test_a_clearing_is_told_with_its_size(told: Told) -> None:
    enqueue()
    enqueue()

    queues.clear("mail")

    assert told == [("queue.cleared", {"queue_name": "mail", "size": 2})]


def test_the_clearing_of_what_has_finished_is_told(told: Told, session: Session) -> None:
    enqueue()
    queues.clear("mail")
    session.connection.execute("UPDATE jobsd.jobs SET finished_at = now() - interval '2 d'")
    told.clear()

    retention.clear_finished_in_batches()

    assert told == [("jobs.cleared", {"jobs": 1, "class_name": None})]
