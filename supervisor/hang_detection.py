"""Hang detection, by the progress of each process's loop instead of a heartbeat thread.

The heartbeat of a thread does not prove that the loop beside it runs: in a trial, the loop had
been dead for a second when the thread's heartbeat was a tenth of a second old. So the loops
themselves tick. A process that does not tick for `hang_timeout` gets SIGABRT, at which
faulthandler dumps its stacks, even while a C call holds the interpreter's lock, and is killed a
second later. A stopped process can't dump its stacks and is killed at once.

If our own loop has stalled, the machine was suspended or starved, or we were stopped, and
probably the other processes too. Then no process is judged for one `hang_timeout`.
"""

import signal
from collections.abc import Iterable

from jobsd.clock import monotonic, monotonic_ns
from jobsd.configuration.options import SupervisorOptions
from jobsd.machine import process_stat
from jobsd.scoreboard.scoreboard import Scoreboard, ScoreboardEntry

from .children import ChildProcess
from .events import emit

GAP_MIN_S = 2.0
"""Our loop rests for a second at most; twice that is a stall."""

ATTEMPT_S = 4.5
"""The least time allowed for an attempt to reach a database that is cut off: three seconds to
connect, and a statement. Replacing the monitor earlier would not be quicker."""

LATER_S = 0.01
"""The delay of a check after the moment at which a process may have hung."""

DUMP_S = 1.0
"""How long a hung process may take to dump its stacks."""


def round_max_s(process_alive_threshold_s: float) -> float:
    """Return how long the monitor's database thread may take for a rest or an attempt.

    If the monitor stalls for the whole threshold, peer trees declare its tree dead.
    """
    return max(process_alive_threshold_s / 3, ATTEMPT_S)


class HangDetection:
    """Checks the ticks of each process in each iteration of the supervisor."""

    def __init__(self, scoreboard: Scoreboard, options: SupervisorOptions) -> None:
        self._scoreboard = scoreboard
        self._hang_s = options.hang_timeout_s
        self._round_s = round_max_s(options.process_alive_threshold_s)
        self._gap_s = min(self._hang_s / 2, max(self._round_s / 2, GAP_MIN_S))
        self._judge_from = 0.0
        self._came_round = monotonic()
        self.next_due = float("inf")
        """When the process with the oldest tick counts as hung, unless it ticks before. Peer
        trees wait for that, and for the time that the kill takes."""

    def kill_hung(self, processes: Iterable[ChildProcess]) -> None:
        """Begin to kill the processes that hang."""
        # Invariant: the ages are read before the clock. If we are stopped in between, the ages
        # are still those from before the stop, or the gap shows it.
        still = [(process, self._stood_still_s(process)) for process in processes]
        now = monotonic()
        gap_s, self._came_round = now - self._came_round, now
        if gap_s > self._gap_s:
            self._judge_from = now + self._hang_s
            emit(self._scoreboard, "supervisor.stalled", seconds=round(gap_s, 3))
        awaited = [each for each in still if each[0].asked != "hung" and not each[0].killed]
        self.next_due = self._next_due(now, (process.entry for process, _ in awaited))
        if now < self._judge_from:
            return
        for process, still_s in awaited:
            if still_s:
                self._end(process, still_s, now)

    def _next_due(self, now: float, entries: Iterable[ScoreboardEntry]) -> float:
        left_s = self._hang_s - max((entry.tick_age_s for entry in entries), default=0.0)
        return max(now + left_s, self._judge_from) + LATER_S

    def _stood_still_s(self, process: ChildProcess) -> float:
        """Return for how long a process has hung, 0 if it does not."""
        entry = process.entry
        if entry.tick_age_s > self._hang_s:
            return entry.tick_age_s
        if process.spec.kind == "monitor":
            round_age_s = (monotonic_ns() - self._scoreboard.monitor_polled_ns) / 1e9
            still_s = min(round_age_s, entry.age_s)
            return still_s if still_s > self._round_s else 0.0
        return 0.0

    def _end(self, process: ChildProcess, still_s: float, now: float) -> None:
        emit(
            self._scoreboard,
            "process.hung",
            **process.facts(),
            stalled_s=round(still_s, 3),
            running=process.entry.in_cells(),
        )
        process.dismiss("hung", now + DUMP_S, signal.SIGABRT)
        stat = process_stat(process.pid)
        # If /proc is not that of our namespace, it is killed a second later.
        if stat is not None and stat.state == "T":
            process.kill()
