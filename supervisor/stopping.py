"""The stop of the tree, in bounded time and in this order.

1. All processes but the monitor are asked to stop: after TERM they drain, after QUIT they exit
   at once.
2. At the deadline the processes that are left are killed. The jobs of a process are released
   only when it is gone: while it lives, no other process may run them.
3. Then the monitor is asked to stop: it recovers the dead processes and deletes the rows. It
   has 0.8 s for that, then it is killed; a later monitor recovers the rest.
4. Orphan processes that jobs have left in our session are killed.

All of this takes no longer than the time to drain and one second.
"""

import signal

from jobsd.scoreboard.scoreboard import Scoreboard

from .child_table import ChildTable
from .orphans import Orphans

QUIT_S = 0.1
"""How long a process may take to exit after QUIT."""

DYING_S = 0.1
"""How long we wait for a killed process: the kernel may take its time."""

MONITOR_S = 0.8
AT_ONCE_S = 0.5
"""How long the monitor may take to stop, in order and at once."""

_BELOW = ("worker", "dispatcher", "scheduler", "web")
_HOOKS = "hooks"
"""It exits by itself, after the monitor: see `hooks_process`."""


class Stop:
    """A stop that has begun: in order, with `drain_s` for the jobs that run."""

    def __init__(self, scoreboard: Scoreboard, table: ChildTable, orphans: Orphans) -> None:
        self._scoreboard = scoreboard
        self._table = table
        self._orphans = orphans
        self._kill_at = float("inf")
        self._at_once = False
        self._end: float | None = None
        scoreboard.stopping = 1

    @property
    def drains(self) -> bool:
        """Whether other processes than the monitor may still live."""
        return self._end is None

    def begin(self, now: float, drain_s: float) -> None:
        """Begin to drain."""
        self._dismiss(signal.SIGTERM, now + drain_s)

    def hasten(self, now: float) -> None:
        """Stop at once, whatever the stop was waiting for."""
        if self._at_once:
            return
        self._at_once = True
        self._dismiss(signal.SIGQUIT, now + QUIT_S)
        for process in self._table.of(_HOOKS):
            process.dismiss("stop", now + QUIT_S, signal.SIGQUIT)
        if self._end is not None:
            self._end = min(self._end, now + AT_ONCE_S)
            self._dismiss_monitor(self._end)

    def advance(self, now: float) -> bool:
        """Take the next step if it is due; return whether the tree has ended."""
        others = self._table.of(*_BELOW)
        if now >= self._kill_at:
            for process in others:
                process.kill_at = None if process.killed else now
        self._table.kill_overdue(now)
        if self._end is None:
            if others and now < self._kill_at + DYING_S:
                return False
            self._end = self._stop_monitor(now)
        return now >= self._end + DYING_S or not self._table.of("monitor")

    def next_due(self) -> float:
        """Return when `advance` is next due, if no process exits before."""
        return (self._kill_at if self._end is None else self._end) + DYING_S

    def finish(self) -> None:
        """Kill the orphan processes that are left."""
        self._orphans.end()

    def _dismiss(self, number: signal.Signals, kill_at: float) -> None:
        self._kill_at = kill_at
        for process in self._table.of(*_BELOW):
            process.dismiss("stop", kill_at, number)

    def _stop_monitor(self, now: float) -> float:
        """Ask the monitor to stop; return when it is killed."""
        self._scoreboard.stopping = 2
        self._orphans.terminate(frozenset(self._table.processes))
        end = now + (AT_ONCE_S if self._at_once else MONITOR_S)
        # Invariant: the time that a kill took is not added to the whole.
        end = min(end, self._kill_at + 1.0 - DYING_S)
        self._dismiss_monitor(end)
        return end

    def _dismiss_monitor(self, kill_at: float) -> None:
        for process in self._table.of("monitor"):
            process.dismiss("stop", kill_at)
