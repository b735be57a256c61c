"""HUP, TTIN, TTOU and recycled workers: the tree changes and never lacks capacity."""

from __future__ import annotations

import os
import signal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.clock import monotonic
from jobsd.supervisor.reload import SETTLE_S
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.stub_tree import StubTree

    Start = Callable[..., StubTree]


def overlaps(tree: StubTree, replaced: dict[str, Any]) -> bool:
    """Return whether a successor was up before its predecessor ended."""
    began: float = tree.wait_event("process.started", by=replaced["pid"])["at"]
    ended: float = tree.wait_event("process.stopped", by=replaced["predecessor_pid"])["at"]
    return began < ended


def test_each_process_is_followed_by_another_before_it_ends(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 3), ("dispatcher", 1), ("scheduler", 1))
    before = set(tree.pids())

    tree.send(signal.SIGHUP)

    tree.wait_event("supervisor.reloaded")
    replaced = tree.events("process.replaced", reason="reload")
    assert before.isdisjoint(tree.pids())
    assert len(replaced) == 6
    assert all(
        overlaps(tree, reported) for reported in replaced if reported["kind"] != "monitor"
    )


def test_workers_are_rolled_one_by_one(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 3))
    slow = tree.command("worker.slow")

    tree.send(signal.SIGHUP)

    for done in (1, 2, 3):
        tree.wait_event("process.replaced", done, kind="worker")
        # Each answer is a round, in which the next step would begin.
        workers = [row for _ in range(3) for row in tree.state() if row["kind"] == "worker"]
        assert len(workers) == 3 * 4
        slow.unlink()
        tree.wait_event("process.stopped", done)
        slow.touch()
    slow.unlink()
    tree.wait_event("supervisor.reloaded")
    rolled = tree.events("process.replaced", kind="worker")
    assert len(rolled) == 3
    for first, second in pairwise(rolled):
        gone = tree.wait_event("process.stopped", by=first["predecessor_pid"])["at"]
        assert gone < tree.wait_event("process.started", by=second["pid"])["at"]


def test_there_are_never_two_monitors(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1), shutdown_timeout_s=60.0)
    old = tree.pids("monitor")[0]
    slow = tree.command("monitor.slow")

    def monitors() -> list[dict[str, Any]]:
        return [row for row in tree.state() if row["kind"] == "monitor"]

    tree.send(signal.SIGHUP)

    wait_until(lambda: any(row.get("asked") for row in monitors()))
    # Each answer is a round, in which another one would be started.
    assert [row.get("pid") for _ in range(3) for row in monitors()] == [old] * 3
    slow.unlink()
    tree.wait_event("supervisor.reloaded")
    new = tree.events("process.replaced", kind="monitor")[0]["pid"]
    assert (
        tree.wait_event("process.stopped", by=old)["at"]
        < (tree.wait_event("process.started", by=new)["at"])
    )
    assert tree.wait_event("last words", by=old)["stopping"] == 0


def test_fifty_hups_are_one_reload(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 3))
    for count in range(1, 51):
        tree.send(signal.SIGHUP)
        tree.wait_event("signal.received", count, signal="SIGHUP")

    tree.wait_event("supervisor.reloaded")

    # By then another reload would have begun, and somebody been replaced.
    began = monotonic()
    wait_until(lambda: monotonic() - began > 10 * SETTLE_S)
    tree.state()
    heard = [reported["at"] for reported in tree.events("signal.received", signal="SIGHUP")]
    # One, but for the moments at which we were too late for it.
    bursts = 1 + sum(later - earlier > SETTLE_S for earlier, later in pairwise(heard))
    assert 3 <= len(tree.events("process.replaced", kind="worker")) <= 3 * bursts
    assert len(tree.events("supervisor.reloaded")) <= bursts


def test_a_hup_during_a_reload_is_not_forgotten(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 2))
    tree.send(signal.SIGHUP)
    tree.wait_event("process.replaced")
    tree.reshape([("monitor", 1), ("worker", 4)])

    tree.send(signal.SIGHUP)

    tree.wait_event("supervisor.reloaded")
    wait_until(lambda: len(tree.pids("worker")) == 4)


