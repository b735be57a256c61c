"""What happens to one worker is no matter of the others."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from jobsd.clock import monotonic
from system.jobs import enqueue, enqueue_many, ledger
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project
    from harness.tree import Tree

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

ERRORS = "SELECT job_id, error ->> 'type', error ->> 'message' FROM jobsd.failed_executions"
FINISHED = "SELECT id, attempts FROM jobsd.jobs WHERE outcome = 'finished' ORDER BY id"
ROWS = "SELECT name, pid FROM jobsd.processes WHERE kind = '{}' AND name <> '{}'"


def _configure(project: Project, *lines: str) -> None:
    project.write("config/queue.yml", "\n".join(("import: [trial_jobs]", *lines)))


def _worker(query: Query, queues: str = "*") -> tuple[str, int]:
    """Return name and process id of the worker of these queues."""
    ((name, pid),) = query(
        f"SELECT name, pid FROM jobsd.processes WHERE metadata ->> 'queues' = '{queues}'"
    )
    return str(name), int(str(pid))


def _runs(project: Project, tree: Tree, *words: str) -> None:
    wait_until(lambda: set(words) <= set(ledger(project)), what=tree.reported)


@pytest.mark.failure(
    "a worker is killed (SIGKILL)",
    "its running jobs fail, within a second or two, with an error that names pid and signal;"
    " a successor starts; jobs elsewhere continue",
)
@pytest.mark.behaviour(22)
def test_a_killed_worker_fails_its_running_job_is_replaced_and_harms_no_other(
    project: Project, query: Query
) -> None:
    _configure(project, "workers: [{queues: a}, {queues: b}]")
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        ran = enqueue(query, "slow", queue="a")
        elsewhere = enqueue(query, "mixed", 1, 1.5, "pass", queue="b")
        _runs(project, tree, "start slow", "start 1")
        name, pid = _worker(query, "a")

        os.kill(pid, signal.SIGKILL)

        ((failed, kind, message),) = wait_until(lambda: query(ERRORS), 3, tree.reported)
        assert (failed, kind) == (ran, "ProcessExitError")
        assert str(message).startswith(f"worker {name} (pid {pid}) was killed by SIGKILL")
        after = enqueue(query, "quick", 2, queue="a")
        wait_until(lambda: query(FINISHED) == [(elsewhere, 1), (after, 1)], what=tree.reported)
        assert _worker(query, "a") != (name, pid)


@pytest.mark.failure(
    "a job ends its process (`os._exit`)",
    "the jobs that ran there have failed with the exit code; jobs that were only claimed run"
    " elsewhere and lose no attempt",
)
@pytest.mark.behaviour(23)
def test_a_job_that_ends_its_process_fails_with_what_ran_there(
    project: Project, query: Query
) -> None:
    _configure(project, "workers: [{threads: 2, prefetch: 10}, {queues: b}]")
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        elsewhere = enqueue(query, "mixed", 1, 1, "pass", queue="b")
        beside = enqueue(query, "slow")
        _runs(project, tree, "start slow", "start 1")

        culprit, *claimed = enqueue_many(query, "leave_first", [(n,) for n in range(5)])

        wait_until(lambda: len(query(FINISHED)) == 5, what=tree.reported)
        assert {row[0] for row in query(ERRORS)} == {beside, culprit}
        assert all("exited with code 1" in str(row[2]) for row in query(ERRORS))
        assert query(FINISHED) == [(job_id, 1) for job_id in (elsewhere, *claimed)]


@pytest.mark.failure(
    "one worker gets TERM",
    "it finishes its jobs and its row is deleted; a successor has started at once",
)
@pytest.mark.behaviour(24)
def test_a_worker_that_is_asked_to_end_finishes_its_job_and_is_followed(
    project: Project, query: Query
) -> None:
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        job_id = enqueue(query, "mixed", 1, 1, "pass")
        _runs(project, tree, "start 1")
        name, pid = _worker(query)

        os.kill(pid, signal.SIGTERM)

        wait_until(lambda: query(FINISHED) == [(job_id, 1)], what=tree.reported)
        wait_until(lambda: query(ROWS.format("worker", name)), 2, tree.reported)
        own = f"SELECT FROM jobsd.processes WHERE name = '{name}'"
        wait_until(lambda: not query(own), 2, tree.reported)
        assert ledger(project) == ["start 1", "end 1"]


@pytest.mark.failure(
    "one worker gets TERM, with a job longer than `shutdown_timeout`",
    "it is killed then, and the job runs again in another worker and loses no attempt",
)
@pytest.mark.behaviour(25)
def test_a_worker_that_is_asked_to_end_gives_a_long_job_to_its_successor(
    project: Project, query: Query
) -> None:
    _configure(project, "supervisor: {shutdown_timeout: 1}")
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        job_id = enqueue(query, "slow_at_first")
        _runs(project, tree, "start")
        began = monotonic()

        os.kill(_worker(query)[1], signal.SIGTERM)

        wait_until(lambda: query(FINISHED) == [(job_id, 1)], 5, tree.reported)
        assert monotonic() - began > 1
        assert tree.wait_event("process.replaced")["reason"] == "terminated"
        assert ledger(project) == ["start", "start", "end"]
        assert query(ERRORS) == []


_POOL = """
import multiprocessing

