"""Takes in what a claim has brought: jobs that threads run, and jobs that go back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobsd.performing.perform import ClaimedJob
    from jobsd.performing.pool import Pool

    from .choice import Choice
    from .knowledge import Knowledge
    from .ledger import Ledger
    from .pace import Pace
    from .report import Report
    from .stretch import Stretch
    from .turn import Result


@dataclass(frozen=True, slots=True)
class Intake:
    """What of a worker has to do with jobs that it has just claimed."""

    choice: Choice
    knowledge: Knowledge
    ledger: Ledger
    pace: Pace
    pool: Pool
    report: Report
    stretch: Stretch

    def hand_over(self, result: Result, asked_at: float) -> None:
        """Give the threads their jobs, and note down the claim."""
        jobs = result.jobs
        if result.claim_id is None:
            return
        self.ledger.add_claim(result.claim_id, [*jobs, *result.withheld, *result.strange])
        self.pace.weigh(len(jobs), result.weight, withheld=bool(result.withheld))
        if jobs:
            self._post(jobs, asked_at)
            self.report.claimed(result.claim_id, jobs)

    def give_back(self, result: Result, limit: int, asked_at: float) -> None:
        """Let go back what did not come along, and what is not known here unless it is to fail.

        A claim that brought nothing else has come upon a stretch of such jobs.
        """
        self.ledger.give_back([*result.withheld, *result.strange])
        if result.withheld:
            self.stretch.places.want_sweep()
        if not result.strange:
            return
        # Noted down as going back before the database is asked, which may fail.
        if failing := self.knowledge.judge(result.strange):
            self.ledger.keep_back(failing)
            self._post(failing, asked_at)
        elif len(result.strange) == limit:
            self.stretch.begin(result.strange[-1], named=self.choice.by_names)

    def _post(self, jobs: list[ClaimedJob], asked_at: float) -> None:
        low_water = self.pace.ahead(()) // 2
        self.pool.post(jobs, asked_at, low_water, self.choice.rank)
