"""What a dispatcher has done is an event, and a poll in vain is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.event_recorder import Emitted, EventRecorder, names
from jobsd.jobs.definition import job
from waiting import wait_until

if TYPE_CHECKING:
    from .conftest import Make

pytestmark = pytest.mark.behaviour(88)


@job
def nothing() -> None: ...


@pytest.fixture
def emitted(recorder: EventRecorder) -> Emitted:
    return recorder.events()


def test_only_dispatched_jobs_emit_an_event(make: Make, emitted: Emitted) -> None:
    dispatcher, _ = make()
    dispatcher.connect()
    for _ in range(5):
        dispatcher.poll()
    nothing.using(wait=0.05).enqueue()

    wait_until(
        lambda: "jobs.dispatched" in names(emitted),
        between=dispatcher.poll,
    )

    assert emitted[-1] == ("jobs.dispatched", {"size": 1})
    assert names(emitted) == ["job.enqueued", "jobs.dispatched"]
