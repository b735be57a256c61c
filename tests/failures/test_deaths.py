"""Whoever dies, by whatever, is followed; how it died is told."""

from __future__ import annotations

import os
import signal
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from failures.asking import finished, pid_of_worker
from system.jobs import enqueue, ledger, let_go
from waiting import Stopwatch, let_pass, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

KINDS = ("monitor", "dispatcher", "scheduler", "worker")
FAILED = "SELECT job_id, error ->> 'signal', error ->> 'exit_code' FROM jobsd.failed_executions"
_CONNECTED = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name LIKE 'jobsd worker-%'"
)
DAILY = "beat: {class: HeartbeatJob, schedule: every day}\n"


def _at(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["timestamp"])


@pytest.mark.failure(
    "any child is killed (SIGKILL), again and again, each time after it has worked",
    "it has a successor at once, in well under a second, however often it is killed",
)
def test_a_process_killed_repeatedly_after_work_is_replaced_at_once(
    project: Project, query: Query
) -> None:
    project.write("config/recurring.yml", DAILY)
    watch = Stopwatch()
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        for turn in range(1, 4):
            # Who has lived for two seconds has worked.
            let_pass(2.2)
            doomed = [tree.children(kind)[0] for kind in KINDS]
            for child in doomed:
                child.kill()
            tree.wait_event("process.replaced", 4 * turn)

        died = {event["name"]: _at(event) for event in tree.events("process.exited")}
        for event in tree.events("process.replaced"):
            waited = _at(event) - died[event["predecessor"]]
            assert watch.of(waited.total_seconds()) < 0.5, tree.reported()
        query("SELECT jobsd.enqueue('trial_jobs.quick', '[1]', wait => '0.3 s')")
        finished(query, 1, tree.reported)
        assert tree.terminate() < 2
    assert query("SELECT FROM jobsd.processes") == []


@pytest.mark.failure(
    "a worker dies at each start: a crash loop",
    "it is started again after 0.25 s, then after twice that, and so on up to 30 s, for ever;"
    " that costs next to nothing, no other process waits, and the worker recovers by itself",
)
def test_a_crash_loop_backs_off_costs_little_and_heals(project: Project, query: Query) -> None:
    text = (project.root / "trial_jobs.py").read_text(encoding="utf-8")
    project.write("trial_jobs.py", f"import os\nif os.path.exists('no'): os._exit(9)\n{text}")
    project.write(
        "config/queue.yml", "import: [trial_jobs]\ndispatchers: [{}]\nworkers: [{}]\n"
    )
    watch = Stopwatch()
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        (project.root / "no").touch()
        tree.children("worker")[0].kill()
        tree.wait_event("process.exited", 2)
        before = psutil.Process(tree.process.pid).cpu_times()
        tree.children("dispatcher")[0].kill()
        tree.wait_event("process.exited", 5)
        after = psutil.Process(tree.process.pid).cpu_times()
        (project.root / "no").unlink()
        job_id = enqueue(query, "quick", 1)
        finished(query, 1, tree.reported)

        loop = [event for event in tree.events("process.exited") if event["kind"] == "worker"]
        waits = [watch.of((_at(b) - _at(a)).total_seconds()) for a, b in pairwise(loop[1:])]
        assert [0.4 < waits[0] < 2, 0.8 < waits[1] < 3] == [True, True], waits
        assert {event["exit_status"] for event in loop[1:]} == {9}
        (neighbour,) = (e for e in tree.events("process.replaced") if e["kind"] == "dispatcher")
        died = next(e for e in tree.events("process.exited") if e["kind"] == "dispatcher")
        assert watch.of((_at(neighbour) - _at(died)).total_seconds()) < 2
        assert after.user + after.system - before.user - before.system < 0.6
        assert query("SELECT id FROM jobsd.jobs WHERE attempts = 1") == [(job_id,)]


@pytest.mark.failure(
    "a job's C code follows a null pointer",
    "the log tells where each thread was; the job has a `ProcessExitError` that names SIGSEGV",
)
def test_a_job_that_segfaults_is_reported_by_its_signal(project: Project, query: Query) -> None:
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        job_id = enqueue(query, "segfault")

        replaced = tree.wait_event("process.replaced")

        assert replaced["signal"] == "SIGSEGV"
        stacks = [event["stack"] for event in tree.events("process.dumped")]
        assert any("in segfault" in stack for stack in stacks), tree.reported()
        wait_until(lambda: query(FAILED) == [(job_id, "SIGSEGV", None)], 3, tree.reported)


