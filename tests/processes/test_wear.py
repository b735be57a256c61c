"""When a process asks for a successor."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.instruments import events
from jobsd.jobs.policy import Ending
from jobsd.processes.board import Board
from jobsd.processes.wear import Wear

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.processes.slot import Slot


@pytest.fixture
def slot() -> Slot:
    slot = Board().slots[0]
    slot.take("worker", "worker-1")
    return slot


@pytest.fixture
def worn() -> Iterator[list[dict[str, Any]]]:
    heard: list[dict[str, Any]] = []
    end = events.subscribe(lambda _event, facts: heard.append(facts), names=["process.worn"])
    yield heard
    end()


def test_without_limits_nothing_wears_it_down(slot: Slot) -> None:
    slot.ended(1, 1)

    Wear(slot).look()

    assert not slot.wants_successor


def test_it_is_worn_by_so_many_jobs_however_they_ended(
    slot: Slot, worn: list[dict[str, Any]]
) -> None:
    wear = Wear(slot, max_jobs=2)
    slot.ended(1, 1)
    wear.look()
    assert not slot.wants_successor

    slot.ended_as(Ending(2, 1, "failed", 0.0, "ValueError"))
    wear.look()
    wear.look()

    assert slot.wants_successor
    assert worn == [{"limit": "max_jobs", "reached": 2}]


def test_it_is_worn_by_its_age(slot: Slot, worn: list[dict[str, Any]]) -> None:
    Wear(slot, max_age_s=3600).look()
    assert not slot.wants_successor

    Wear(slot, max_age_s=0.0).look()

    assert slot.wants_successor
    assert worn[0]["limit"] == "max_age"


def test_it_is_worn_by_more_memory_than_it_may_have(
    slot: Slot, worn: list[dict[str, Any]]
) -> None:
    slot.ended(1, 1)
    Wear(slot, max_memory=1 << 50).look()
    assert not slot.wants_successor

    Wear(slot, max_memory=1 << 20).look()

    assert slot.wants_successor
    assert worn[0]["reached"] > 1 << 20


@pytest.mark.failure(
    "a job leaks file descriptors, in a worker with `max_memory`",
    "the worker asks for a successor when it has none left to look at its memory with",
)
def test_it_is_worn_when_it_has_no_descriptor_left_to_look_with(
    slot: Slot, worn: list[dict[str, Any]]
) -> None:
    slot.ended(1, 1)
    wear = Wear(slot, max_memory=1 << 50)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        wear.look()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    assert slot.wants_successor
    assert worn == [{"limit": "descriptors", "reached": 3}]


def test_who_is_too_big_before_its_first_job_is_not_replaced(slot: Slot) -> None:
    Wear(slot, max_memory=1).look()

    assert not slot.wants_successor
