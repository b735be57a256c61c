"""The supervisor's own lifecycle hooks: it sends messages for them, and never waits.

Start is when the monitor has written the supervisor's row, stop when the supervisor acts on
the signal to stop, exit when all rows are gone. The hooks process ends last, and has a bounded
time for the exit hooks.
"""

import os
from dataclasses import asdict

from jobsd.instruments import hooks
from jobsd.instruments.hooks import Process
from jobsd.machine import hostname
from jobsd.processes.lifecycle_hooks import CALL_S, END_S
from jobsd.processes.scoreboard import Scoreboard

from .child_table import ChildTable


class SupervisorHooks:
    """Start, stop and exit hooks of one supervisor."""

    def __init__(self, scoreboard: Scoreboard, table: ChildTable) -> None:
        self._scoreboard = scoreboard
        self._table = table
        self._row_id = 0
        self._called: list[str] = []
        self._until: float | None = None

    @property
    def last_s(self) -> float:
        """How long the stop of the tree may take for the exit hooks."""
        return END_S + CALL_S if self._scoreboard.hook_line else 0.0

    def start(self) -> None:
        """Call the start hooks once we are registered. To be called in each iteration."""
        if not self._called and self._scoreboard.supervisor_row:
            self._call("start")

    def stop(self) -> None:
        """Call the stop hooks: the tree is asked to stop."""
        if self._called == ["start"]:
            self._call("stop")

    def over(self, now: float) -> bool:
        """Call the exit hooks once; return whether the hooks process has ended after them."""
        if self._until is None:
            # Without start hooks there are no exit hooks to wait for.
            began = self._called == ["start", "stop"]
            self._until = now + self.last_s if began else now
            if began:
                self._call("exit")
            for process in self._table.of("hooks"):
                process.dismiss("stop", self._until)
        return now >= self._until or not self._table.of("hooks")

    def next_due(self) -> float:
        """Return when the hooks process must have exited."""
        return float("inf") if self._until is None else self._until

    def _call(self, stage: str) -> None:
        self._called.append(stage)
        self._row_id = self._scoreboard.supervisor_row or self._row_id
        name, line = hooks.name_of("supervisor", stage), self._scoreboard.hook_line
        # The exit is sent in any case: it ends the hooks process.
        if line is None or (name not in line.hooks and stage != "exit"):
            return
        me = Process(
            "supervisor",
            self._scoreboard.supervisor_name,
            os.getpid(),
            hostname(),
            self._row_id,
        )
        if not line.send({"hook": name, "process": asdict(me)}):
            hooks.report_failure(name, "the hooks process does not listen")
