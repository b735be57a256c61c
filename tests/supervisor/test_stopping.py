"""Stopping is bounded and leaves nothing, whatever the processes do."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from harness.stub_tree import StubTree, stub_tree
from jobsd.clock import monotonic
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Start = Callable[..., StubTree]

DRAIN_S = 0.5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_tree_ends_at_once_in_order(start: Start, number: signal.Signals) -> None:
    tree = start(("monitor", 1), ("worker", 2), ("dispatcher", 1))

    seconds = tree.terminate(number)

    words = tree.wait_event("last words")
    tree.assert_clean_exit()
    assert seconds < 1
    assert (words["stopping"], words["left"]) == (2, ["monitor"])


def test_a_stop_ends_a_start_that_is_under_way(tmp_path: Path) -> None:
    (tmp_path / "TERM-at-fork").touch()
    with stub_tree(tmp_path, ("worker", 5), ("monitor", 1)) as tree:
        tree.process.wait(30)

        tree.assert_clean_exit()
        # The one that was started first, and the monitor that recovers it.
        assert len(tree.events("process.started")) <= 2


@pytest.mark.behaviour(18)
def test_a_process_still_working_at_the_deadline_is_killed_and_its_jobs_released(
    start: Start,
) -> None:
    tree = start(("monitor", 1), ("worker", 1), shutdown_timeout_s=DRAIN_S)
    tree.command("worker.slow")
    tree.command("worker.job")
    wait_until(lambda: tree.state()[1]["running"])

    seconds = tree.terminate()

    recovered = tree.wait_event("recovered")
    tree.assert_clean_exit()
    assert DRAIN_S <= seconds < DRAIN_S + 1
    assert (recovered["reason"], recovered["running"]) == ("stop", [42])


@pytest.mark.failure(
    "a worker crashes while the tree drains",
    "it is reported as a crash, its jobs have failed, and no successor starts",
)
def test_a_crash_while_it_drains_is_a_crash(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))
    tree.command("worker.slow")
    pid = tree.pids("worker")[0]
    tree.send(signal.SIGTERM)
    tree.wait_event("supervisor.stopping")

    os.kill(pid, signal.SIGSEGV)

    assert tree.wait_event("recovered")["reason"] == "signal"
    tree.wait_end(within_s=2)
    assert tree.events("process.replaced") == []


@pytest.mark.failure(
    "a job ends its worker, with exit status 0, while it drains",
    "it is reported as a crash, because the job had not ended",
)
def test_a_worker_ended_by_a_job_while_draining_has_crashed(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))
    tree.command("worker.slow")
    tree.command("worker.job")
    wait_until(lambda: tree.state()[1]["running"])
    tree.send(signal.SIGTERM)
    tree.wait_event("supervisor.stopping")

    tree.command("worker.vanish")

    recovered = tree.wait_event("recovered", kind="worker")
    assert (recovered["reason"], recovered["exit_code"], recovered["running"]) == (
        "exit",
        0,
        [42],
    )


@pytest.mark.failure(
    "the monitor is killed while the tree drains",
    "a successor starts, because the deaths still have to be recorded",
)
def test_a_monitor_that_dies_while_others_drain_is_replaced(start: Start) -> None:
    # The monitor is to be killed before the deadline, however late we come to that.
    tree = start(("monitor", 1), ("worker", 1), shutdown_timeout_s=3.0)
    tree.command("worker.slow")
    monitor = tree.pids("monitor")[0]
    tree.send(signal.SIGTERM)
    tree.wait_event("supervisor.stopping")

    os.kill(monitor, signal.SIGKILL)

    tree.wait_end(within_s=5)
    assert {reported["kind"] for reported in tree.events("recovered")} == {"monitor", "worker"}


@pytest.mark.failure(
    "TERM while every process but the supervisor is stopped (SIGSTOP)",
    "the tree still ends within the timeout and a second",
)
def test_a_frozen_tree_ends_within_the_timeout_and_a_second(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 2), shutdown_timeout_s=DRAIN_S)
    for pid in tree.pids():
        os.kill(pid, signal.SIGSTOP)

    seconds = tree.terminate()

    tree.assert_clean_exit()
    assert seconds < DRAIN_S + 1


@pytest.mark.failure(
    "the monitor does not end",
    "it is killed, so the end of the tree takes a bounded time",
)
def test_a_monitor_that_does_not_end_is_killed(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))
    tree.command("monitor.slow")

    seconds = tree.terminate()

    tree.assert_clean_exit()
    assert 0.7 < seconds < 1


@pytest.mark.behaviour(19)
def test_quit_ends_all_at_once(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 2), shutdown_timeout_s=30)
    tree.command("worker.slow")

    seconds = tree.terminate(signal.SIGQUIT)

    tree.assert_clean_exit()
    assert seconds < 1
    assert [reported["reason"] for reported in tree.events("recovered")] == ["stop", "stop"]


@pytest.mark.behaviour(21)
@pytest.mark.parametrize(
    ("first", "second"),
    [(signal.SIGTERM, signal.SIGQUIT), (signal.SIGINT, signal.SIGINT)],
)
def test_the_wait_for_jobs_can_be_cut_short(
    start: Start, first: signal.Signals, second: signal.Signals
) -> None:
    tree = start(("monitor", 1), ("worker", 2), shutdown_timeout_s=30)
    tree.command("worker.slow")
    tree.send(first)
    tree.wait_event("supervisor.stopping")

    seconds = tree.terminate(second)

    tree.assert_clean_exit()
    assert seconds < 1
    assert len(tree.events("last words")) == 1


def test_quit_also_ends_stopped_processes(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 2), shutdown_timeout_s=30)
    for pid in tree.pids():
        os.kill(pid, signal.SIGSTOP)

    seconds = tree.terminate(signal.SIGQUIT)

    tree.assert_clean_exit()
    assert seconds < 1


@pytest.mark.behaviour(20)
def test_a_second_term_changes_nothing(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1), shutdown_timeout_s=DRAIN_S)
    tree.command("worker.slow")
    tree.send(signal.SIGTERM)
    stopping = tree.wait_event("supervisor.stopping")

    tree.terminate()

    assert monotonic() - stopping["at"] > 0.9 * DRAIN_S
    assert len(tree.events("supervisor.stopping")) == 1


@pytest.mark.behaviour(20)
def test_five_thousand_terms_are_one_stop(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 2))
    for _ in range(5000):
        if tree.process.poll() is None:
            os.kill(tree.pid, signal.SIGTERM)

    tree.wait_end()

    tree.assert_clean_exit()
    assert len(tree.events("supervisor.stopping")) == 1


@pytest.mark.parametrize("delay_ms", [0, 40, 60, 70, 80, 85, 90, 95, 100, 110, 120, 150, 200])
def test_a_term_at_any_moment_of_the_start_leaves_no_process(
    tmp_path: Path, delay_ms: int
) -> None:
    began = monotonic()
    with stub_tree(tmp_path, ("monitor", 1), ("worker", 3), ("dispatcher", 1)) as tree:
        wait_until(lambda: monotonic() - began > delay_ms / 1000)

        tree.terminate()

        # Before the handlers are there a signal ends the process; nothing was forked then.
        assert tree.process.returncode in {0, -signal.SIGTERM}
        wait_until(lambda: not tree.alive(), within_s=1)


@pytest.mark.parametrize("forked", range(1, 6))
def test_a_term_between_two_forks_leaves_no_process(tmp_path: Path, forked: int) -> None:
    with stub_tree(tmp_path, ("monitor", 1), ("worker", 3), ("dispatcher", 1)) as tree:
        tree.wait_event("process.started", forked)

        tree.terminate()

        tree.assert_clean_exit()
