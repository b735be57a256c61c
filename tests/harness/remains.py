"""What dead processes have left: jobs in claims, journals, entries of a scoreboard."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any

from harness.job_rows import claim, make_jobs
from jobsd.processes import registry
from jobsd.processes.outcome_journal import Journal, KeptOutcome, journal_path
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.states import claims
from jobsd.states.claims import Ended
from jobsd.supervisor.recovery.recovery import Recovery

if TYPE_CHECKING:
    from pathlib import Path

    from harness.event_recorder import Emitted
    from jobsd.database.connection import Session

ERROR = json.dumps({"type": "ValueError", "message": "in its own words", "stack": "here"})
RAN_S = 1.25


class Gone:
    """A process that has claimed some jobs, and has left a journal about all but the last."""

    def __init__(self, session: Session, folder: Path, *outcomes: str, **columns: Any) -> None:
        self.session, self.folder = session, folder
        self.jobs = make_jobs(session, len(outcomes) + 1, **columns)
        self.row_id = registry.register(
            session, kind="worker", name="worker-gone", supervisor_id=0, metadata={}
        )
        self.claim_id = claim(session, self.row_id, self.jobs)
        self.path = journal_path(folder, "worker-gone")
        self.kept = [
            self.outcome(job_id, outcome)
            for job_id, outcome in zip(self.jobs, outcomes, strict=False)
        ]
        self.write(*self.kept)

    def outcome(self, job_id: int, outcome: str) -> KeptOutcome:
        has_error = outcome in {"failed", "retried", "discarded"}
        kept = KeptOutcome(
            *(self.claim_id, job_id, "app.job", "default", 1, outcome, time.time() - 60, RAN_S),
            wait_s=3600.0 if outcome in {"retried", "snoozed"} else 0.0,
            error=ERROR if has_error else None,
        )
        return kept._replace(reason="no longer wanted" if outcome == "discarded" else None)

    def write(self, *kept: KeptOutcome, **header: int) -> None:
        journal = Journal(self.path)
        begin = header or {"process_id": self.row_id}
        journal.append([begin, *(each._asdict() for each in kept)])
        journal.close()

    def recovery(self, session: Session | None = None, *, keep: bool = True) -> Recovery:
        own = Scoreboard().entries[0]
        own.take("monitor", "monitor-test")
        return Recovery(session or self.session, own, self.folder, keep_finished=keep)

    def record(self, *kept: KeptOutcome) -> None:
        """Record outcomes as the process itself would have done before it ended."""
        ended = [
            Ended(each.claim_id, each.job_id, each.outcome, RAN_S + 60, 60.0, 0.0, each.error)
            for each in kept
        ]
        parameters = claims.conclusion(ended, "worker-gone", keep=True)
        self.session.fetch(claims.STATEMENTS["conclude"], parameters)


class Died:
    """A worker of a tree that ends: it was killed while one job ran; another had ended."""

    def __init__(self, session: Session, reason: str) -> None:
        self.jobs = make_jobs(session, 3)
        self.scoreboard = Scoreboard()
        entry = self.scoreboard.entries[0]
        entry.take("worker", "worker-gone")
        entry.row_id = registry.register(
            session, kind="worker", name="worker-gone", supervisor_id=0, metadata={}
        )
        claim_id = claim(session, entry.row_id, self.jobs)
        entry.started(0, self.jobs[0], claim_id)
        entry.ended(self.jobs[1], claim_id)
        entry.record_exit(signal.SIGKILL, reason, 0)
        self.entry = entry


def ends(reported: Emitted) -> list[tuple[str, int]]:
    """Return the events about one job each, with the job."""
    return sorted((name, facts["job_id"]) for name, facts in reported if "job_id" in facts)


def lost(reported: Emitted) -> list[dict[str, Any]]:
    """Return the facts of what was reported as lost."""
    return [facts for name, facts in reported if name == "outcomes.lost"]
