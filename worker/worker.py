"""A worker: one control thread that alone speaks to the queue, and what runs its jobs.

Each `poll` collects outcomes, takes a turn when one is due, posts new jobs to the pool, and
returns how long there is nothing to do. A turn is due when jobs may be claimed (the pool has
room, and there is reason to think that some are ready) or when outcomes should be recorded
(the pool has nothing more to do, or the oldest outcome is 10 ms old). A turn that claims
records, too; but in a stream of single jobs only one in several does, for which see
`_is_recording_due`.

`claiming` decides when there is reason, how many jobs to claim, and from where. Before a rest
with nothing in hand it prepares the claim that is sent first when the rest ends.

States: connecting (register, and reconcile what a broken connection left uncertain), polling,
draining (claim nothing, release what was not started), stopped once all is recorded.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

from jobsd.clock import monotonic
from jobsd.database.connection import OUTAGES, Session
from jobsd.jobs.current import begin_drain
from jobsd.jobs.selection import Selection
from jobsd.performing.coroutines import Coroutines
from jobsd.performing.pool import Pool
from jobsd.performing.progress import ProgressWriter
from jobsd.performing.runner import FRESH, TRUST_S
from jobsd.processes.database_loop import DatabaseLoop

from .cancels import Cancels, end_if_alone
from .claiming.claiming import Claiming
from .claiming.known_classes import KnownClasses
from .claiming.polling import PATIENCE_S, POLL_MAX_S
from .claiming.selector import QueueSelector
from .completions import Completions
from .keeping import Keeping
from .ledger import Claims, Ledger
from .report import Report, UncertainOutcomes
from .turn import ClaimRequest, TurnResult, Turns

if TYPE_CHECKING:
    from jobsd.configuration.options import JobsOptions, WorkerOptions
    from jobsd.database.connection import Target
    from jobsd.performing.runner import Rank, Runner
    from jobsd.processes.context import Context
    from jobsd.states.claims import Ended


FLUSH_S = 0.01
"""An outcome waits at most this long to be recorded together with others."""
RECONCILE_S = 10.0
"""How often the claims are read back."""


class Worker(DatabaseLoop):
    """The loop of a worker process."""

    kind = "worker"

    def __init__(  # noqa: PLR0913 - what a worker is made of
        self,
        context: Context,
        target: Target,
        options: WorkerOptions,
        jobs: JobsOptions,
        *,
        trust_s: float = TRUST_S,
        drain_s: float | None = None,
        slow_after_s: float | None = None,
    ) -> None:
        session = Session(target, f"jobsd {context.name}", listen=True, plan_once=True)
        super().__init__(context, session)
        self._options, self._drain_s = options, drain_s
        self._fresh_s = trust_s * FRESH
        made = options.at_once, context.entry, context.nap.wake, trust_s
        self._pool: Runner = Coroutines(*made) if options.coroutines else Pool(*made)
        selector = QueueSelector(Selection(options.queues), session)
        known_classes = KnownClasses(session, selector, jobs)
        self._ledger = Ledger(context.name, keep=jobs.preserve_finished_jobs)
        self._report = Report(context.entry, slow_after_s)
        self._progress = ProgressWriter(session, context.nap.wake, context.name)
        self._uncertain = UncertainOutcomes(self._report, self._ledger)
        self._turns = Turns(session, self._ledger, self._pool, context.entry)
        self._completions = Completions(
            *(session, context, self._ledger, self._report, self._pool)
        )
        kept = self._ledger, self._completions, self._collect_posted
        self._keeping = Keeping(session, context, *kept)
        self._claiming = Claiming(
            *(session, options, known_classes, selector, self._ledger),
            *(self._pool, self._report, self._turns),
        )
        self._cancels = Cancels(session, self._ledger, self._pool)
        self._registered_at = self._reconcile_at = 0.0
        self._release: list[Ended] = []

    # The life of the process.

    def metadata(self) -> dict[str, Any]:
        """Return the configuration of this worker for its row."""
        return {
            "queues": ",".join(self._options.queues),
            "threads": self._options.at_once,
            **({"coroutines": count} if (count := self._options.coroutines) else {}),
            "polling_interval": self._options.polling_interval_s,
        }

    def connect(self) -> None:
        """Register, and reconcile the uncertain claims of a broken connection."""
        if self._stopping:
            self._keeping.keep()
            self._keeping.require_time()
        began, before = monotonic(), self._process_id
        super().connect()
        self._keeping.discard()
        # Another process may have declared us dead, and recovered our claims.
        lost = None if before in {0, self._process_id} else self._ledger.abandon()
        self._registered_at = began
        self._claiming.idle.forget()
        self._claiming.known_classes.publish(self._process_id)
        self._reconcile(began, lost)
        self._claiming.begin_anew()

    def disconnect(self) -> None:
        """Drop the connection; running jobs go on, and their outcomes wait."""
        super().disconnect()
        self._ledger.mark_uncertain()
        self._uncertain.mark_uncertain()
        self._claiming.prefetch.start_small()

    def doing(self) -> str:
        """Return the text of the process title."""
        queues = ",".join(self._options.queues)
        if self._stopping:
            return f"draining {self._pool.busy} of {queues}"
        places = "coroutines" if self._options.coroutines else "threads"
        return f"{self._pool.busy}/{self._pool.size} {places} on {queues}"

    def stop(self) -> None:
        """Claim nothing more, release unstarted jobs, and let running jobs know of it."""
        super().stop()
        self._report.draining = True
        begin_drain(self._drain_s)
        if self._drain_s is not None and self._pool.uncollected:
            self._pool.drain(max(self._drain_s - 0.5, self._drain_s * 0.75))
        self._ledger.give_back(self._pool.take_back())

    @property
    def stopped(self) -> bool:
        """Whether nothing runs and everything is recorded."""
        return self._stopping and not (
            self._claiming.ahead.sent or self._pool.uncollected or self._ledger.has_claims
        )

    def farewell(self) -> None:
        """Delete the row; the pool's threads end with the process."""
        self._pool.close()
        self._progress.finish(self._process_id)
        super().farewell()

    # One poll.

    def poll(self) -> float:
        """Take a turn if one is due; return the seconds until the next may be."""
        self._hear()
        request = self._sent_claim()
        asked_at = self._confirm_row() if request is None else request.asked_at
        # The server works on what was sent, meanwhile. Mostly that was with nothing in hand.
        if request is None or self._pool.uncollected:
            self._collect()
        self._record(asked_at, request or self._claim(asked_at))
        return self._rest(asked_at)

    def _sent_claim(self) -> ClaimRequest | None:
        """Send the prepared claim if it is due; return the claim that was sent, if any."""
        ahead = self._claiming.ahead
        if ahead.prepared is not None:
            delegated = not self._claiming.stream.flows
            ahead.send(alone=self._claims_alone, delegated=delegated)
        return ahead.take(may_claim=not self._claims_nothing)

    def _confirm_row(self) -> float:
        """Return the time: our jobs stay ours for `trust_s` from it, as our row is fresh."""
        now = monotonic()
        if now <= self._fresh_until:
            return now
        self.connect()
        return self._registered_at

    @property
    def _fresh_until(self) -> float:
        heartbeat_at = max(self._registered_at, self._context.entry.heartbeat_ns / 1e9)
        return heartbeat_at + self._fresh_s

    def _hear(self) -> None:
        """Take in notifications."""
        for payload in self._session.notifications():
            word, _, queue = payload.partition(" ")
            self._claiming.hear(word, queue)
            if word == "cancel":
                self._cancels.hear(payload, self._process_id)

    def _collect(self) -> None:
        """Collect posted outcomes, and handle ended and running jobs."""
        self._pool.check_threads()
        if self._pool.uncollected or self._pool.series:
            self._collect_posted()
        self._completions.step()
        if self._ledger.frees_slot:
            # The same turn hands the slot over, and the next job of the key is claimed.
            self._claiming.limited.search.now()
        self._cancels.stop(self._process_id)
        if self._stopping:
            end_if_alone(self._context.entry, self._ledger, self._pool)
        self._progress.write(self._process_id)

    def _collect_posted(self) -> None:
        """Take outcomes from the threads, and take back what they can't start in time."""
        runs = self._pool.collect()
        self._claiming.prefetch.observe_durations([run.ended - run.started for run in runs])
        self._ledger.add(self._completions.collect(runs))
        self._ledger.give_back(self._pool.take_returned())
        if (keep := self._claiming.prefetch.late(self._pool)) is not None:
            self._ledger.give_back(self._pool.take_back(keep))
        if self._pool.series:
            keep = self._claiming.prefetch.series_startable
            self._ledger.give_back(self._pool.take_back_behind(PATIENCE_S, keep))

    def _record(self, asked_at: float, request: ClaimRequest | None = None) -> None:
        """Take a turn: record ended jobs, if that is due, and claim the requested ones."""
        sent = request is not None and request.answer is not None
        records = not sent and self._is_recording_due(claims=request is not None)
        if not (request or self._release or records):
            return
        recording = self._ledger.recording() if records else self._ledger.nothing
        release, self._release = ([], self._release) if sent else (self._release, [])
        self._uncertain.sent(recording, self._process_id)
        take = partial(self._turns.take, recording, release=release, request=request)
        hand_over = partial(self._hand_over, request, asked_at, self._claiming.order)
        # A thread that waits for the answer itself begins the job at once.
        delegated = request is not None and request.delegated
        result = self._pool.delegate(take, hand_over) if delegated else hand_over(take())
        if result is None:
            self._uncertain.answered(recording, set(), set())
            self._reconcile_at = 0.0  # jobs to release are read back
            self._claiming.polling.poll_now()
            return
        woken = False
        if result.jobs and request is not None:
            if len(result.jobs) < request.limit:
                woken = self._context.nap.yield_gil()
            self._send_next(request)
        written = result.recorded, result.concluded
        if not self._ledger.forget(recording, *written) or not result.whole:
            self._reconcile_at = 0.0
        self._uncertain.answered(recording, *written)
        self._report.recorded(recording, *written, result.cancelled)
        if request is not None:
            self._claiming.finish(request, result)
        if woken:  # A job that wakes us so soon ends at once.
            self._collect()

    def _hand_over(
        self,
        request: ClaimRequest | None,
        asked_at: float,
        order: tuple[int, Rank],
        result: TurnResult | None,
    ) -> TurnResult | None:
        """Hand over what a turn has claimed; return its result."""
        if result is None or request is None or result.claim_id is None:
            return result
        self._ledger.add_claim(result.claim_id, result.claimed, asked_at)
        if result.jobs:
            self._pool.post(result.jobs, asked_at, *order)
        return result

    def _send_next(self, request: ClaimRequest) -> None:
        """Send the next claim if its job has come, and jobs come one after another."""
        in_doubt = self._pool.doubts or self._ledger.locked or request.lanes
        if in_doubt or not self._claiming.stream.flows:
            return
        # A connection that breaks now breaks the next statement, too, and this turn is whole.
        with contextlib.suppress(*OUTAGES):
            self._hear()
            due = self._claiming.polling.is_due
            # What is to be read back comes first, and limited jobs, which need room as well.
            search_at = self._claiming.limited.search.due_at
            if due and monotonic() < min(self._reconcile_at, search_at):
                self._claiming.ahead.prepare(self._process_id, self._fresh_until)
                self._claiming.ahead.send(alone=self._claims_alone)

    def _reconcile(self, asked_at: float, lost: Claims | None = None) -> None:
        """Read our claims back; report the missing ones, and the `lost` ones."""
        self._reconcile_at = asked_at + RECONCILE_S
        self._cancels.note()
        unknown, gone = self._ledger.reconcile(self._session, self._process_id)
        self._release += unknown
        self._pool.verify(self._ledger.holds, asked_at)
        self._uncertain.reconcile(self._session, {**(lost or {}), **gone})
        if unknown:
            self._record(asked_at)

    def _rest(self, asked_at: float) -> float:
        """Read claims back if that is due, and return how long to rest."""
        if self._claiming.ahead.sent is not None:
            return 0.0
        if self._is_reconciling_due():  # after the turn, for which a job may wait
            self._reconcile(asked_at)
        return self._rest_s()

    def _rest_s(self) -> float:
        """Return how long to rest, after clearing gaps if there is time for it."""
        # Data that came while a statement ran does not make the socket readable any more.
        self._hear()
        entry = self._context.entry
        entry.set_threads(self._pool.busy, self._pool.size)
        entry.busy_coroutines = self._pool.on_loop
        rest_s = self._claiming.clear(self._idle_s())
        rest_s = self._cancels.bound(self._completions.bound(self._progress.bound(rest_s)))
        nothing_ends = self._may_wait or not self._ledger.has_claims
        if rest_s and nothing_ends and not self._pool.uncollected:
            self._claiming.ahead.prepare(self._process_id, self._fresh_until)
        return rest_s

    @property
    def _claims_nothing(self) -> bool:
        unread = self._context.scoreboard.journals_unread
        return bool(self._stopping or self._context.quiet or unread)

    @property
    def _room(self) -> int:
        """The number of jobs that may be claimed now."""
        return 0 if self._claims_nothing else self._claiming.room()

    @property
    def _claims_alone(self) -> bool:
        """Whether a turn that claims would do nothing more."""
        return not (
            self._claims_nothing or self._release or self._is_recording_due(claims=True)
        )

    def _claim(self, asked_at: float) -> ClaimRequest | None:
        """Return the request of a claim if one is due; its turn records, too."""
        self._claiming.survey()
        room = self._room
        if room <= 0 or monotonic() < self._claiming.due_at:
            return None
        request = self._claiming.request(room, asked_at, self._process_id)
        self._claiming.claim_ahead(request)
        return request

    def _is_recording_due(self, *, claims: bool) -> bool:
        """Return whether the turn records ended jobs.

        A turn that claims does, since one commit serves both, and so does one of a worker that
        has nothing more to do. But where jobs come one after another, the next one waits for
        the turn, and to record takes as long again as to claim: there outcomes wait for the
        turn that finds the oldest of them old enough.
        """
        if not self._ledger.has_unrecorded:
            return False
        oldest = self._ledger.oldest
        if oldest is None or monotonic() - oldest >= FLUSH_S:
            return True
        return not self._may_wait and (claims or not self._pool.in_hand)

    @property
    def _may_wait(self) -> bool:
        """Whether all that has ended waits, as jobs come one after another."""
        return self._claiming.stream.flows and self._ledger.may_wait

    def _is_reconciling_due(self) -> bool:
        if self._pool.doubts or self._reconcile_at == 0 or self._turns.check_locked():
            return True
        return self._ledger.is_uncertain and monotonic() >= self._reconcile_at

    def _idle_s(self) -> float:
        now = monotonic()
        rest_s = 0.0 if self._claiming.is_urgent else POLL_MAX_S
        if self._room > 0:
            rest_s = min(rest_s, max(0.0, self._claiming.due_at - now))
        if self._pool.flows or self._claiming.prefetch.is_in_doubt:
            rest_s = min(rest_s, FLUSH_S)
        if self._pool.on_loop:
            rest_s = min(rest_s, self._pool.beat_s)
        # A stop that was asked for during the turn ends no nap any more.
        stops = self._context.stopping and not self._stopping
        if stops or self._is_recording_due(claims=False):
            return 0.0
        if (oldest := self._ledger.oldest) is not None:
            rest_s = min(rest_s, max(0.0, oldest + FLUSH_S - now))
        rest_s = min(rest_s, max(0.0, self._turns.check_at - now))
        read_back_at = self._reconcile_at if self._ledger.is_uncertain else float("inf")
        return min(rest_s, max(FLUSH_S, read_back_at - now))