@pytest.mark.failure(
    "HUP comes, and the first successor can't start",
    "its predecessor stays, the reload ends there, and no other process is replaced",
)
def test_a_successor_that_can_not_start_leaves_its_predecessor(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 3))
    before = tree.pids()
    tree.command("worker.crash")

    tree.send(signal.SIGHUP)

    reported = tree.wait_event("supervisor.reload_failed")
    assert "did not start" in reported["error"]
    assert tree.pids() == before
    assert len(tree.events("process.exited")) == 1


@pytest.mark.failure(
    "A reload meets a faulty configuration.",
    "It is reported, and nothing changes.",
)
def test_a_faulty_configuration_changes_nothing(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 2))
    before = tree.pids()
    tree.reshape(None)
    tree.send(signal.SIGHUP)
    tree.wait_event("supervisor.reload_failed")
    (tree.folder / "specs").write_text("no JSON", encoding="utf-8")

    tree.send(signal.SIGHUP)

    assert "JSONDecodeError" in tree.wait_event("supervisor.reload_failed", 2)["error"]
    assert tree.pids() == before


def test_a_reload_gives_the_tree_its_new_processes(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1), ("dispatcher", 2))
    tree.reshape([("monitor", 1), ("worker", 3), ("scheduler", 1)])

    tree.send(signal.SIGHUP)

    tree.wait_event("supervisor.reloaded")
    wait_until(lambda: len(tree.pids()) == 5)
    kinds = sorted(row["kind"] for row in tree.state())
    assert kinds == ["monitor", "scheduler", "worker", "worker", "worker"]


def test_a_long_job_delays_no_reload_and_is_not_killed(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 2), shutdown_timeout_s=0.3)
    before = tree.pids("worker")
    slow = tree.command("worker.slow")

    tree.send(signal.SIGHUP)

    tree.wait_event("supervisor.reloaded")
    assert set(before) < set(tree.pids("worker"))
    slow.unlink()
    for pid in before:
        tree.wait_event("process.stopped", by=pid)
    assert tree.events("process.killed") == []


def test_a_recycled_worker_has_a_successor_before_it_stops(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 2))

    tree.command("worker.spent")

    replaced = tree.wait_event("process.replaced")
    assert replaced["reason"] == "recycled"
    assert overlaps(tree, replaced)
    assert tree.wait_event("recovered")["reason"] == "recycled"


def test_a_recycled_worker_works_until_a_successor_can_start(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))
    old = tree.pids("worker")
    crash = tree.command("worker.crash")
    tree.command("worker.spent")
    tree.wait_event("process.exited", 2, exit_status=1)
    assert old[0] in tree.pids("worker")

    crash.unlink()

    assert tree.wait_event("process.replaced")["predecessor_pid"] == old[0]


@pytest.mark.failure(
    "a worker dies while its successor boots",
    "the successor takes its place",
)
def test_a_predecessor_that_dies_early_is_replaced_by_the_process_already_booting(
    start: Start,
) -> None:
    tree = start(("monitor", 1), ("worker", 1))
    old = tree.pids("worker")[0]
    silent = tree.command("worker.silent")
    tree.send(signal.SIGHUP)
    wait_until(lambda: len(tree.pids("worker")) == 2)

    os.kill(old, signal.SIGKILL)

    tree.wait_event("process.exited")
    silent.unlink()
    replaced = tree.wait_event("process.replaced")
    assert (replaced["reason"], replaced["predecessor_pid"]) == ("signal", old)


def test_ttin_and_ttou_add_and_take_a_worker_down_to_one(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 2))
    tree.send(signal.SIGTTIN)
    wait_until(lambda: len(tree.pids("worker")) == 3)

    for _ in range(4):
        tree.send(signal.SIGTTOU)
        tree.state()

    wait_until(lambda: len(tree.pids("worker")) == 1)
    assert tree.state()[1]["state"] == "up"
    assert tree.events("process.exited") == []


def test_usr1_is_passed_on_and_ends_no_process(start: Start) -> None:
    tree = start()
    before = tree.pids()

    tree.send(signal.SIGUSR1)

    tree.wait_event("logs.reopened")
    assert tree.pids() == before
