"""What a dispatcher has done is an event, and a poll in vain is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobsd.instruments import events
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session

    from .conftest import Make

pytestmark = pytest.mark.behaviour(88)


@job
def nothing() -> None: ...


@pytest.fixture
def emitted() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    heard: list[tuple[str, dict[str, Any]]] = []
    end = events.subscribe(lambda event, facts: heard.append((event.name, facts)))
    yield heard
    end()


def test_only_what_was_dispatched_is_an_event(
    make: Make, emitted: list[tuple[str, dict[str, Any]]]
) -> None:
    dispatcher, _ = make()
    dispatcher.connect()
    for _ in range(5):
        dispatcher.poll()
    nothing.using(wait=0.05).enqueue()

    while not [name for name, _ in emitted if name == "jobs.dispatched"]:
        dispatcher.poll()

    assert emitted[-1] == ("jobs.dispatched", {"size": 1})
    assert [name for name, _ in emitted] == ["job.enqueued", "jobs.dispatched"]


@job(limits_concurrency=Limit(duration="1s"))
def alone() -> None: ...


def test_a_slot_that_was_left_behind_is_an_event_with_key_and_job(
    make: Make, emitted: list[tuple[str, dict[str, Any]]], session: Session
) -> None:
    dispatcher, _ = make()
    alone.enqueue()
    key = f"{__name__}.alone"
    # As the version before wrote it: slots that are claims can't be left behind.
    session.connection.execute(
        "INSERT INTO jobsd.concurrency_slots (job_id, number, key, created_at, duration)"
        " VALUES (-1, 1, %s, now() - interval '2 s', '1 s')",
        (key,),
    )
    emitted.clear()

    while dispatcher.poll() <= 0:
        pass

    facts = {"size": 1, "concurrency_keys": [key], "job_ids": [-1]}
    assert emitted == [("slots.freed", facts)]
