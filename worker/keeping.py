"""Keeps outcomes in a journal, once a worker is asked to end and can't reach the database.

It is written before each try to connect, and deleted once that works: its outcomes are
recorded then as ever. So whenever the worker is killed, the journal has the outcome of each
job that it has collected; all others are released. See `outcome_journal`.

Invariant: no wait for a silent server lasts until a worker is killed. A statement and a try to
connect, even one that is under way when the worker is asked to end, take at most half of the
time that is left; behind each one the journal is written.
"""

import time
from collections.abc import Callable

from jobsd.clock import monotonic
from jobsd.events.events import emit
from jobsd.performing.perform import Run
from jobsd.processes.context import Context
from jobsd.processes.outcome_journal import Journal, KeptOutcome, journal_path

from .completions import Completions
from .ledger import Ledger
from .report import discard_reason

Outcomes = dict[str, list[int]]
"""Ids of jobs, by their outcomes."""


class Keeping:
    """The journal of one worker, and the outcomes that could not be written into it."""

    def __init__(
        self,
        context: Context,
        ledger: Ledger,
        completions: Completions,
        collect: Callable[[], None],
    ) -> None:
        """Keep the outcomes of the ledger, once `collect` has brought them there."""
        self._context = context
        self._ledger = ledger
        self._completions = completions
        self._collect = collect
        self._journal: Journal | None = None
        if context.journals is not None:
            self._journal = Journal(journal_path(context.journals, context.name))
        self._kept: set[tuple[int, int]] = set()
        self._is_begun = False
        self._reported: set[tuple[str, int]] = set()

    def keep(self) -> None:
        """Write outcomes that are not kept yet; report failures to keep them."""
        if self._journal is None or self._context.orphaned or not self._ledger.has_claims:
            return
        self._collect()
        # A job with a committed transaction has finished nevertheless: its claim shows it.
        runs = [*self._ledger.runs, *self._completions.undecided]
        fresh = [run for run in runs if _key(run) not in self._kept]
        error = self._append(self._journal, fresh)
        if error is not None:
            self._context.entry.outcomes_lost = 1
            # Otherwise our tree goes on, and its monitor knows of each job from the
            # scoreboard.
            if self._context.scoreboard.stopping:
                self._report(fresh, error)

    def discard(self) -> None:
        """Delete the journal: the database is back."""
        if self._journal is None:
            return
        try:
            self._journal.discard()
        except OSError as error:
            emit("logs.unavailable", error=error)
        self._kept.clear()
        self._is_begun = False
        self._context.entry.outcomes_lost = 0

    def _append(self, journal: Journal, runs: list[Run]) -> OSError | None:
        """Write the new outcomes; return why some could not be written."""
        begin = [] if self._is_begun else [{"process_id": self._context.entry.row_id}]
        try:
            if begin or runs:
                journal.append([*begin, *(kept_outcome(run)._asdict() for run in runs)])
        except OSError as error:
            return self._append_each(journal, runs, error) if self._is_begun else error
        self._is_begun = True
        self._kept.update(map(_key, runs))
        return None

    def _append_each(self, journal: Journal, runs: list[Run], error: OSError) -> OSError | None:
        """Write those for which there is room."""
        for run in runs:
            try:
                journal.append([kept_outcome(run)._asdict()])
            except OSError as refused:
                error = refused
            else:
                self._kept.add(_key(run))
        return error if any(_key(run) not in self._kept for run in runs) else None

    def _report(self, runs: list[Run], error: OSError) -> None:
        """Report each job once that is lost if the database does not come back in time."""
        lost: Outcomes = {}
        for run in runs:
            if _key(run) not in self._kept:
                lost.setdefault(run.outcome.verdict.outcome, []).append(run.job.id)
        if not self._is_begun:
            ended = {run.job.id for run in runs}
            lost["released"] = sorted(self._ledger.job_ids - ended)
        lost = {
            outcome: fresh
            for outcome, ids in lost.items()
            if (fresh := [each for each in ids if (outcome, each) not in self._reported])
        }
        self._reported.update((outcome, each) for outcome, ids in lost.items() for each in ids)
        if lost:
            emit("outcomes.lost", outcomes=lost, error=error)


def kept_outcome(run: Run) -> KeptOutcome:
    """Return the kept form of a run."""
    job, outcome, exception = run.job, run.outcome, run.outcome.exception
    discarded = outcome.verdict.outcome == "discarded" and exception is not None
    return KeptOutcome(
        job.claim_id,
        job.id,
        job.class_name,
        job.queue_name,
        job.attempt,
        outcome.verdict.outcome,
        time.time() - (monotonic() - run.ended),
        run.ended - run.started,
        outcome.verdict.wait_s,
        outcome.error,
        outcome.result,
        outcome.ttl_s,
        discard_reason(exception) if discarded and exception is not None else None,
        completes=outcome.completes is not None,
        created_us=job.created_us,
    )


def _key(run: Run) -> tuple[int, int]:
    return run.job.claim_id, run.job.id
