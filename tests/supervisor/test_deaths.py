"""Whoever dies is replaced, and how it died is reported."""

from __future__ import annotations

import os
import signal
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from harness.stub_tree import StubTree, stub_tree
from jobsd.clock import monotonic
from jobsd.supervisor.children import FIRST_S
from waiting import Stopwatch, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Start = Callable[..., StubTree]


def kill(tree: StubTree, kind: str = "worker") -> int:
    """Kill one process of a kind; return its process id."""
    pid = tree.pids(kind)[0]
    os.kill(pid, signal.SIGKILL)
    return pid


def test_a_worker_that_had_worked_is_replaced_at_once(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))
    began = monotonic()
    wait_until(lambda: monotonic() - began > 2.05)

    watch = Stopwatch()
    kill(tree)

    tree.wait_event("process.replaced")
    # Sooner than after the shortest wait of one that had not.
    assert watch.took() < 0.8 * FIRST_S


def test_a_death_is_reported_with_its_signal_and_what_ran_in_which_thread(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))
    name = tree.state()[1]["name"]
    tree.command("worker.job")
    wait_until(lambda: tree.state()[1]["running"])

    pid = kill(tree)

    reported = tree.wait_event("process.exited")
    assert {
        "kind": "worker",
        "name": name,
        "pid": pid,
        "reason": "signal",
        "signal": "SIGKILL",
        "exit_status": None,
        "running": {"0": 42},
    }.items() <= reported.items()
    assert reported["max_rss_kib"] > 1000


def test_the_entry_keeps_the_exit_until_the_monitor_has_written_it(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))
    tree.command("worker.job")
    wait_until(lambda: tree.state()[1]["running"])

    kill(tree)

    recovered = tree.wait_event("recovered", kind="worker")
    assert (recovered["reason"], recovered["exit_code"], recovered["running"]) == (
        "signal",
        -9,
        [42],
    )


def test_the_monitor_is_woken_by_a_death(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))
    (worker,) = tree.pids("worker")

    os.kill(worker, signal.SIGKILL)

    tree.wait_event("woken", by=tree.pids("monitor")[0])


def test_the_replacement_is_reported_with_its_predecessor(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))

    pid = kill(tree)

    reported = tree.wait_event("process.replaced")
    assert (reported["predecessor_pid"], reported["reason"], reported["signal"]) == (
        pid,
        "signal",
        "SIGKILL",
    )
    tree.wait_event("process.started", by=reported["pid"])


def test_an_exit_status_is_reported(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))

    tree.command("worker.fail")

    reported = tree.wait_event("process.exited")
    assert (reported["reason"], reported["exit_status"], reported["signal"]) == (
        "exit",
        3,
        None,
    )


@pytest.mark.failure(
    "A child runs into an error of its own.",
    "It is reported with its stack, the child exits with status 70 and is replaced.",
)
def test_an_error_in_a_child_is_reported_and_ends_it_with_70(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))

    tree.command("worker.raise")

    assert "ZeroDivisionError" in tree.wait_event("process.crashed")["error"]
    assert tree.wait_event("process.exited")["exit_status"] == 70


def test_restarts_are_counted_by_kind_and_reason(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1), ("dispatcher", 1))

    kill(tree)
    tree.command("dispatcher.fail")
    tree.wait_event("process.replaced", 2)

    tree.state()
    assert tree.events("supervisor.dumped")[-1]["restarts"] == {
        "worker signal": 1,
        "dispatcher exit": 1,
    }


def test_a_crash_loop_backs_off_and_neighbours_do_not_pay(tmp_path: Path) -> None:
    (tmp_path / "worker.crash").touch()
    watch = Stopwatch()
    with stub_tree(tmp_path, ("monitor", 1), ("worker", 1), ("dispatcher", 1)) as tree:
        tree.wait_event("process.exited", 2, kind="worker")
        tree.wait_event("process.started", by=tree.pids("dispatcher")[0])
        tree.wait_event("process.exited", 4, kind="worker")
        kill(tree, "dispatcher")
        tree.wait_event("process.replaced", kind="dispatcher")
        exits = [reported["at"] for reported in tree.events("process.exited", kind="worker")]
        waits = [watch.of(later - earlier) for earlier, later in pairwise(exits)]
        other = watch.of(
            tree.events("process.replaced", kind="dispatcher")[0]["at"]
            - tree.events("process.exited", kind="dispatcher")[0]["at"]
        )
        (tmp_path / "worker.crash").unlink()
        tree.wait_event("supervisor.ready")

    expected = [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert all(0.8 * e < w < e + 1 for e, w in zip(expected, waits, strict=False)), waits
    assert other < 0.8 * 8 * FIRST_S


@pytest.mark.failure(
    "A child finds at boot that the configuration can't work.",
    "The whole tree ends with status 78, so that nothing restarts it again and again.",
)
def test_a_fault_of_the_configuration_at_boot_ends_all_with_78(tmp_path: Path) -> None:
    (tmp_path / "worker.refuse").touch()
    with stub_tree(tmp_path, ("monitor", 1), ("dispatcher", 1), ("worker", 2)) as tree:
        tree.wait_end()

        assert (tree.process.returncode, tree.alive()) == (78, [])
        assert tree.events("process.replaced") == []


@pytest.mark.failure(
    "a child finds its configuration faulty long after the start",
    "it is started again like any other child that can't start; the tree continues",
)
def test_exit_78_is_like_any_other_once_all_were_up(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))
    refuse = tree.command("worker.refuse")
    kill(tree)
    tree.wait_event("process.exited", exit_status=78)

    refuse.unlink()

    tree.wait_event("process.started", 3)
    assert tree.process.poll() is None


