"""Which recurring tasks a virtual clock runs, and when it leaves a run out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from jobsd import job
from jobsd.acts import queues
from jobsd.jobs import registry
from jobsd.recurring.definition import TaskDefinition

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.testing import VirtualClock


@pytest.mark.parametrize(("overlap", "enqueued"), [("allow", 3), ("skip", 1)])
def test_a_run_with_a_waiting_predecessor_is_skipped_only_with_overlap_skip(
    jobs_clock: VirtualClock, overlap: str, enqueued: int
) -> None:
    hourly = TaskDefinition(
        key="hourly",
        phrase="every hour",
        class_name="kit.welcome",
        arguments_json="[7]",
        overlap=overlap,
    )
    jobs_clock.tasks.use(hourly)
    queues.pause("mail")

    jobs_clock.advance("3h")

    assert len(jobs_clock.jobs) == enqueued


def test_a_task_that_never_runs_again_has_no_more_instants(jobs_clock: VirtualClock) -> None:
    ended = TaskDefinition(
        key="ended",
        phrase="0 0 29 2 * UTC",
        class_name="kit.welcome",
        arguments_json="[7]",
    )
    last = datetime(9996, 2, 29, tzinfo=UTC)

    instants = jobs_clock.tasks.instants(ended, last, datetime.max.replace(tzinfo=UTC))

    assert [*instants] == []


def test_the_tasks_of_the_chosen_environment_are_read(
    jobs_clock: VirtualClock, tmp_path: Path
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/recurring.yml").write_text(
        "staging: {hourly: {class: kit.welcome, args: [1], schedule: every hour}}\n"
        "test: {daily: {class: kit.welcome, args: [1], schedule: every day}}\n"
    )

    (tmp_path / "config/queue.yml").write_text("staging: {time_zone: Europe/Paris}\n")

    jobs_clock.tasks.read(tmp_path, environment="staging")

    assert [task.key for task in jobs_clock.tasks.definitions] == ["hourly"]
    assert jobs_clock.tasks.zone.key == "Europe/Paris"


def test_the_tasks_of_the_code_are_read(
    jobs_clock: VirtualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        registry, "_definitions", {each.name: each for each in registry.definitions()}
    )

    @job(schedule="every hour", schedule_key="of_code", queue="mail")
    def hourly() -> None: ...

    jobs_clock.tasks.read(tmp_path)
    jobs_clock.advance("1h")

    assert [each.class_name for each in jobs_clock.jobs] == [hourly.definition.name]


def test_a_task_of_the_start_runs_once_however_often_the_clock_is_advanced(
    jobs_clock: VirtualClock,
) -> None:
    hourly = TaskDefinition(
        key="hourly",
        phrase="every hour",
        class_name="kit.welcome",
        arguments_json="[7]",
        run_at_start=True,
    )
    jobs_clock.tasks.use(hourly)

    for _ in range(2):
        jobs_clock.advance("1h")

    assert len(jobs_clock.jobs) == 3
