"""Schedules in the code, in real trees: each start stores and removes its own, as a file's."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from harness.project import Project
from system.commands import Commands
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.tree import Tree

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

TASKS = "SELECT key, schedule, enabled FROM jobsd.recurring_tasks ORDER BY key"
RAN = "SELECT count(*) > 0 FROM jobsd.jobs WHERE class_name = 'trial_jobs.tick'"


def _code(**schedules: str) -> str:
    """Return a module with jobs of these names and schedules."""
    head = "from jobsd import job\n"
    jobs = (
        f"\n@job(schedule={phrase!r}, schedule_key={name!r})\ndef {name}(): ...\n"
        for name, phrase in schedules.items()
    )
    return head + "".join(jobs)


@pytest.fixture
def deploy(tmp_path: Path, empty_database: str) -> Callable[..., Project]:
    """Make the project of a deploy with these schedules, whose code is so many seconds old."""

    def made(name: str, age_s: int = 0, **schedules: str) -> Project:
        root = tmp_path / name
        root.mkdir()
        project = Project(root, empty_database)
        module = project.write("trial_jobs.py", _code(**schedules))
        changed = module.stat().st_mtime - age_s
        os.utime(module, (changed, changed))
        project.write("config/queue.yml", "import: [trial_jobs]\n")
        return project

    return made


def _wait_for(query: Query, tree: Tree, *rows: tuple[object, ...]) -> None:
    wait_until(lambda: query(TASKS) == [*rows], 30, tree.reported)


def test_a_job_with_a_schedule_runs_without_any_file(
    deploy: Callable[..., Project], query: Query
) -> None:
    project = deploy("one", tick="every second")
    with project.start() as tree:
        tree.wait_event("supervisor.ready")

        wait_until(lambda: query(RAN) == [(True,)], 30, tree.reported)

        [task] = Commands(project).json("recurring", "list")
    assert (task["key"], task["class_name"], task["static"]) == (
        "tick",
        "trial_jobs.tick",
        True,
    )
    assert task["source"] == "code trial_jobs.py:3"


@pytest.mark.parametrize("arguments", [["--skip-recurring"], ["--only", "worker,dispatcher"]])
def test_a_tree_without_a_scheduler_leaves_the_tasks_of_the_code_alone(
    deploy: Callable[..., Project], query: Query, arguments: list[str]
) -> None:
    with deploy("one", nightly="every day").start(*arguments) as tree:
        tree.wait_event("supervisor.ready")

        assert (query(TASKS), tree.children("scheduler")) == ([], [])


def test_a_reload_adds_changes_and_removes_the_tasks_of_the_code(
    deploy: Callable[..., Project], query: Query
) -> None:
    project = deploy("one", age_s=60, changed="every day", gone="every day")
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        _wait_for(query, tree, ("changed", "every day", True), ("gone", "every day", True))
        project.write("trial_jobs.py", _code(added="every week", changed="every month"))

        tree.process.send_signal(signal.SIGHUP)

        _wait_for(query, tree, ("added", "every week", True), ("changed", "every month", True))


@pytest.mark.failure(
    "A deploy's code can't be imported, at a start or a reload",
    "The recurring tasks of the code stay as they are.",
)
def test_a_failed_import_changes_no_task(deploy: Callable[..., Project], query: Query) -> None:
    project = deploy("one", nightly="every day")
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        _wait_for(query, tree, ("nightly", "every day", True))
        project.write("trial_jobs.py", _code(other="every week") + "1 / 0\n")

        tree.process.send_signal(signal.SIGHUP)
        tree.wait_event("supervisor.reload_failed")

        assert query(TASKS) == [("nightly", "every day", True)]

    assert project.run("start").returncode == 78
    assert query(TASKS) == [("nightly", "every day", True)]


@pytest.mark.failure(
    "In a rolling deploy the schedulers of two deploys know other schedules of the same jobs",
    "A task belongs to the newest code that has it; a task that only the old deploy has is"
    " removed once its scheduler is gone.",
)
def test_in_a_rollout_the_newest_code_counts(
    deploy: Callable[..., Project], query: Query
) -> None:
    old = deploy("old", age_s=60, shared="every day", gone="every day")
    new = deploy("new", shared="every week")
    with old.start("--only", "scheduler") as before:
        before.wait_event("supervisor.ready")
        _wait_for(query, before, ("gone", "every day", True), ("shared", "every day", True))
        with new.start("--only", "scheduler") as after:
            conflict = after.wait_event("recurring.conflict")
            _wait_for(query, after, ("gone", "every day", True), ("shared", "every week", True))
            before.terminate(signal.SIGTERM)
            _wait_for(query, after, ("shared", "every week", True))

    assert _named(conflict) == {
        "task": "shared",
        "source": "code trial_jobs.py:3",
        "other": "code trial_jobs.py:3",
        "wins": "code trial_jobs.py:3",
    }


def _named(conflict: dict[str, Any]) -> dict[str, Any]:
    return {name: conflict[name] for name in ("task", "source", "other", "wins")}


def test_an_entry_of_the_file_turns_a_task_of_the_code_off(
    deploy: Callable[..., Project], query: Query
) -> None:
    project = deploy("one", nightly="every day")
    project.write("config/recurring.yml", "nightly: {enabled: false}\n")
    with project.start() as tree:
        tree.wait_event("supervisor.ready")

        _wait_for(query, tree, ("nightly", "every day", False))
