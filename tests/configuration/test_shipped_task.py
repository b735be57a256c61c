"""The shipped task of an application that has no recurring.yml."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.configuration.flags import Flags

if TYPE_CHECKING:
    from configuration.project import Project

SETUPS = ["jobsd.django.setup", "jobsd.flask.setup"]


@pytest.mark.parametrize("setup", SETUPS)
def test_an_application_without_a_file_clears_finished_jobs(
    project: Project, setup: str
) -> None:
    project.environ = {"JOBSD_IMPORT": setup}
    project.queue("time_zone: Europe/Lisbon")

    options = project.load()

    (task,) = options.tasks
    assert (task.key, task.command) == (
        "clear_finished",
        "jobsd.clear_finished_in_batches()",
    )
    assert (task.phrase, task.time_zone) == ("every hour at minute 12", "Europe/Lisbon")
    assert task.source == "shipped with jobsd"
    assert options.schedules
    [warning] = options.warnings
    assert warning == (
        "config/recurring.yml does not exist: recurring tasks come from the code alone, and"
        " clear_finished from jobsd"
    )


def test_an_empty_file_turns_the_shipped_task_off(project: Project) -> None:
    project.environ = {"JOBSD_IMPORT": SETUPS[0]}
    project.recurring("")

    assert project.load().tasks == ()


def test_skip_recurring_turns_the_shipped_task_off(project: Project) -> None:
    project.environ = {"JOBSD_IMPORT": SETUPS[0]}

    options = project.load(Flags(skip_recurring=True))

    assert (options.tasks, options.schedules) == ((), False)


def test_a_project_without_a_framework_has_no_shipped_task(project: Project) -> None:
    project.environ = {"JOBSD_IMPORT": "shop.jobs"}

    assert project.load().tasks == ()
