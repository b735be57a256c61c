"""Outcomes that were sent to be recorded, and whose answer never came.

They stay with the ledger, which sends them again as long as their claim holds them. What it
holds no longer was recorded by the statement whose answer was lost, or settled by somebody
who took this process for dead. The former is told here, by nobody else and once; the latter
has told whoever did it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.instruments.events import emit
from jobsd.jobs.claims import Ended
from jobsd.jobs.lost import find
from jobsd.jobs.reconciliation import Sent, recorded
from jobsd.performing.perform import Run

from .writing import ended

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.performing.perform import ClaimedJob

    from .ledger import Ledger
    from .report import Report
    from .writing import Claims, Writing


class Unanswered:
    """What one worker has sent without an answer."""

    def __init__(self, report: Report, ledger: Ledger) -> None:
        self._report = report
        self._ledger = ledger
        self._last: tuple[Writing, int] | None = None
        # By claim and job. What was sent again may have been done by either statement.
        self._lost: dict[tuple[int, int], tuple[list[Sent], Run | ClaimedJob]] = {}

    def sent(self, writing: Writing, process_id: int) -> None:
        """Take note of what is sent now, by a process that has this id."""
        self._last = writing, process_id

    def answered(self, writing: Writing, recorded: set[int], concluded: set[int]) -> None:
        """Take note of an answer: what these claims let be written is told by who has it."""
        self._last = None
        if not self._lost:
            return
        for told, claims in ((writing.plain_ids, recorded), (writing.rare_ids, concluded)):
            for claim_id in told.keys() & claims:
                for job_id in told[claim_id]:
                    self._lost.pop((claim_id, job_id), None)

    def lose(self) -> None:
        """Take note that the connection is gone, and an answer that was waited for with it."""
        if self._last is None:
            return
        (writing, process_id), self._last = self._last, None
        for run in [*writing.plain, *writing.rare]:
            self._keep_in_mind(run, ended(run, writing.now), process_id)
        for job in writing.unstarted:
            self._keep_in_mind(job, Ended(job.claim_id, job.id, "released"), process_id)

    def tell(self, session: Session, gone: Claims) -> None:
        """Tell what turns out to be recorded by us, and which claims were taken away.

        To be called once the claims have been read back; `gone` are those that are no more.
        """
        recorded = self._recorded(session)
        runs = [what for what in recorded if isinstance(what, Run)]
        released = [what for what in recorded if not isinstance(what, Run)]
        self._report.ended(runs)
        self._report.released(released)
        ours = {_job_of(what).id for what in recorded}
        if lost := sorted(claim_id for claim_id, job_ids in gone.items() if job_ids - ours):
            emit("claims.lost", claims=lost)
        # Whoever has taken them has put their jobs somewhere; if not, that is to be found now.
        find(session, set[int]().union(*gone.values()) - ours)

    def _recorded(self, session: Session) -> list[Run | ClaimedJob]:
        holds = self._ledger.holds
        settled = [key for key, (_, what) in self._lost.items() if not holds(_job_of(what))]
        if not settled:
            return []
        sent = [each for key in settled for each in self._lost[key][0]]
        ours = recorded(session, sent, self._ledger.process, keep=self._ledger.keep)
        return [what for key in settled if (what := self._lost.pop(key)[1]) and key in ours]

    def _keep_in_mind(self, what: Run | ClaimedJob, ended: Ended, process_id: int) -> None:
        job = _job_of(what)
        sent, _ = self._lost.setdefault((job.claim_id, job.id), ([], what))
        sent.append(Sent(ended, job.attempts + 1, process_id))


def _job_of(what: Run | ClaimedJob) -> ClaimedJob:
    return what.job if isinstance(what, Run) else what
