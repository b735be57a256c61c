"""A project in a folder of its own, on tables that are empty, and its commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.project import Project
from system.commands import Commands

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.database.connection import Target

JOBS = '''
"""The jobs of the project under test."""
import logging, sys
from jobsd import job, Job

@job(queue="mail", max_attempts=3)
def welcome(user_id: int, *, polite: bool = True) -> None:
    print(f"welcome {user_id}", flush=True)
    logging.getLogger(__name__).info("greeted")

@job
def fail() -> None:
    raise ValueError("told to fail")

@job
def leave() -> None:
    sys.exit(3)

class DailyCleanupJob(Job):
    def perform(self) -> None:
        print("cleaned up", flush=True)
'''


@pytest.fixture
def project(tmp_path: Path, target: Target) -> Project:
    """A project with a few jobs, and no recurring tasks."""
    made = Project(tmp_path, target.url)
    made.write("shop_jobs.py", JOBS)
    made.write("config/queue.yml", "import: [shop_jobs]\n")
    return made


@pytest.fixture
def run(project: Project) -> Commands:
    """The project's commands."""
    return Commands(project)


@pytest.fixture
def daily(run: Commands) -> Commands:
    """The commands, with a recurring task that was made by one."""
    made = ("daily", "--class", "DailyCleanupJob", "--schedule", "at 3am every day")
    assert run("recurring", "add", *made).stdout == "daily\n"
    return run
