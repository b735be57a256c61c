"""Who stands still: judged by the progress of loops, never by a sign of life.

A thread that beats says nothing of the loop beside it: in a loop that was dead for a
second it had beaten a tenth of a second ago. So the loops themselves tick, and what does
not tick for `hang_timeout` is dumped (SIGABRT: faulthandler writes all stacks, also while
a C call keeps the interpreter's lock) and killed a second later. A stopped process can't
dump anything and is killed at once.

If our own loop stood still, the machine was suspended, or starved, or we were stopped;
the others probably were too. Then nobody is judged for one `hang_timeout`.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from jobsd.clock import monotonic, monotonic_ns
from jobsd.machine import process_stat

from .telling import tell

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.configuration.options import SupervisorOptions
    from jobsd.processes.board import Board
    from jobsd.processes.slot import Slot

    from .children import Child

GAP_MIN_S = 2.0
"""Our loop may rest for a second; twice that is no rest."""

ATTEMPT_S = 4.5
"""What an attempt to reach a database that is cut off may take, however short the threshold:
three seconds to connect, and a statement. No new monitor would be quicker."""

LATER_S = 0.01
"""So much after a process may have hung it is looked at."""

DUMP_S = 1.0
"""What a hung process has for the dump of its stacks."""


def round_max_s(process_alive_threshold_s: float) -> float:
    """Return how long the monitor's database thread may take for a rest or an attempt.

    A tree whose monitor stands still looks dead to others after the threshold.
    """
    return max(process_alive_threshold_s / 3, ATTEMPT_S)


class Watch:
    """Looks at each process's ticks, once a round."""

    def __init__(self, board: Board, options: SupervisorOptions) -> None:
        self._board = board
        self._hang_s = options.hang_timeout_s
        self._round_s = round_max_s(options.process_alive_threshold_s)
        self._gap_s = min(self._hang_s / 2, max(self._round_s / 2, GAP_MIN_S))
        self._judge_from = 0.0
        self._came_round = monotonic()
        self.next_due = float("inf")
        """When the first of those that stand still now will have hung: other trees wait for
        that, and for what an end takes."""

    def look(self, children: Iterable[Child]) -> None:
        """Begin to kill whoever hangs."""
        # Invariant: the ages come before the clock. Who is stopped on the way sees afterwards
        # the ages from before, or the gap.
        still = [(child, self._stood_still_s(child)) for child in children]
        now = monotonic()
        gap_s, self._came_round = now - self._came_round, now
        if gap_s > self._gap_s:
            self._judge_from = now + self._hang_s
            tell(self._board, "supervisor.gap", seconds=round(gap_s, 3))
        awaited = [each for each in still if each[0].asked != "hung" and not each[0].killed]
        self.next_due = self._next_due(now, (child.slot for child, _ in awaited))
        if now < self._judge_from:
            return
        for child, still_s in awaited:
            if still_s:
                self._end(child, still_s, now)

    def _next_due(self, now: float, slots: Iterable[Slot]) -> float:
        left_s = self._hang_s - max((slot.tick_age_s for slot in slots), default=0.0)
        return max(now + left_s, self._judge_from) + LATER_S

    def _stood_still_s(self, child: Child) -> float:
        """Return for how long a process has hung, 0 if it does not."""
        slot = child.slot
        if slot.tick_age_s > self._hang_s:
            return slot.tick_age_s
        if child.spec.kind == "monitor":
            round_age_s = (monotonic_ns() - self._board.monitor_round_ns) / 1e9
            still_s = min(round_age_s, slot.age_s)
            return still_s if still_s > self._round_s else 0.0
        return 0.0

    def _end(self, child: Child, still_s: float, now: float) -> None:
        tell(
            self._board,
            "process.hung",
            **child.facts(),
            stood_still_s=round(still_s, 3),
            running=child.slot.in_threads(),
        )
        child.dismiss("hung", now + DUMP_S, signal.SIGABRT)
        stat = process_stat(child.pid)
        # Without a /proc of this namespace the kill comes a second later.
        if stat is not None and stat.state == "T":
            child.kill()