def double(n):
    return 2 * n

@job
def divide():
    ledger("start", "divide")
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(double, range(5)) == [0, 2, 4, 6, 8]
"""


@pytest.mark.failure(
    "a job uses `multiprocessing`, whose pool ends its children by TERM",
    "they end; the worker and its other jobs continue",
)
def test_a_worker_is_not_asked_to_end_by_what_its_jobs_do_to_their_children(
    project: Project, query: Query
) -> None:
    _configure(project, "supervisor: {shutdown_timeout: 0.5}")
    module = project.root / "trial_jobs.py"
    project.write("trial_jobs.py", module.read_text(encoding="utf-8") + _POOL)
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        beside = enqueue(query, "mixed", 1, 3, "pass")
        _runs(project, tree, "start 1")

        divides = enqueue(query, "divide")

        wait_until(lambda: query(FINISHED) == [(beside, 1), (divides, 1)], what=tree.reported)
        assert sorted(ledger(project)) == ["end 1", "start 1", "start divide"]
        assert not tree.events("process.replaced")


@pytest.mark.failure(
    "one worker gets QUIT",
    "its running jobs fail within a second, because the tree was not asked to stop; the"
    " worker is replaced",
)
@pytest.mark.behaviour(91)
def test_quit_to_a_single_worker_fails_its_running_job_at_once(
    project: Project, query: Query
) -> None:
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        job_id = enqueue(query, "slow")
        _runs(project, tree, "start slow")
        name, pid = _worker(query)

        os.kill(pid, signal.SIGQUIT)

        ((failed, kind, _),) = wait_until(lambda: query(ERRORS), 1.5, tree.reported)
        assert (failed, kind) == (job_id, "ProcessExitError")
        wait_until(lambda: query(ROWS.format("worker", name)), 2, tree.reported)


@pytest.mark.failure(
    "somebody deletes the row of a worker",
    "it claims no new jobs and finishes its running ones, and a successor starts",
)
@pytest.mark.behaviour(13)
def test_a_worker_with_a_deleted_row_finishes_its_job_and_is_replaced(
    project: Project, query: Query
) -> None:
    _configure(project, "supervisor: {heartbeat_interval: 0.2}")
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        job_id = enqueue(query, "mixed", 1, 1, "pass")
        _runs(project, tree, "start 1")
        name, _ = _worker(query)

        query(f"DELETE FROM jobsd.processes WHERE name = '{name}'")

        replaced = tree.wait_event("process.replaced")
        assert (replaced["reason"], replaced["predecessor"]) == ("row", name)
        wait_until(lambda: query(FINISHED) == [(job_id, 1)], what=tree.reported)
        assert ledger(project) == ["start 1", "end 1"]


@pytest.mark.failure(
    "somebody deletes the row of the supervisor",
    "it goes on supervising, and its row is written anew",
)
@pytest.mark.behaviour(32)
def test_a_supervisor_with_a_deleted_row_keeps_supervising(
    project: Project, query: Query
) -> None:
    _configure(project, "supervisor: {heartbeat_interval: 0.2}")
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        job_id = enqueue(query, "slow")
        _runs(project, tree, "start slow")

        query("DELETE FROM jobsd.processes WHERE kind = 'supervisor'")
        os.kill(_worker(query)[1], signal.SIGKILL)

        wait_until(lambda: [row[0] for row in query(ERRORS)] == [job_id], 3, tree.reported)
        tree.wait_event("process.replaced")
        wait_until(lambda: query(ROWS.format("supervisor", "")), 2, tree.reported)