@pytest.mark.failure(
    "A job ends its worker with exit status 78 while the tree still starts.",
    "The status comes from a job, not from a fault of the configuration: another worker"
    " follows",
)
def test_exit_78_after_work_ends_no_other_process(tmp_path: Path) -> None:
    (tmp_path / "dispatcher.silent").touch()
    with stub_tree(tmp_path, ("monitor", 1), ("dispatcher", 1), ("worker", 1)) as tree:
        tree.wait_event("process.started", 2)

        tree.command("worker.exit-78")

        assert tree.wait_event("process.exited")["exit_status"] == 78
        tree.wait_event("process.replaced", kind="worker")
        assert tree.events("supervisor.stopping") == []


@pytest.mark.failure(
    "The monitor is killed.",
    "A successor starts at once and records the death; deaths in between wait for it in"
    " shared memory",
)
def test_the_next_monitor_recovers_the_one_before(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))

    kill(tree, "monitor")

    assert tree.wait_event("recovered", kind="monitor")["by"] == tree.pids("monitor")[0]


@pytest.mark.failure(
    "so many deaths can't be recorded that the shared memory has no free entry",
    "it is reported once; the next process starts when one is recovered; a monitor always"
    " finds an entry",
)
def test_without_a_free_entry_no_process_is_started_until_the_dead_are_recovered(
    start: Start,
) -> None:
    tree = start(("monitor", 1), ("worker", 1), entries=3)
    away = tree.command("monitor.away")
    kill(tree)
    tree.wait_event("process.start_deferred")
    kill(tree, "monitor")
    tree.wait_event("process.replaced", kind="monitor")
    kill(tree, "monitor")
    tree.wait_event("process.replaced", 2, kind="monitor")
    assert len(tree.events("process.start_deferred")) == 1
    assert tree.events("process.replaced", kind="worker") == []

    away.unlink()

    tree.wait_event("process.replaced", kind="worker")
    assert [reported["kind"] for reported in tree.events("recovered")].count("worker") == 1


def test_a_failing_log_stops_no_process(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))
    killed = tree.pids("worker")[0]
    no_log = tree.command("no-log")
    os.kill(killed, signal.SIGKILL)
    tree.wait_event("recovered")
    tree.wait_event("process.started", 3)

    no_log.unlink()

    assert killed not in tree.pids("worker")
    assert tree.terminate() < 2


@pytest.mark.failure(
    "The supervisor runs into an error of its own.",
    "It is reported with its stack, all children are gone within a second, and the exit"
    " status is not 0, so that systemd starts it again.",
)
def test_an_error_of_the_supervisor_is_reported_and_ends_all(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 2))
    worker = tree.pids("worker")[0]
    tree.command("no-notify")

    os.kill(worker, signal.SIGKILL)

    tree.wait_end()

    assert "an error of our own" in tree.wait_event("process.crashed", by=tree.pid)["error"]
    assert tree.process.returncode == 1
    wait_until(lambda: not tree.alive(), within_s=1)


def test_a_refused_fork_is_reported_and_tried_again(tmp_path: Path) -> None:
    # Who was never up ends no failures before it, however late the forks are refused.
    (tmp_path / "worker.crash").touch()
    with stub_tree(tmp_path, ("monitor", 1), ("worker", 1)) as tree:
        tree.wait_event("process.exited", kind="worker")
        no_fork = tree.command("no-fork")
        refusals = [tree.wait_event("process.fork_failed", n + 1)["at"] for n in range(2)]
        (tmp_path / "worker.crash").unlink()

        no_fork.unlink()

        tree.wait_event("supervisor.ready")
        assert refusals[1] - refusals[0] > 0.35
        assert tree.terminate() < 2


@pytest.mark.failure(
    "A terminal sends INT, HUP and QUIT to the whole group.",
    "Only the supervisor acts on the signals",
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGUSR2])
def test_a_terminal_signal_to_the_group_ends_no_child(
    start: Start, number: signal.Signals
) -> None:
    tree = start(("monitor", 1), ("worker", 1))
    before = tree.pids()

    for pid in before:
        os.kill(pid, number)

    tree.command("worker.inheritance")
    tree.wait_event("inheritance")
    assert tree.pids() == before