@pytest.mark.failure(
    "the supervisor is killed (SIGKILL)",
    "all children end within a second, and first record the jobs that have ended; another"
    " supervisor may be started at once, with the same pidfile",
)
def test_a_killed_supervisor_can_be_followed_at_once(project: Project, query: Query) -> None:
    with project.start("--pidfile", "run/pid") as tree:
        tree.wait_event("supervisor.ready")
        short = enqueue(query, "mixed", 1, 0.3, "pass")
        wait_until(lambda: ledger(project), what=tree.reported)
        tree.children()

        tree.process.kill()
        tree.process.wait()

        assert (project.root / "run/pid").exists()
        with project.start("--pidfile", "run/pid") as second:
            second.wait_event("supervisor.ready")
            assert (project.root / "run/pid").read_text() == f"{second.process.pid}\n"
            wait_until(lambda: tree.alive() == [], 1, "children outlive their supervisor")
            finished(query, 1, second.reported)
            enqueue(query, "quick", 2)
            finished(query, 2, second.reported)
            second.terminate()
    assert query("SELECT id, outcome, attempts FROM jobsd.jobs ORDER BY id")[0] == (
        short,
        "finished",
        1,
    )


@pytest.mark.failure(
    "the supervisor is killed while one of its children is stopped (SIGSTOP)",
    "the tree's monitor kills that child, so it is gone within a second, too",
)
def test_a_stopped_child_of_a_killed_supervisor_is_ended_by_the_monitor(
    project: Project,
) -> None:
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        tree.children("worker")[0].suspend()
        tree.children()

        tree.process.kill()

        wait_until(lambda: tree.alive() == [], 1, "a child outlives its supervisor")


@pytest.mark.failure(
    "supervisor and monitor are killed while a worker is stopped (SIGSTOP)",
    "the worker ends when it continues, unless something else has killed it (systemd does);"
    " its jobs go to other workers after `process_alive_threshold`, and it can no longer"
    " change them",
)
def test_a_stopped_child_of_a_dead_supervisor_changes_nothing(
    project: Project, query: Query
) -> None:
    project.write(
        "config/queue.yml",
        "import: [trial_jobs]\n"
        "supervisor: {heartbeat_interval: 0.2, process_alive_threshold: 1}\n",
    )
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        job_id = enqueue(query, "held", 1)
        wait_until(lambda: ledger(project), what=tree.reported)
        stopped = psutil.Process(pid_of_worker(query))
        monitor = tree.children("monitor")[0]
        stopped.suspend()
        monitor.kill()
        tree.process.kill()
        wait_until(lambda: tree.alive() == [stopped], 1, "others outlive their supervisor")

        with project.start() as second:
            wait_until(lambda: query(FAILED), what=second.reported)
            let_go(project)
            stopped.resume()
            wait_until(lambda: tree.alive() == [], 1, "it does not follow its supervisor")
            second.terminate()

        assert query("SELECT id, outcome, attempts FROM jobsd.jobs") == [(job_id, None, 1)]
        errors = "SELECT error ->> 'type' FROM jobsd.failed_executions"
        assert query(errors) == [("ProcessPrunedError",)]


@pytest.mark.failure(
    "the machine fails: every process of the tree is killed at once",
    "the next supervisor of the machine learns it from the kernel, within a second: jobs that"
    " ran have failed, jobs that were only claimed are ready again",
)
def test_when_all_died_at_once_the_next_tree_reports_what_ran(
    project: Project, query: Query
) -> None:
    project.write(
        "config/queue.yml", "import: [trial_jobs]\nworkers: [{threads: 1, prefetch: 5}]\n"
    )
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        ran = enqueue(query, "slow")
        wait_until(lambda: ledger(project), what=tree.reported)
        everybody = [tree.process.pid, *(child.pid for child in tree.children())]
        for pid in everybody:
            os.kill(pid, signal.SIGKILL)
        # The server may still run a claim that one of them has sent.
        wait_until(lambda: not query(_CONNECTED), what=tree.reported)
        waiting = enqueue(query, "quick", 1)

        with project.start() as second:
            second.wait_event("supervisor.ready")
            finished(query, 1, second.reported)
            wait_until(lambda: [row[0] for row in query(FAILED)] == [ran], 2, second.reported)
            assert query("SELECT id FROM jobsd.jobs WHERE outcome = 'finished'") == [(waiting,)]
