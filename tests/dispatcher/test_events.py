"""What a dispatcher has done is an event, and a poll in vain is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobsd.instruments import events
from jobsd.jobs.definition import job
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    wait_until(
        lambda: [name for name, _ in emitted if name == "jobs.dispatched"],
        between=dispatcher.poll,
    )

    assert emitted[-1] == ("jobs.dispatched", {"size": 1})
    assert [name for name, _ in emitted] == ["job.enqueued", "jobs.dispatched"]
