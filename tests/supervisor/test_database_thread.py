"""How the monitor's database thread shows that it comes round."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from harness.monitor_options import make_options
from harness.played_tree import PlayedTree, tree_on
from jobsd.clock import monotonic
from jobsd.database.connection import Target
from jobsd.processes.context import Context
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.hang_detection import round_max_s
from jobsd.supervisor.monitor.database_thread import DatabaseThread
from waiting import Stopwatch, Took, wait_until

if TYPE_CHECKING:
    from jobsd.scoreboard.entry import ScoreboardEntry


def test_an_attempt_is_not_charged_with_the_rest_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target, scoreboard = Target("postgresql://nowhere"), Scoreboard()
    entry = scoreboard.free_entry()
    assert entry is not None
    entry.take("monitor", "monitor-test")
    database_thread = DatabaseThread(
        Context(scoreboard, entry, entry.name), target, make_options(target), {}
    )
    scoreboard.monitor_polled_ns = rested_since = 1
    seen: list[int] = []

    def leave() -> None:
        seen.append(scoreboard.monitor_polled_ns)

    monkeypatch.setattr(database_thread.membership, "leave_alone", leave)
    monkeypatch.setattr(database_thread.history, "write", lambda: None)
    database_thread.finish(tree_ends=False, orphaned=False)

    database_thread.run()

    assert seen > [rested_since]


def test_a_resting_monitor_is_not_taken_for_a_hung_one(target: Target) -> None:
    with tree_on(target, heartbeat_interval_s=5.0, process_alive_threshold_s=12.0) as tree:
        tree.start_monitor()
        wait_until(lambda: tree.scoreboard.database_up)
        rests: list[Took] = []
        began = monotonic()

        while monotonic() - began < 6.0:
            polled_ns = tree.scoreboard.monitor_polled_ns
            rest = Stopwatch()
            wait_until(lambda ns=polled_ns: _polled_since(tree, ns))  # type: ignore[misc]
            rests.append(rest.took())

    assert [rest for rest in rests if not rest < 0.7 * round_max_s(12.0)] == []


def _polled_since(tree: PlayedTree, polled_ns: int) -> bool:
    return tree.scoreboard.monitor_polled_ns != polled_ns


def test_each_process_that_is_recovered_counts_as_progress(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    scoreboard = Scoreboard()
    scoreboard.supervisor_pid = os.getpid()
    scoreboard.supervisor_name = "supervisor-test"
    own, *dead = (_taken(scoreboard, name) for name in ("monitor", "one", "two", "three"))
    for entry in dead:
        entry.record_exit(signal.SIGKILL, "signal", 0)
    context = Context(scoreboard, own, own.name)
    database_thread = DatabaseThread(context, target, make_options(target), {})
    recover, seen = database_thread.recovery.recover, list[int]()

    def note(entry: ScoreboardEntry) -> bool:
        seen.append(scoreboard.monitor_polled_ns)
        return recover(entry)

    monkeypatch.setattr(database_thread.recovery, "recover", note)
    database_thread.finish(tree_ends=False, orphaned=False)
    database_thread.poll()
    database_thread.run()

    # Else many that take long together would look like one attempt that hangs.
    assert len(seen) == 3
    assert seen[0] < seen[1] < seen[2]


def _taken(scoreboard: Scoreboard, name: str) -> ScoreboardEntry:
    entry = scoreboard.free_entry()
    assert entry is not None
    entry.take("monitor" if name == "monitor" else "worker", f"{name}-test")
    return entry
