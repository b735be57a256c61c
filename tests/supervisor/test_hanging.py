"""Who stands still is dumped and killed; who could not move is not blamed."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from harness.stub_tree import StubTree, stub_tree
from jobsd.clock import monotonic
from jobsd.supervisor.children import FIRST_S
from jobsd.supervisor.hang_detection import ATTEMPT_S, DUMP_S
from waiting import Stopwatch, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Start = Callable[..., StubTree]

HANG_S = 0.6


@pytest.mark.parametrize(
    ("command", "function"), [("hang", "in hang"), ("hang-in-c", "in hang_in_c")]
)
def test_a_hung_loop_is_dumped_and_replaced(start: Start, command: str, function: str) -> None:
    watch = Stopwatch()
    tree = start(("monitor", 1), ("worker", 1), hang_timeout_s=HANG_S)

    tree.command(f"worker.{command}")

    hung = tree.wait_event("process.hung", kind="worker")
    exited = tree.wait_event("process.exited", kind="worker")
    tree.wait_event("process.replaced", kind="worker", reason="hung")
    assert HANG_S <= watch.of(hung["stalled_s"]) < HANG_S + 4
    assert (exited["reason"], exited["signal"]) == ("hung", "SIGABRT")
    # A machine that gave it no processor for so long may have let one hang before.
    wait_until(
        lambda: any(function in reported["stack"] for reported in tree.events("process.dumped"))
    )


@pytest.mark.failure(
    "a process hangs and can't even dump its stacks",
    "it is killed a second later",
)
def test_a_process_that_does_not_even_dump_is_killed_a_second_later(start: Start) -> None:
    watch = Stopwatch()
    tree = start(("monitor", 1), ("worker", 1), hang_timeout_s=HANG_S)
    tree.command("worker.deaf")
    pid = tree.wait_event("deaf")["by"]

    exited = tree.wait_event("process.exited", kind="worker", pid=pid)

    hung = tree.wait_event("process.hung", kind="worker", pid=pid)
    assert (exited["reason"], exited["signal"]) == ("hung", "SIGKILL")
    assert 0.9 * DUMP_S < watch.of(exited["at"] - hung["at"]) < 5 * DUMP_S


def test_a_stopped_process_is_killed_at_once(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1), hang_timeout_s=HANG_S)

    pid = tree.pids("worker")[0]

    os.kill(pid, signal.SIGSTOP)

    exited = tree.wait_event("process.exited", pid=pid)
    assert (exited["reason"], exited["signal"]) == ("hung", "SIGKILL")
    # Who is given the time for a dump is killed by a deadline, and that is reported.
    assert tree.events("process.killed", pid=pid) == []


def test_a_process_that_never_comes_up_hangs_too(tmp_path: Path) -> None:
    (tmp_path / "worker.silent").touch()
    with stub_tree(tmp_path, ("monitor", 1), ("worker", 1), hang_timeout_s=HANG_S) as tree:
        tree.wait_event("process.hung")
        (tmp_path / "worker.silent").unlink()

        tree.wait_event("supervisor.ready")


@pytest.mark.failure(
    "the monitor's thread for the database stands still",
    "the monitor is replaced before other trees could take this one for dead",
)
def test_the_monitor_is_replaced_when_its_database_thread_stands_still(start: Start) -> None:
    watch = Stopwatch()
    tree = start(("monitor", 1), ("worker", 1), process_alive_threshold_s=1.5)

    tree.command("monitor.blocked")

    hung = tree.wait_event("process.hung", kind="monitor")
    assert ATTEMPT_S < watch.of(hung["stalled_s"]) < ATTEMPT_S + 4
    tree.wait_event("process.replaced", kind="monitor", reason="hung")
    # Its successor stays: the last poll was another one's.
    (successor,) = tree.pids("monitor")
    wait_until(lambda: [row for row in tree.state() if row.get("pid") == successor])
    assert len(tree.events("process.hung")) == 1


def test_no_process_is_judged_after_the_whole_tree_was_stopped(start: Start) -> None:
    hang_s = 4.0  # which the test has to let the children go on
    tree = start(("monitor", 1), ("worker", 2), hang_timeout_s=hang_s)
    children = tree.pids()
    for pid in (tree.pid, *children):
        os.kill(pid, signal.SIGSTOP)
    stopped = monotonic()
    wait_until(lambda: monotonic() - stopped > hang_s + HANG_S)
    earlier = len(tree.events("supervisor.stalled"))

    tree.send(signal.SIGCONT)
    gap = tree.wait_event("supervisor.stalled", earlier + 1)
    for pid in children:
        os.kill(pid, signal.SIGCONT)

    wait_until(lambda: monotonic() - gap["at"] > hang_s + HANG_S)
    assert gap["seconds"] > hang_s
    assert tree.events("process.hung") == []
    assert tree.pids() == children


def test_no_monitor_is_judged_after_the_whole_tree_stood_still(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1), process_alive_threshold_s=4.5)
    everybody = (tree.pid, *tree.pids())
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    stopped = monotonic()
    wait_until(lambda: monotonic() - stopped > ATTEMPT_S + 0.1)

    for pid in everybody:
        os.kill(pid, signal.SIGCONT)

    tree.wait_event("supervisor.stalled")
    tree.state()
    assert tree.events("process.hung") == []


@pytest.mark.failure(
    "A person deletes the row of a process.",
    "It claims nothing new, has `shutdown_timeout` to end, and a successor works meanwhile.",
)
@pytest.mark.behaviour(13)
def test_a_process_with_a_deleted_row_is_replaced_at_once(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))
    old = tree.pids("worker")[0]

    tree.command("worker.lose-row")

    replaced = tree.wait_event("process.replaced")
    assert (replaced["reason"], replaced["predecessor_pid"]) == ("row", old)
    assert tree.wait_event("recovered")["reason"] == "row"


@pytest.mark.behaviour(13)
def test_a_process_without_a_row_has_the_time_to_drain_and_no_more(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1), shutdown_timeout_s=0.3)
    tree.command("worker.slow")

    tree.command("worker.lose-row")

    tree.wait_event("process.killed")
    recovered = tree.wait_event("recovered")
    assert (recovered["reason"], recovered["exit_code"]) == ("row", -signal.SIGKILL)


@pytest.mark.failure(
    "a process hangs while the tree drains",
    "it is dumped and killed, and its jobs have failed, as they should",
)
def test_a_process_that_hangs_while_it_drains_has_hung(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1), hang_timeout_s=HANG_S)
    tree.command("worker.deaf")
    tree.wait_event("process.hung")

    tree.send(signal.SIGTERM)

    assert tree.wait_event("recovered", kind="worker")["reason"] == "hung"
    assert tree.process.wait(30) == 0


@pytest.mark.behaviour(24, 25)
@pytest.mark.parametrize("kind", ["worker", "dispatcher", "monitor"])
def test_a_terminated_process_is_replaced_and_has_its_time_to_drain(
    start: Start, kind: str
) -> None:
    tree = start(("monitor", 1), ("worker", 1), ("dispatcher", 1), shutdown_timeout_s=0.3)
    tree.command(f"{kind}.slow")
    old = tree.pids(kind)[0]

    os.kill(old, signal.SIGTERM)

    replaced = tree.wait_event("process.replaced")
    assert (replaced["reason"], replaced["predecessor_pid"]) == ("terminated", old)
    tree.wait_event("process.killed")
    assert tree.wait_event("recovered", kind=kind)["reason"] == "terminated"
    assert tree.events("process.exited") == []


def test_a_process_that_is_always_terminated_backs_off(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))

    tree.command("worker.leaves")

    # The first of them may have worked for long.
    tree.wait_event("process.replaced", 4)
    _, first, second, third = tree.events("process.replaced")[:4]
    assert second["at"] - first["at"] > 0.8 * 2 * FIRST_S
    assert third["at"] - second["at"] > 0.8 * 4 * FIRST_S
