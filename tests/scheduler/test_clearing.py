"""Jobs that are gone, cleared or never kept, are not run a second time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.event_recorder import Emitted, names
from harness.project import Project
from jobsd.acts import retention
from waiting import wait_until

from .conftest import RUNS, hourly, task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobsd.database.connection import Session, Target
    from rows import Rows

    from .conftest import MakeScheduler

QUEUE = """
workers: [{threads: 2}]
scheduler: {}
jobs: {preserve_finished_jobs: false}
"""
RECURRING = """
beat: {class: HeartbeatJob, schedule: every second, on_missed: all}
"""


def _clear(session: Session) -> None:
    """Clear all finished jobs, as the command does."""
    session.connection.execute(
        "UPDATE jobsd.jobs SET finished_at = now() - interval '1 hour', outcome = 'finished'"
    )
    session.connection.execute("DELETE FROM jobsd.ready_executions")
    assert retention.clear_finished_in_batches(session=session, older_than="1m") > 0


def _not_kept(session: Session) -> None:
    """Remove the jobs, as workers do with `preserve_finished_jobs: false`."""
    session.connection.execute("DELETE FROM jobsd.ready_executions")
    session.connection.execute("DELETE FROM jobsd.jobs")


@pytest.mark.parametrize("go", [_clear, _not_kept])
def test_an_instant_with_a_deleted_job_is_taken(
    make_scheduler: MakeScheduler,
    rows: Rows,
    emitted: Emitted,
    session: Session,
    go: Callable[[Session], None],
) -> None:
    slow, quick = make_scheduler(task(on_missed="all")), make_scheduler(task(on_missed="all"))
    slow.poll()
    (own,) = rows(RUNS)  # a second may have begun meanwhile, and does below
    quick.until(lambda: rows(RUNS)[0] >= own + 2)
    history = "SELECT run_at, job_id FROM jobsd.recurring_executions ORDER BY run_at"
    before = rows(history)

    go(session)
    slow.poll()

    assert names(emitted).count("recurring.taken") >= 2
    after = rows(history)
    assert after[: len(before)] == before
    assert rows("SELECT count(*) FROM jobsd.jobs") == [len(after) - len(before)]


@pytest.mark.parametrize("go", [_clear, _not_kept])
def test_a_restart_does_not_repeat_a_run_with_a_deleted_job(
    make_scheduler: MakeScheduler, rows: Rows, session: Session, go: Callable[[Session], None]
) -> None:
    each_hour = task(phrase=hourly(), on_missed="all")
    before = make_scheduler(each_hour)
    before.poll()
    rows(
        "UPDATE jobsd.recurring_tasks SET planned_from = now() - interval '2 hours',"
        " updated_at = now()"
    )
    before.check()
    runs = rows(RUNS)
    before.end()

    go(session)
    make_scheduler(each_hour).poll()

    assert (runs, rows(RUNS)) == ([2], [2])
    assert rows("SELECT count(*) FROM jobsd.jobs") == [0]


def test_two_trees_that_keep_no_jobs_run_each_instant_once(
    tmp_path: Path, target: Target, rows: Rows
) -> None:
    project = Project(tmp_path, target.url)
    project.write("config/queue.yml", QUEUE)
    project.write("config/recurring.yml", RECURRING)
    beats = "SELECT count(*) FROM jobsd.heartbeat_logs"

    with project.start() as first, project.start() as second:
        wait_until(lambda: rows(beats)[0] >= 3)
        assert project.run("clear-finished", "--older-than", "0s").returncode == 0
        wait_until(lambda: rows(beats)[0] >= 6)
        for tree in (first, second):
            tree.process.terminate()
            assert tree.process.wait(15) == 0

    ready = rows("SELECT count(*) FROM jobsd.ready_executions")
    assert rows(beats)[0] == rows(RUNS)[0] - ready[0]
    assert rows("SELECT count(*) FROM jobsd.jobs") == ready
