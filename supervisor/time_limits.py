"""Ends the processes of jobs that are over their time limit and do not stop.

The limit is judged from outside, by the row that the job has written to the scoreboard when it
began. The process is asked to stop, and has a successor at once: it claims no more jobs, and
its other jobs may end. It is killed when they have ended, which it does itself, or once the job
has had twice its time. A process that does not even notice the request is killed at once: the
job holds the lock of the interpreter; a dump (SIGABRT) shows its stack. The outcome of the job
is in the scoreboard; other jobs that ran are released.
"""

import signal

from jobsd.clock import monotonic_ns
from jobsd.processes.process import REST_MAX_S
from jobsd.scoreboard.hard_limits import Overdue
from jobsd.scoreboard.scoreboard import Scoreboard

from . import events, hang_detection
from .child_table import ChildTable
from .children import ChildProcess
from .overdue_stack import REASON

NOTICE_S = 1.0
"""How long a process may take to notice that it was asked to stop."""
STUCK_S = REST_MAX_S + NOTICE_S
"""A loop that has not ticked for this time at the request will not notice it."""


class TimeLimits:
    """Enforces the limits of all jobs of the tree."""

    def __init__(self, scoreboard: Scoreboard, table: ChildTable) -> None:
        self._scoreboard = scoreboard
        self._table = table
        # When each process was asked, and its deadline (monotonic).
        self._asked: dict[ChildProcess, tuple[float, float]] = {}
        self.next_due = float("inf")

    def enforce(self, now: float) -> None:
        """Ask processes to stop, and kill them, if that is due."""
        self.next_due = float("inf")
        living = [
            each
            for each in self._table.of("worker")
            if not each.killed and each.asked_by != signal.SIGABRT
        ]
        self._asked = {each: when for each, when in self._asked.items() if each in living}
        for process in living:
            if hard_ns := process.entry.next_hard_ns:
                self._judge(process, hard_ns, now)

    def _judge(self, process: ChildProcess, hard_ns: int, now: float) -> None:
        now_ns = monotonic_ns()
        if hard_ns > now_ns:
            self._check_at(now + (hard_ns - now_ns) / 1e9)
            return
        if not (overdue := process.entry.overdue(now_ns)):
            return
        if process not in self._asked:
            self._ask(process, overdue, now)
        asked_at, kill_at = self._asked[process]
        noticed = process.entry.ticked_ns / 1e9 > asked_at
        stuck = process.entry.tick_age_s > STUCK_S
        due = kill_at if noticed else min(kill_at, asked_at + (0.0 if stuck else NOTICE_S))
        if now < due:
            self._check_at(due)
        elif noticed:
            events.emit(self._scoreboard, "process.killed", **process.facts(), reason=REASON)
            process.kill()
        else:
            process.dismiss(REASON, now + hang_detection.DUMP_S, signal.SIGABRT)

    def _ask(self, process: ChildProcess, overdue: list[Overdue], now: float) -> None:
        events.emit(
            self._scoreboard,
            "process.overdue",
            **process.facts(),
            job_ids=[each.job.job_id for each in overdue],
        )
        self._asked[process] = now, now + min(each.grace_s for each in overdue)
        for child in self._table.children:
            if child.process is process:
                self._table.replace(child, REASON)
        if not process.asked:
            process.dismiss(REASON)

    def _check_at(self, due: float) -> None:
        self.next_due = min(self.next_due, due)
