"""Tasks that are made, switched and removed while a real tree runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.project import Project
from jobsd.clock import monotonic
from system.commands import Commands
from waiting import wait_until

from .conftest import RUNS

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.database.connection import Target
    from rows import Rows

QUEUE = """
workers: [{{threads: 1}}]
scheduler: {{polling_interval: {interval}}}
database: {{wakeups: {wakeups}}}
"""
RECURRING = """
# The shipped one.
yearly:
  class: HeartbeatJob
  schedule: every year
"""
BEAT = ("beat", "--class", "HeartbeatJob", "--schedule", "every second")


@pytest.mark.parametrize(("wakeups", "interval"), [("auto", 60), ("off", 1)])
def test_edits_are_seen_at_once_or_within_a_polling_interval(
    tmp_path: Path, target: Target, rows: Rows, wakeups: str, interval: float
) -> None:
    project = Project(tmp_path, target.url)
    project.write("config/queue.yml", QUEUE.format(wakeups=wakeups, interval=interval))
    project.write("config/recurring.yml", RECURRING)
    run = Commands(project)
    # The next instant comes within a second.
    within_s = 3.0 + interval if wakeups == "off" else 10.0

    with project.start() as tree:
        tree.wait_event("recurring.loaded")

        _edit(run, "add", *BEAT)
        wait_until(lambda: rows(RUNS)[0] >= 1, within_s, "a new task runs")

        _edit(run, "disable", "beat")
        _await_rest(rows, within_s)

        before = rows(RUNS)[0]
        _edit(run, "enable", "beat")
        wait_until(lambda: rows(RUNS)[0] > before, within_s, "it runs again")

        _edit(run, "remove", "beat")
        _edit(run, "add", *BEAT, "--queue", "other")
        other = "SELECT count(*) FROM jobsd.jobs WHERE queue_name = 'other'"
        wait_until(lambda: rows(other)[0] >= 1, within_s, "it runs as it was made anew")

        _edit(run, "remove", "beat")
        _await_rest(rows, within_s)


def _edit(run: Commands, *arguments: str) -> None:
    assert run("recurring", *arguments).returncode == 0


def _await_rest(rows: Rows, within_s: float) -> None:
    """Wait until two seconds have passed without a run; there were two instants in them."""
    end = monotonic() + within_s + 2.0
    last = "SELECT coalesce(now() - max(run_at) > interval '2.5 s', true)"
    wait_until(
        lambda: rows(f"{last} FROM jobsd.recurring_executions")[0],
        end - monotonic(),
        "it rests",
    )


def test_a_task_of_the_file_is_not_edited_and_its_line_is_named(
    tmp_path: Path, target: Target, rows: Rows
) -> None:
    project = Project(tmp_path, target.url)
    project.write("config/recurring.yml", RECURRING)
    run = Commands(project)

    with project.start() as tree:
        tree.wait_event("recurring.loaded")

        refused = run("recurring", "remove", "yearly")
        assert refused.returncode == 6
        assert "config/recurring.yml:3" in refused.stderr
        taken = run("recurring", "add", "yearly", *BEAT[1:])
        assert taken.returncode == 6
        assert "config/recurring.yml:3" in taken.stderr

    assert rows("SELECT schedule, enabled FROM jobsd.recurring_tasks") == [("every year", True)]
