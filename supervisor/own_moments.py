"""The moments of the supervisor's own life, for its hooks: it only tells, and never waits.

Start is when the monitor has written its row, stop when the signal to stop is acted on,
exit when all rows are gone. The hooks process, which ends last, has a bounded time for it.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from jobsd.instruments import hooks
from jobsd.instruments.hooks import Process
from jobsd.machine import hostname
from jobsd.processes.moments import CALL_S, END_S

if TYPE_CHECKING:
    from jobsd.processes.board import Board

    from .crew import Crew


class OwnMoments:
    """Start, stop and exit of one supervisor."""

    def __init__(self, board: Board, crew: Crew) -> None:
        self._board = board
        self._crew = crew
        self._row_id = 0
        self._reached: list[str] = []
        self._until: float | None = None

    @property
    def last_s(self) -> float:
        """How long the end of the tree may take for the hooks of the exit."""
        return END_S + CALL_S if self._board.hook_line else 0.0

    def look(self) -> None:
        """See whether we are registered. To be called each round."""
        if not self._reached and self._board.supervisor_row:
            self._reach("start")

    def stop(self) -> None:
        """Say that the tree is told to end."""
        if self._reached == ["start"]:
            self._reach("stop")

    def over(self, now: float) -> bool:
        """Say, once, that the tree has ended; return whether the hooks process has, too."""
        if self._until is None:
            # Where nobody is to be told, nobody is waited for.
            began = self._reached == ["start", "stop"]
            self._until = now + self.last_s if began else now
            if began:
                self._reach("exit")
            for child in self._crew.of("hooks"):
                child.dismiss("stop", self._until)
        return now >= self._until or not self._crew.of("hooks")

    def next_due(self) -> float:
        """Return until when the hooks process has time to end."""
        return float("inf") if self._until is None else self._until

    def _reach(self, moment: str) -> None:
        self._reached.append(moment)
        self._row_id = self._board.supervisor_row or self._row_id
        name, line = hooks.name_of("supervisor", moment), self._board.hook_line
        # The exit is told in any case: it ends the hooks process.
        if line is None or (name not in line.hooks and moment != "exit"):
            return
        me = Process(
            "supervisor",
            self._board.supervisor_name,
            os.getpid(),
            hostname(),
            self._row_id,
        )
        if not line.send({"hook": name, "process": asdict(me)}):
            hooks.tell_failure(name, "the hooks process does not listen")
