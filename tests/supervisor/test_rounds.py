"""How the monitor's database thread shows that it comes round."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from jobsd.database.connection import Target
from jobsd.processes.board import Board
from jobsd.processes.process import Context
from jobsd.supervisor.monitor.rounds import Rounds
from monitored_tree.options import make_options


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
