"""No more processes, no more memory: who is refused tries again, the others go on."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from failures.asking import finished, pid_of_worker
from failures.groups import Group, group
from failures.wrapped import free_address, metric, wrapped
from system.jobs import enqueue, ledger
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.project import Project

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

TWO_WORKERS = "import: [trial_jobs]\nworkers: [{queues: a}, {queues: b}]\n"
FAILED = "SELECT job_id, error ->> 'reason' FROM jobsd.failed_executions"
RESTARTS = 'jobsd_process_restarts_total{{kind="worker",reason="{}"}}'


@pytest.fixture
def processes() -> Iterator[Group]:
    """A group whose number of processes and threads can be limited."""
    with group("pids", "pids.max") as made:
        yield made


def _metrics_are_served(address: str) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return metric(address, "jobsd_database_up") == 1
    return False


@pytest.mark.failure(
    "the system refuses every new process and thread (EAGAIN)",
    "no running process is affected, and jobs continue; a process that is missing is started"
    " again with growing pauses, also one that got no threads; once there is room all is as"
    " before",
)
def test_without_room_for_a_process_the_others_run_and_the_tree_recovers(
    project: Project, query: Query, processes: Group
) -> None:
    bind = free_address()
    project.write("config/queue.yml", TWO_WORKERS)
    with wrapped(project, processes.wrap, JOBSD_METRICS_BIND=bind) as tree:
        tree.wait_event("supervisor.ready")
        victim = pid_of_worker(query, "a")
        wait_until(lambda: _metrics_are_served(bind))
        processes.set("pids.max", 1)

        next(child for child in tree.children("worker") if child.pid == victim).kill()
        tree.wait_event("process.fork_failed", 2)
        assert not _metrics_are_served(bind)
        enqueue(query, "quick", 1, queue="b")
        finished(query, 1, tree.reported)
        # Room for a process, not for its threads.
        processes.set("pids.max", int(processes.get("pids.current")) + 1)
        crashed = tree.wait_event("process.crashed")
        assert "thread" in crashed["error"]["message"]
        processes.set("pids.max", "max")

        enqueue(query, "quick", 2, queue="a")
        finished(query, 2, tree.reported)
        wait_until(lambda: _metrics_are_served(bind))
        assert tree.terminate() < 2
        tree.assert_clean_exit()


@pytest.mark.failure(
    "a job starts processes until the system gives no more",
    "the limit of the service (TasksMax) stops it; other jobs, heartbeats and the end of the"
    " tree go on, and what it has started ends with the tree",
)
def test_a_job_that_forks_without_end_stops_no_process(
    project: Project, query: Query, processes: Group
) -> None:
    with wrapped(project, processes.wrap) as tree:
        tree.wait_event("supervisor.ready")
        pid_of_worker(query)
        processes.set("pids.max", 80)

        enqueue(query, "fork_without_end")
        wait_until(
            lambda: any("refused" in line for line in ledger(project)), what=tree.reported
        )
        enqueue(query, "quick", 1)
        finished(query, 1, tree.reported)
        assert len(processes.get("cgroup.procs").split()) > 50

        assert tree.terminate() < 7
        tree.assert_clean_exit()
        wait_until(lambda: not processes.get("cgroup.procs").split(), 2, "some are left")
    assert query("SELECT class_name FROM jobsd.jobs WHERE finished_at IS NULL") == [
        ("trial_jobs.fork_without_end",)
    ]


@pytest.mark.failure(
    "a job takes all memory that the service may have",
    "the kernel kills only the worker; the death is reported as `oom`, not just as SIGKILL,"
    " in the log and in `jobsd_process_restarts_total`, and the job has a `ProcessExitError`"
    " that says so",
)
def test_a_worker_that_takes_all_memory_is_kept_apart(project: Project, query: Query) -> None:
    v1 = Path("/sys/fs/cgroup/memory").is_dir()
    limit = "memory.limit_in_bytes" if v1 else "memory.max"
    project.write("config/queue.yml", TWO_WORKERS)
    bind = free_address()
    with group("memory", limit) as memory:
        memory.set(limit, 400 << 20)
        with wrapped(project, memory.wrap, JOBSD_METRICS_BIND=bind) as tree:
            tree.wait_event("supervisor.ready")
            eater = enqueue(query, "eat", queue="a")
            beside = enqueue(query, "mixed", 1, 2, "pass", queue="b")

            replaced = tree.wait_event("process.replaced")

            assert (replaced["kind"], replaced["reason"]) == ("worker", "oom")
            assert metric(bind, RESTARTS.format("oom")) == 1
            wait_until(lambda: query(FAILED) == [(eater, "oom")], what=tree.reported)
            finished(query, 1, tree.reported)
            enqueue(query, "quick", 2, queue="a")
            finished(query, 2, tree.reported)
            assert query("SELECT attempts FROM jobsd.jobs WHERE id = " + str(beside)) == [(1,)]
            assert len(tree.events("process.exited")) == 1
            tree.terminate()
