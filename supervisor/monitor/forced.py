"""Jobs that were cancelled by force in processes which don't notice it.

A worker reads by itself what of its jobs is to stop. One whose loop stands, since a job holds
the interpreter's lock, can't: then the monitor says in its entry by when the job has to have
ended, and the supervisor ends the process. While all loops of the tree go round, nothing is
asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.database.statements import Statements
from jobsd.jobs.claims import InClaim
from jobsd.processes.process import REST_MAX_S

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.processes.entry import ScoreboardEntry
    from jobsd.processes.scoreboard import Scoreboard

STATEMENTS = Statements("jobsd.supervisor.monitor", "forced.sql")

STUCK_S = REST_MAX_S + 1.0
"""A loop rests for less than that."""
CHECK_S = 1.0


class ForcedCancels:
    """Looks after the workers of this tree that stand still."""

    def __init__(self, session: Session, scoreboard: Scoreboard, kill_after_s: float) -> None:
        self._session = session
        self._scoreboard = scoreboard
        self._kill_after_s = kill_after_s

    def poll(self) -> float:
        """Ask of those that stand still; return the seconds until the next look."""
        workers = [
            entry
            for entry in self._scoreboard.living()
            if entry.kind == "worker" and entry.row_id and entry.runs_any
        ]
        stuck = {each.row_id: each for each in workers if each.tick_age_s > STUCK_S}
        if stuck:
            self._ask(stuck)
        return CHECK_S if workers else float("inf")

    def _ask(self, stuck: dict[int, ScoreboardEntry]) -> None:
        parameters = {"process_ids": list(stuck), "kill_after_s": self._kill_after_s}
        for process_id, job_id, claim_id, grace_s in self._session.fetch(
            STATEMENTS["forced"], parameters
        ):
            entry, job = stuck[process_id], InClaim(job_id, claim_id)
            # One after the other: the first ends the process.
            if job in entry.running() and not entry.forced:
                entry.force(job, grace_s)
