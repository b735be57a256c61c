"""A reload, and what comes in between: another reload, another signal, a death, a failure."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.stub_tree import StubTree

    Start = Callable[..., StubTree]


def labels(tree: StubTree) -> list[str]:
    """Return the labels of the workers that are up: they tell of which specs they are."""
    rows = [row for row in tree.state() if row["kind"] == "worker"]
    return [row["label"] if row.get("state") == "up" else "" for row in rows]


@pytest.mark.failure(
    "HUP while a successor of the reload before can't start",
    "the earlier reload is given up, and the new one replaces all processes that it has to",
)
def test_a_reload_does_not_end_with_processes_of_the_one_before(start: Start) -> None:
    # The second HUP has to come before the first successor has hung.
    tree = start(("monitor", 1), ("worker", 2), hang_timeout_s=4.0)
    silent = tree.command("worker.silent")
    tree.send(signal.SIGHUP)
    tree.wait_event("silent")
    silent.unlink()

    tree.send(signal.SIGHUP)

    tree.wait_event("process.hung")
    tree.wait_event("supervisor.reloaded")
    assert tree.events("supervisor.reload_failed") == []


@pytest.mark.failure(
    "HUP with a fault, while a good reload is under way",
    "it is reported, and the reload that is under way continues to its end",
)
def test_a_refused_reload_breaks_off_no_good_one(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 2))
    slow = tree.command("worker.slow")
    tree.reshape([("monitor", 1), ("worker", 3)])
    tree.send(signal.SIGHUP)
    tree.wait_event("process.replaced")
    (tree.folder / "specs").write_text("no JSON", encoding="utf-8")

    tree.send(signal.SIGHUP)

    tree.wait_event("supervisor.reload_failed")
    slow.unlink()
    tree.wait_event("supervisor.reloaded")
    wait_until(lambda: labels(tree) == ["worker 3"] * 3)


@pytest.mark.failure(
    "TTIN while the first successor of a reload boots",
    "the additional worker has the new configuration, too, once it has reloaded",
)
def test_a_process_added_during_a_reload_is_reloaded_too(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))
    boots = tree.command("worker.boots")
    tree.reshape([("monitor", 1), ("worker", 2)])
    tree.send(signal.SIGHUP)
    wait_until(lambda: len(tree.pids("worker")) == 3)

    tree.send(signal.SIGTTIN)
    wait_until(lambda: len(tree.pids("worker")) == 4)
    boots.unlink()

    tree.wait_event("supervisor.reloaded")
    wait_until(lambda: labels(tree) == ["worker 2"] * 3)


def test_ttou_takes_a_worker_while_a_reload_is_half_way(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 2))
    slow = tree.command("worker.slow")
    tree.send(signal.SIGHUP)
    tree.wait_event("process.replaced")

    tree.send(signal.SIGTTOU)

    slow.unlink()
    wait_until(lambda: len(tree.pids("worker")) == 1)
    tree.wait_event("supervisor.reloaded")


@pytest.mark.failure(
    "HUP with a configuration for more workers, none of which can start",
    "there are as many workers as before, and none is started again and again",
)
def test_a_reload_that_fails_leaves_no_places_behind(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))
    before = tree.pids()
    tree.command("worker.crash")
    tree.reshape([("monitor", 1), ("worker", 3)])

    tree.send(signal.SIGHUP)

    tree.wait_event("supervisor.reload_failed")
    wait_until(lambda: tree.pids() == before)
    assert labels(tree) == ["worker 1"]


@pytest.mark.failure(
    "The monitor is killed after a reload has asked it to end",
    "the next one starts, and the reload ends well",
)
def test_a_monitor_that_dies_as_it_is_followed_fails_no_reload(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))
    tree.command("monitor.slow")
    tree.send(signal.SIGHUP)
    monitor = tree.pids("monitor")[0]
    wait_until(lambda: tree.state()[0].get("asked") == "reload")

    os.kill(monitor, signal.SIGKILL)

    tree.wait_event("supervisor.reloaded")
    assert tree.events("supervisor.reload_failed") == []
