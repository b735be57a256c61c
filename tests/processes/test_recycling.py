"""When a process asks for a successor."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.jobs.policy import Ending
from jobsd.processes.recycling import RecyclePolicy

if TYPE_CHECKING:
    from harness.event_recorder import EventRecorder
    from jobsd.scoreboard.entry import ScoreboardEntry


@pytest.fixture
def recycling(recorder: EventRecorder) -> list[dict[str, Any]]:
    return recorder.facts("process.recycling")


def test_without_limits_it_is_never_recycled(entry: ScoreboardEntry) -> None:
    entry.ended(1, 1)

    RecyclePolicy(entry).check()

    assert not entry.wants_recycling


def test_a_process_is_recycled_after_max_jobs_in_any_outcome(
    entry: ScoreboardEntry, recycling: list[dict[str, Any]]
) -> None:
    policy = RecyclePolicy(entry, max_jobs=2)
    entry.ended(1, 1)
    policy.check()
    assert not entry.wants_recycling

    entry.ended_as(Ending(2, 1, "failed", 0.0, "ValueError"))
    policy.check()
    policy.check()

    assert entry.wants_recycling
    assert recycling == [{"limit": "max_jobs", "reached": 2}]


def test_it_is_recycled_for_its_age(
    entry: ScoreboardEntry, recycling: list[dict[str, Any]]
) -> None:
    RecyclePolicy(entry, max_age_s=3600).check()
    assert not entry.wants_recycling

    RecyclePolicy(entry, max_age_s=0.0).check()

    assert entry.wants_recycling
    assert recycling[0]["limit"] == "max_age"


def test_it_is_recycled_for_more_memory_than_it_may_have(
    entry: ScoreboardEntry, recycling: list[dict[str, Any]]
) -> None:
    entry.ended(1, 1)
    RecyclePolicy(entry, max_memory=1 << 50).check()
    assert not entry.wants_recycling

    RecyclePolicy(entry, max_memory=1 << 20).check()

    assert entry.wants_recycling
    assert recycling[0]["reached"] > 1 << 20


@pytest.mark.failure(
    "a job leaks file descriptors, in a worker with `max_memory`",
    "the worker asks for a successor when it has no descriptor left with which to read its"
    " memory",
)
def test_it_is_recycled_when_it_has_no_descriptor_left_to_measure_with(
    entry: ScoreboardEntry, recycling: list[dict[str, Any]]
) -> None:
    entry.ended(1, 1)
    policy = RecyclePolicy(entry, max_memory=1 << 50)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        policy.check()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    assert entry.wants_recycling
    assert recycling == [{"limit": "descriptors", "reached": 3}]


def test_a_process_too_big_before_its_first_job_is_not_replaced(entry: ScoreboardEntry) -> None:
    RecyclePolicy(entry, max_memory=1).check()

    assert not entry.wants_recycling
