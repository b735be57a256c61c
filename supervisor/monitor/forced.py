"""Jobs that were cancelled by force in processes that don't notice it.

A worker reads by itself which of its jobs are cancelled. A worker whose loop is stuck, since a
job holds the interpreter's lock, can't: then the monitor writes into its entry the time by
which the job must have ended, and the supervisor ends the process. The monitor is notified of
these cancels as well: a worker that has not polled since is stuck. Without notifications,
workers poll each second while they have jobs. While all loops of the tree poll, no statement is
needed.
"""

from jobsd.clock import monotonic_ns
from jobsd.database.connection import Session, Statements
from jobsd.processes.process import REST_MAX_S
from jobsd.scoreboard.scoreboard import Scoreboard, ScoreboardEntry
from jobsd.states.claims import InClaim

STATEMENTS = Statements("jobsd.supervisor.monitor", "forced.sql")

STUCK_S = REST_MAX_S + 1.0
"""A loop rests for less than that."""
SILENT_S = 2.0
"""A loop without notifications, and with jobs, rests for less than this."""
CHECK_S = 1.0
NOTICE_S = 1.0
"""How long a worker may take to poll after a notification."""


class ForcedCancels:
    """Ends the jobs cancelled by force in stuck workers of this tree."""

    def __init__(self, session: Session, scoreboard: Scoreboard, kill_after_s: float) -> None:
        self._session = session
        self._scoreboard = scoreboard
        self._kill_after_s = kill_after_s
        # The first and the last notification since the last check (monotonic); 0: none.
        self._first_ns = self._last_ns = 0

    def poll(self, *, notified: bool) -> float:
        """Look up the cancels of stuck workers; return the seconds until the next check.

        `notified`: a job was cancelled by force since the last call.
        """
        now_ns = monotonic_ns()
        if notified:
            self._first_ns, self._last_ns = self._first_ns or now_ns, now_ns
        workers = [
            entry
            for entry in self._scoreboard.living()
            if entry.kind == "worker" and entry.row_id and entry.runs_any
        ]
        deaf_ns = self._deaf_since(now_ns)
        still_s = STUCK_S if self._session.listening else SILENT_S
        stuck = {
            each.row_id: each
            for each in workers
            if each.tick_age_s > still_s or each.ticked_ns < deaf_ns
        }
        if stuck:
            self._ask(stuck)
        return CHECK_S if workers else float("inf")

    def _deaf_since(self, now_ns: int) -> int:
        """Return the time since which a living worker must have polled; 0: none is checked."""
        if not self._first_ns or now_ns - self._first_ns < NOTICE_S * 1e9:
            return 0
        deaf_ns = self._first_ns
        # Check once more for workers that were notified later.
        self._first_ns = self._last_ns = self._last_ns if self._last_ns > deaf_ns else 0
        return deaf_ns

    def _ask(self, stuck: dict[int, ScoreboardEntry]) -> None:
        parameters = {"process_ids": list(stuck), "kill_after_s": self._kill_after_s}
        for process_id, job_id, claim_id, grace_s in self._session.fetch(
            STATEMENTS["forced"], parameters
        ):
            entry, job = stuck[process_id], InClaim(job_id, claim_id)
            # One after the other: the first one ends the process, unless it ends in time.
            running = set(entry.running())
            if job in running and entry.forced_job not in running:
                entry.force(job, grace_s)
