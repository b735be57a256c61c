"""Stopping is bounded, leaves no trace, and gives back what ran."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from system.jobs import enqueue, enqueue_many, ledger
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project
    from harness.tree import Tree

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system


def _start_slow_job(project: Project, tree: Tree, name: str = "slow") -> None:
    tree.wait_event("supervisor.ready")
    enqueued = project.run("enqueue", f"trial_jobs.{name}")
    assert enqueued.returncode == 0, enqueued.stderr
    wait_until((project.root / "ledger").exists, what=tree.reported)


def _nothing_is_left(tree: Tree, query: Query) -> None:
    assert tree.alive() == []
    assert query("SELECT kind FROM jobsd.processes") == []
    assert query("SELECT FROM jobsd.claims") == []
    assert query("SELECT FROM jobsd.sleepers") == []


@pytest.mark.behaviour(17)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_tree_stops_at_once(
    project: Project, query: Query, number: signal.Signals
) -> None:
    with project.start() as tree:
        tree.wait_event("supervisor.ready")

        seconds = tree.terminate(number)

        tree.assert_clean_exit()
        assert seconds < 2, tree.reported()
        _nothing_is_left(tree, query)


@pytest.mark.failure(
    "TERM with a job that runs longer than `shutdown_timeout`",
    "the tree ends within the timeout and a second; the job is ready again, without an "
    "attempt, once its process is gone; the others have finished",
)
@pytest.mark.behaviour(18)
def test_a_long_job_goes_back_to_ready_within_the_timeout_and_a_second(
    project: Project, query: Query
) -> None:
    project.write(
        "config/queue.yml", "import: [trial_jobs]\nsupervisor: {shutdown_timeout: 2}\n"
    )
    with project.start() as tree:
        _start_slow_job(project, tree)
        short = enqueue(query, "until_told_to_stop", 1)
        wait_until(lambda: "start 1" in ledger(project), what=tree.reported)

        seconds = tree.terminate()

        tree.assert_clean_exit()
        assert 2 <= seconds < 3, tree.reported()
        _nothing_is_left(tree, query)
    assert query(
        "SELECT attempts, started_at, finished_at FROM jobsd.jobs JOIN jobsd.ready_executions"
        " ON job_id = id"
    ) == [(0, None, None)]
    assert query("SELECT id, attempts FROM jobsd.jobs WHERE outcome = 'finished'") == [
        (short, 1)
    ]


@pytest.mark.failure(
    "TERM or INT while short jobs run",
    "the jobs end, and each is recorded once; the exit status is 0; no process, row or claim"
    " is left",
)
@pytest.mark.behaviour(17, 90)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_short_jobs_have_ended_once_when_the_tree_has_stopped(
    project: Project, query: Query, number: signal.Signals
) -> None:
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        enqueue_many(query, "until_told_to_stop", [(n,) for n in range(3)])
        wait_until(lambda: len(ledger(project)) == 3, what=tree.reported)

        tree.terminate(number)

        tree.assert_clean_exit()
        _nothing_is_left(tree, query)
    assert sorted(ledger(project)) == [
        f"{word} {n}" for word in ("end", "start") for n in range(3)
    ]
    assert query("SELECT outcome, attempts FROM jobsd.jobs") == [("finished", 1)] * 3


@pytest.mark.failure(
    "QUIT",
    "everything ends within a second; the jobs that ran are ready again",
)
@pytest.mark.behaviour(19)
def test_quit_ends_everything_at_once_and_gives_back_what_ran(
    project: Project, query: Query
) -> None:
    with project.start() as tree:
        _start_slow_job(project, tree)

        seconds = tree.terminate(signal.SIGQUIT)

        tree.assert_clean_exit()
        assert seconds < 1, tree.reported()
        _nothing_is_left(tree, query)
    assert len(query("SELECT FROM jobsd.ready_executions")) == 1


@pytest.mark.failure(
    "QUIT while the tree drains",
    "the drain is cut short: the tree ends within a second",
)
@pytest.mark.behaviour(21)
def test_quit_while_it_drains_does_not_wait_for_the_timeout(
    project: Project, query: Query
) -> None:
    project.write(
        "config/queue.yml", "import: [trial_jobs]\nsupervisor: {shutdown_timeout: 30}\n"
    )
    with project.start() as tree:
        _start_slow_job(project, tree)
        tree.process.send_signal(signal.SIGTERM)
        tree.wait_event("supervisor.stopping")

        seconds = tree.terminate(signal.SIGQUIT)

        tree.assert_clean_exit()
        assert seconds < 1, tree.reported()
        _nothing_is_left(tree, query)


@pytest.mark.failure(
    "the supervisor is killed while a job runs, or while a job holds the interpreter's lock"
    " and handles no signal",
    "every child is gone within a second",
)
@pytest.mark.behaviour(26, 27)
@pytest.mark.parametrize("name", ["slow", "hold_the_lock"])
def test_no_child_outlives_a_killed_supervisor_by_a_second(
    project: Project, query: Query, name: str
) -> None:
    project.write("config/recurring.yml", "beat: {class: HeartbeatJob, schedule: every day}\n")
    with project.start() as tree:
        _start_slow_job(project, tree, name)
        kinds = ("monitor", "dispatcher", "scheduler", "worker")
        assert [len(tree.children(kind)) for kind in kinds] == [1] * 4

        tree.process.kill()

        wait_until(lambda: not tree.alive(), 1, "children outlive their supervisor")
    if left := set(query("SELECT name FROM jobsd.processes")):
        # On a busy machine the monitor's last second was too short: the next tree does it.
        with project.start():
            wait_until(lambda: left.isdisjoint(query("SELECT name FROM jobsd.processes")))
    assert query("SELECT FROM jobsd.claims") == []
    assert query("SELECT error ->> 'type' FROM jobsd.failed_executions") == [
        ("ProcessExitError",)
    ]


@pytest.mark.failure(
    "a supervisor was killed, its tree is gone, another is started",
    "the jobs that ran have failed with a `ProcessExitError`, and no row of the dead"
    " processes is left",
)
@pytest.mark.behaviour(28)
def test_the_next_tree_recovers_claims_of_a_killed_one(project: Project, query: Query) -> None:
    with project.start() as tree:
        _start_slow_job(project, tree)
        tree.process.send_signal(signal.SIGSTOP)
        for child in tree.children():
            child.kill()
        tree.process.kill()
        wait_until(lambda: not tree.alive(), 2)
    assert query("SELECT FROM jobsd.claims")

    with project.start() as second:
        second.wait_event("supervisor.ready")
        wait_until(lambda: not query("SELECT FROM jobsd.claims"), 5, second.reported)
        # Of the dead none is left.
        wait_until(lambda: len(query("SELECT FROM jobsd.processes")) == 4, 5, second.reported)
        assert query("SELECT error ->> 'type' FROM jobsd.failed_executions") == [
            ("ProcessExitError",)
        ]


@pytest.mark.failure(
    "a job kills its worker (SIGKILL)",
    "the jobs that ran in it have failed with an error that names the signal; a successor"
    " starts",
)
@pytest.mark.behaviour(22)
def test_a_job_that_kills_its_worker_fails_alone(project: Project, query: Query) -> None:
    with project.start() as tree:
        _start_slow_job(project, tree)
        project.run("enqueue", "trial_jobs.die")

        replaced = tree.wait_event("process.replaced")
        wait_until(lambda: len(query("SELECT FROM jobsd.failed_executions")) == 2)
        project.run("enqueue", "trial_jobs.quick", "[1]")
        wait_until(lambda: "ran 1" in (project.root / "ledger").read_text(encoding="utf-8"))

    errors = query("SELECT error ->> 'type', error ->> 'message' FROM jobsd.failed_executions")
    assert {row[0] for row in errors} == {"ProcessExitError"}
    assert all("SIGKILL" in str(row[1]) for row in errors), errors
    assert replaced["process_kind"] == "supervisor"
