"""Prepares claims for jobs that record their own end by `complete`.

Each gets a claim of its own when it asks for it. Once it has returned, the tables show the
outcome of its transaction: committed, then the job has finished, whatever it raised
afterwards; rolled back, then its attempt has failed; still open, then it is read again later.
Only after that its claim goes, and the slot that it may hold.
"""

import json
from collections.abc import Iterable

from jobsd.clock import monotonic
from jobsd.database.connection import Session
from jobsd.enqueueing import completion
from jobsd.enqueueing.completion import Request
from jobsd.events.events import emit
from jobsd.jobs import limits
from jobsd.performing.interrupter import facts_of
from jobsd.performing.perform import SUCCESS, Run
from jobsd.performing.runner import Runner
from jobsd.processes.context import Context
from jobsd.states.claims import InClaim

from .constants import AWAKE_S, SOON_S
from .ledger import Ledger
from .report import Report


class Completions:
    """The jobs of one worker that complete themselves."""

    def __init__(
        self,
        session: Session,
        context: Context,
        ledger: Ledger,
        report: Report,
        pool: Runner,
    ) -> None:
        self._session = session
        self._ledger = ledger
        self._report = report
        self._pool = pool
        self._entry = context.entry
        self._ended: list[Run] = []
        self._freed: list[int] = []
        self._again_at = 0.0

    def collect(self, runs: list[Run]) -> list[Run]:
        """Return the runs with a known outcome, and keep the others."""
        if not self._ledger.completing:
            return runs
        mine = [run for run in runs if run.outcome.completes is not None]
        self._ended += mine
        self._again_at = 0.0 if mine else self._again_at
        others = [run for run in runs if run.outcome.completes is None]
        for run in others:
            # It has asked for a claim of its own, maybe, and gone on without an answer.
            claim_id = self._ledger.claim_of(InClaim(run.job.id, run.job.claim_id))
            self._ledger.completing.discard(claim_id)
        return others

    @property
    def undecided(self) -> list[Run]:
        """The runs that count only if their transactions were rolled back."""
        return [run for run in self._ended if not run.outcome.drained]

    def step(self) -> None:
        """Answer requests for claims, and find out the outcomes of transactions."""
        if completion.REQUESTS:
            for request in completion.REQUESTS.take():
                self._isolate(request)
        if self._ended and monotonic() >= self._again_at:
            self._settle()
        if self._freed:
            parameters = {"claim_ids": self._freed}
            limits.unblocked(self._session.fetch(completion.STATEMENTS["free"], parameters))
            # Only now: a statement with a lost answer is sent again.
            self._freed = []

    def bound(self, rest_s: float) -> float:
        """Return a rest that ends when there is something to do."""
        if completion.REQUESTS:
            return min(rest_s, SOON_S)
        if self._ended:
            return min(rest_s, max(0.0, self._again_at - monotonic()))
        return rest_s

    def _isolate(self, request: Request) -> None:
        """Give the job a claim of its own; where its claim holds a slot, others leave that."""
        claim_id = self._ledger.claim_of(InClaim(request.job_id, request.claim_id))
        ids = self._ledger.ids_of(claim_id)
        if request.job_id not in ids:
            request.done.set()
            return
        if len(ids) > 1 and self._ledger.has_key(claim_id):
            # No more jobs come into it, and those behind go back before we go on.
            self._ledger.completing.add(claim_id)
            self._ledger.give_back(self._pool.take_back_behind(float("inf"), 0))
            completion.REQUESTS.put_back({request: request})
            return
        if len(ids) > 1:
            parameters = {"job_id": request.job_id, "claim_id": claim_id}
            # Should the connection break, it is asked for again.
            completion.REQUESTS.put_back({request: request})
            rows = self._session.fetch(completion.STATEMENTS["isolate"], parameters)
            completion.REQUESTS.drop(request)
            if not rows:
                request.done.set()
                return
            claim_id = rows[0][0]
            self._ledger.isolate(request.job_id, request.claim_id, claim_id)
        if claim_id != request.claim_id:
            self._entry.moved(request.job_id, request.claim_id, claim_id)
        self._ledger.completing.add(claim_id)
        started = self._started(request.job_id)
        request.answer = completion.Isolated(claim_id, started, self._ledger.keep)
        request.done.set()

    def _started(self, job_id: int) -> float:
        cells = self._entry.in_cells().items()
        begun = [self._pool.started_at[cell] for cell, job in cells if job == job_id]
        return next((at for at in begun if at is not None), monotonic())

    def _settle(self) -> None:
        parameters = {
            "claim_ids": [run.job.claim_id for run in self._ended],
            "job_ids": [run.job.id for run in self._ended],
            "attempts": [run.job.attempts + 1 for run in self._ended],
        }
        became = dict(self._session.fetch(completion.STATEMENTS["completed"], parameters))
        ended, self._ended = self._ended, []
        self._again_at = monotonic() + AWAKE_S
        self._ended = [run for run in ended if became[run.job.claim_id] == "open"]
        known = [run for run in ended if became[run.job.claim_id] != "open"]
        self._ledger.completing.difference_update(run.job.claim_id for run in known)
        self._finish([run for run in known if became[run.job.claim_id] == "committed"])
        undone = [run for run in known if became[run.job.claim_id] == "rolled back"]
        self._ledger.add(run for run in undone if not run.outcome.drained)
        self._ledger.give_back(run.job for run in undone if run.outcome.drained)

    def _finish(self, runs: Iterable[Run]) -> None:
        """Report jobs that are recorded, and note that their claims can go."""
        for run in runs:
            self._ledger.settle(run.job.claim_id)
            self._freed.append(run.job.claim_id)
            self._report.ended([run._replace(outcome=SUCCESS)])
            if not run.outcome.returned and run.outcome.error is not None:
                emit("job.raised", **facts_of(run.job), error=json.loads(run.outcome.error))
