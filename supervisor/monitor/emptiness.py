"""`--until-empty`: the tree ends when no job is left to do for it.

The monitor checks that, since it has a connection, and ends the tree as an operator would: by a
TERM to the supervisor.
"""

import os
import signal

from jobsd.clock import monotonic
from jobsd.configuration.options import Options
from jobsd.database.connection import Session, Statements
from jobsd.events.events import emit
from jobsd.scoreboard.scoreboard import Scoreboard

STATEMENTS = Statements("jobsd.supervisor.monitor", "emptiness.sql")

POLL_S = 0.5
SHARE = 20.0
"""A poll may take long if the other queues have many jobs: then polls are rarer."""


class Emptiness:
    """Checks now and then whether a job is left to do, if the tree is to end then."""

    def __init__(self, session: Session, scoreboard: Scoreboard, options: Options) -> None:
        self._session = session
        self._scoreboard = scoreboard
        self._wanted = options.until_empty
        self._horizon_s = options.horizon_s
        queues = (queue for each in options.workers if each.processes for queue in each.queues)
        self._queues = list(dict.fromkeys(queues))
        self._began = self._due = monotonic()

    def poll(self) -> float:
        """Check if it is due; return the seconds until the next check."""
        if not self._wanted:
            return float("inf")
        now = monotonic()
        if now >= self._due:
            if not self.is_left():
                self._end()
                return float("inf")
            self._due = monotonic() + max(POLL_S, SHARE * (monotonic() - now))
        return self._due - now

    def is_left(self) -> bool:
        """Return whether a job is left, or claimed by another tree, which may release it."""
        parameters = {"queues": self._queues, "horizon_s": self._horizon_s}
        return bool(self._session.fetch(STATEMENTS["is_left"], parameters)[0][0])

    def _end(self) -> None:
        self._wanted = False
        supervisor = self._scoreboard.supervisor_pid
        if os.getppid() == supervisor:
            emit("supervisor.emptied", duration=round(monotonic() - self._began, 3))
            os.kill(supervisor, signal.SIGTERM)
