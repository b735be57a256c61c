"""Who stands still is found out, dumped and replaced; who could not move is not blamed."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from failures.asking import finished, pid_of_worker
from system.jobs import enqueue, ledger
from waiting import let_pass, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

HANG_S = 5.0
"""The least that can be configured."""
STARVED_S = 12.0
"""What a start may take: with a fourteenth of a processor 3 s, and now and then more than 5 s,
after which it was killed as if it hung."""
CONFIGURATION = f"""
import: [trial_jobs]
supervisor: {{hang_timeout: {STARVED_S}, process_alive_threshold: {STARVED_S * 2}}}
dispatchers: [{{}}]
workers: [{{queues: python}}, {{queues: c}}, {{queues: stopped}}, {{queues: importing}}]
"""
FAILED = """
SELECT j.queue_name, f.error ->> 'type', f.error ->> 'reason' FROM jobsd.failed_executions f
JOIN jobsd.jobs j ON j.id = f.job_id WHERE j.class_name = 'trial_jobs.slow' ORDER BY 1
"""


def _hold_imports(project: Project) -> None:
    """Let a module that is imported while there is a file `hold` never come to an end."""
    text = (project.root / "trial_jobs.py").read_text(encoding="utf-8")
    project.write(
        "trial_jobs.py",
        "import os, time\n"
        "if os.path.exists('hold'):\n    os.rename('hold', 'held')\n    time.sleep(1000)\n"
        f"{text}",
    )


@pytest.mark.failure(
    "a worker's loop hangs in Python, or in a C call that keeps the interpreter's lock",
    "after `hang_timeout` it is killed and replaced; events in the log show the stack of"
    " each of its threads; the jobs that it ran have a `ProcessExitError` whose reason is"
    " `hung`",
)
@pytest.mark.failure(
    "a worker is stopped (SIGSTOP)",
    "after `hang_timeout` it is killed at once, because it can't dump its stacks, and a"
    " successor starts",
)
@pytest.mark.failure(
    "the import of the author's modules never ends",
    "the worker that does not start is dumped and killed like one that hangs",
)
def test_only_hung_processes_are_dumped_and_replaced(project: Project, query: Query) -> None:
    project.write("config/queue.yml", CONFIGURATION)
    _hold_imports(project)
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        (project.root / "hold").touch()
        os.kill(pid_of_worker(query, "importing"), signal.SIGKILL)
        wait_until((project.root / "held").exists, what=tree.reported)
        hanging = {tree.wait_event("process.replaced")["its_pid"]}
        for queue in ("python", "c", "stopped"):
            enqueue(query, "slow", queue=queue)
        wait_until(lambda: len(ledger(project)) == 3, what=tree.reported)
        hanging |= {pid_of_worker(query, queue) for queue in ("python", "c", "stopped")}

        enqueue(query, "stop_the_loop", queue="python")
        enqueue(query, "hold_the_lock", queue="c")
        os.kill(pid_of_worker(query, "stopped"), signal.SIGSTOP)
        tree.wait_event("process.replaced", 5)

        hung = tree.events("process.hung")
        assert {event["its_pid"] for event in hung} == hanging, tree.reported()
        assert len(hung) == 4
        assert all(STARVED_S <= event["stalled_s"] < STARVED_S + 5 for event in hung)
        replaced = [
            each for each in tree.events("process.replaced") if each["reason"] == "hung"
        ]
        assert sorted(each["signal"] for each in replaced) == ["SIGABRT"] * 3 + ["SIGKILL"]
        stacks = [event["stack"] for event in tree.events("process.dumped")]
        for frame in ("in stand_still_in_python", "in hold_the_lock", "in <module>"):
            assert any(frame in stack for stack in stacks), stacks
        assert all(line.startswith("{") for line in tree.lines), tree.reported()
        wait_until(
            lambda: (
                query(FAILED)
                == [(queue, "ProcessExitError", "hung") for queue in ("c", "python", "stopped")]
            ),
            what=tree.reported,
        )
        for queue in ("python", "c", "stopped", "importing"):
            enqueue(query, "quick", 1, queue=queue)
        # Those, and the one that stopped the loop: it had succeeded.
        finished(query, 5, tree.reported)


@pytest.mark.failure(
    "the whole tree is suspended, and the supervisor continues first",
    "it notices its own gap and kills no process; running jobs run to their end, once",
)
@pytest.mark.failure(
    "the supervisor alone is stopped (SIGSTOP) for a while",
    "jobs continue in the meantime, and afterwards it kills no process",
)
def test_after_a_stall_of_the_supervisor_no_process_is_judged(
    project: Project, query: Query
) -> None:
    project.write(
        "config/queue.yml", f"import: [trial_jobs]\nsupervisor: {{hang_timeout: {HANG_S}}}"
    )
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        enqueue(query, "mixed", 1, 1.5, "pass")
        wait_until(lambda: ledger(project), what=tree.reported)
        before = [child.pid for child in tree.children()]
        for pid in (tree.process.pid, *before):
            os.kill(pid, signal.SIGSTOP)
        let_pass(HANG_S + 0.5)

        tree.process.send_signal(signal.SIGCONT)
        tree.wait_event("supervisor.stalled")
        let_pass(0.3)
        for pid in before:
            os.kill(pid, signal.SIGCONT)
        finished(query, 1, tree.reported)
        assert ledger(project) == ["start 1", "end 1"]

        tree.process.send_signal(signal.SIGSTOP)
        enqueue(query, "quick", 2)
        finished(query, 2, tree.reported)
        let_pass(HANG_S / 2)
        tree.process.send_signal(signal.SIGCONT)
        tree.wait_event("supervisor.stalled", 2)

        assert tree.terminate() < 2
        assert tree.events("process.hung") == []
        assert tree.events("process.replaced") == []
