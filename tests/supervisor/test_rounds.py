"""How the monitor's database thread shows that it comes round."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from jobsd.clock import monotonic
from jobsd.database.connection import Target
from jobsd.processes.board import Board
from jobsd.processes.process import Context
from jobsd.supervisor.monitor.rounds import Rounds
from jobsd.supervisor.watch import round_max_s
from monitored_tree.options import make_options
from monitored_tree.tree import tree_on
from waiting import Took, wait_until


def test_a_turn_is_not_charged_with_the_rest_before_it() -> None:
    target, board = Target("postgresql://nowhere"), Board()
    slot = board.free_slot()
    assert slot is not None
    slot.take("monitor", "monitor-test")
    rounds = Rounds(Context(board, slot, slot.name), target, make_options(target), {})
    board.monitor_round_ns = rested_since = 1
    seen: list[int] = []

    rounds._attempt(lambda: seen.append(board.monitor_round_ns))

    assert seen > [rested_since]


def test_a_monitor_that_rests_does_not_look_like_one_that_hangs(target: Target) -> None:
    with tree_on(target, heartbeat_interval_s=5.0, process_alive_threshold_s=12.0) as tree:
        tree.start_monitor()
        wait_until(lambda: tree.board.database_up)
        rests: list[Took] = []
        began = monotonic()

        while monotonic() - began < 6.0:
            round_ns = tree.board.monitor_round_ns
            rests.append(wait_until(lambda ns=round_ns: tree.board.monitor_round_ns != ns))  # type: ignore[misc]

    assert [rest for rest in rests if not rest < 0.7 * round_max_s(12.0)] == []
