"""Which tasks the code has, beside those of a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from jobsd import job
from jobsd.jobs import registry
from jobsd.recurring.code_tasks import file_of, is_of_code, with_code_tasks
from jobsd.recurring.definition import SHIPPED, TaskDefinition

HERE = Path(__file__)


@pytest.fixture(autouse=True)
def _nightly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know a job with a schedule, for one test."""
    monkeypatch.setattr(
        registry, "_definitions", {each.name: each for each in registry.definitions()}
    )

    @job(schedule="every day at 3am", schedule_args=[7], schedule_key="nightly", name="sweep")
    def sweep(days: int) -> None:
        del days


def _of_file(key: str = "nightly", *, class_name: str | None = "sweep") -> TaskDefinition:
    return TaskDefinition(
        key=key,
        phrase="every hour" if class_name else "",
        class_name=class_name,
        enabled=class_name is not None,
        source="config/recurring.yml:1",
    )


def test_a_job_with_a_schedule_is_a_task_in_the_zone_of_the_configuration() -> None:
    [task] = with_code_tasks((), "Europe/Madrid", HERE.parent)

    assert (task.key, task.phrase, task.time_zone) == (
        "nightly",
        "every day at 3am",
        "Europe/Madrid",
    )
    assert (task.class_name, task.arguments_json, task.enabled) == ("sweep", "[7]", True)


def test_the_source_of_a_code_task_names_the_file_below_the_project() -> None:
    [below] = with_code_tasks((), "UTC", HERE.parent)
    [beside] = with_code_tasks((), "UTC", HERE.parent / "other")

    assert str(below.source).startswith(f"code {HERE.name}:")
    assert file_of(str(beside.source)) == HERE
    assert is_of_code(below)


def test_an_entry_of_the_file_with_the_same_key_wins_whole() -> None:
    mine = _of_file()

    assert with_code_tasks([mine], "UTC", HERE.parent) == (mine,)


def test_a_shipped_task_gives_way_to_the_code() -> None:
    [task] = with_code_tasks([replace(_of_file(), source=SHIPPED)], "UTC", HERE.parent)

    assert is_of_code(task)


def test_other_entries_of_the_file_stay_beside_the_code() -> None:
    tasks = with_code_tasks([_of_file("other")], "UTC", HERE.parent)

    assert [task.key for task in tasks] == ["other", "nightly"]


def test_an_entry_that_only_turns_off_disables_the_task_of_the_code() -> None:
    [task] = with_code_tasks([_of_file(class_name=None)], "UTC", HERE.parent)

    assert (task.phrase, task.class_name, task.enabled) == ("every day at 3am", "sweep", False)
    assert task.source == "config/recurring.yml:1"


def test_an_entry_that_turns_off_no_task_stays_as_it_is() -> None:
    off = _of_file("misspelt", class_name=None)

    assert off in with_code_tasks([off], "UTC", HERE.parent)
    assert off.is_switch
