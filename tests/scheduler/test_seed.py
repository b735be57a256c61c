"""The four steps to a new recurring job, as the original's document has them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from jobsd.configuration.flags import Flags
from jobsd.configuration.load import load
from jobsd.jobs import registry
from jobsd.recurring.tasks import RecurringTask

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.configuration.options import Options
    from rows import Rows

    from .conftest import MakeScheduler

JOB = """
from jobsd.jobs.definition import Job


class DailyCleanupJob(Job):
    queue = "default"
    done = 0

    def perform(self):
        type(self).done += 1
"""

RECURRING = """
production:
  daily_cleanup:
    class: DailyCleanupJob
    schedule: at 3am every day
"""


@pytest.fixture
def production(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    """A project with the job's module and its section of recurring.yml."""
    (tmp_path / "daily_cleanup_job.py").write_text(JOB)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "recurring.yml").write_text(RECURRING)
    (tmp_path / "config" / "queue.yml").write_text("import: [daily_cleanup_job]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return load(tmp_path, {"JOBSD_ENV": "production"}, Flags())


def test_a_new_recurring_job_takes_four_steps(
    production: Options, make_scheduler: MakeScheduler, rows: Rows
) -> None:
    registry.load_modules(production.imports, production.root)
    cleanup = registry.get("DailyCleanupJob")
    make_scheduler(*production.tasks, options=production.scheduler).poll()

    cleanup.perform()
    task = RecurringTask.find_by(name="daily_cleanup")

    assert task is not None
    assert (task.class_name, task.schedule, task.static) == (
        "DailyCleanupJob",
        "at 3am every day",
        True,
    )
    assert task.source == "config/recurring.yml:3"
    task.run_now()
    assert rows("SELECT class_name, queue_name FROM jobsd.jobs") == [
        ("DailyCleanupJob", "default")
    ]


def test_another_environment_does_not_have_the_task(production: Options) -> None:
    elsewhere = load(production.root, {"JOBSD_ENV": "staging"}, Flags())

    assert [task.key for task in elsewhere.tasks] == []
