"""Jobs that are gone, cleared or never kept, are not run a second time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.jobs import retention
from system.tree import Project, wait_for

from .conftest import HOURLY, RUNS, task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobsd.database.connection import Session, Target

    from .conftest import Ask, MakeScheduler, Told

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
def test_an_instant_whose_job_is_gone_is_taken(
    make_scheduler: MakeScheduler,
    ask: Ask,
    told: Told,
    session: Session,
    go: Callable[[Session], None],
) -> None:
    slow, quick = make_scheduler(task(on_missed="all")), make_scheduler(task(on_missed="all"))
    slow.poll()
    (own,) = ask(RUNS)  # a second may have begun meanwhile, and does below
    quick.until(lambda: ask(RUNS)[0] >= own + 2)
    history = "SELECT run_at, job_id FROM jobsd.recurring_executions ORDER BY run_at"
    before = ask(history)

    go(session)
    slow.poll()

    assert [name for name, _ in told].count("recurring.skipped") >= 2
    after = ask(history)
    assert after[: len(before)] == before
    assert ask("SELECT count(*) FROM jobsd.jobs") == [len(after) - len(before)]


@pytest.mark.parametrize("go", [_clear, _not_kept])
def test_a_restart_does_not_run_what_is_gone_again(
    make_scheduler: MakeScheduler, ask: Ask, session: Session, go: Callable[[Session], None]
) -> None:
    hourly = task(schedule=HOURLY, on_missed="all")
    before = make_scheduler(hourly)
    before.poll()
    ask(
        "UPDATE jobsd.recurring_tasks SET planned_from = now() - interval '2 hours',"
        " updated_at = now()"
    )
    before.look()
    runs = ask(RUNS)
    before.end()

    go(session)
    make_scheduler(hourly).poll()

    assert (runs, ask(RUNS)) == ([2], [2])
    assert ask("SELECT count(*) FROM jobsd.jobs") == [0]


def test_two_trees_that_keep_nothing_run_each_tick_once(
    tmp_path: Path, target: Target, ask: Ask
) -> None:
    project = Project(tmp_path, target.url)
    project.write("config/queue.yml", QUEUE)
    project.write("config/recurring.yml", RECURRING)
    beats = "SELECT count(*) FROM jobsd.heartbeat_logs"

    with project.start() as first, project.start() as second:
        wait_for(lambda: ask(beats)[0] >= 3)
        assert project.run("clear-finished", "--older-than", "0s").returncode == 0
        wait_for(lambda: ask(beats)[0] >= 6)
        for tree in (first, second):
            tree.process.terminate()
            assert tree.process.wait(15) == 0

    ready = ask("SELECT count(*) FROM jobsd.ready_executions")
    assert ask(beats)[0] == ask(RUNS)[0] - ready[0]
    assert ask("SELECT count(*) FROM jobsd.jobs") == ready
