"""How the monitor's database thread shows that it comes round."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from harness.monitor_options import make_options
from harness.played_tree import PlayedTree, tree_on
from jobsd.clock import monotonic
from jobsd.database.connection import Target
from jobsd.processes.context import Context
from jobsd.processes.scoreboard import Scoreboard
from jobsd.supervisor.hang_detection import round_max_s
from jobsd.supervisor.monitor.database_thread import DatabaseThread
from waiting import Stopwatch, Took, wait_until


def test_an_attempt_is_not_charged_with_the_rest_before_it() -> None:
    target, scoreboard = Target("postgresql://nowhere"), Scoreboard()
    entry = scoreboard.free_entry()
    assert entry is not None
    entry.take("monitor", "monitor-test")
    database_thread = DatabaseThread(
        Context(scoreboard, entry, entry.name), target, make_options(target), {}
    )
    scoreboard.monitor_polled_ns = rested_since = 1
    seen: list[int] = []

    with database_thread._attempt():
        seen.append(scoreboard.monitor_polled_ns)

    assert seen > [rested_since]


def test_a_monitor_that_rests_is_not_taken_for_one_that_hangs(target: Target) -> None:
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
