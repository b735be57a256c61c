"""A worker: one control thread that alone speaks to the queue, and what runs its jobs.

Each `poll` collects outcomes, takes a turn when one is due, posts new jobs to the pool, and
returns how long there is nothing to do. A turn is due when jobs may be claimed (the pool has
room, and there is reason to think that some are ready) or when outcomes should be recorded
(the pool has nothing more to do, or the oldest outcome is 10 ms old). A turn that claims
records, too.

`claiming` decides when there is reason, how many jobs to claim, and from where. Before a rest
with nothing in hand it prepares the claim that is sent first when the rest ends.

States: connecting (register, and reconcile what a broken connection left uncertain), polling,
draining (claim nothing, release what was not started), stopped once all is recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsd.clock import monotonic
from jobsd.database.connection import Session
from jobsd.jobs.current import begin_drain
from jobsd.jobs.inbox import INBOX
from jobsd.jobs.selection import Selection
from jobsd.performing.coroutines import Coroutines
from jobsd.performing.pool import Pool
from jobsd.performing.progress import ProgressWriter
from jobsd.performing.runner import FRESH, TRUST_S
from jobsd.processes.database_loop import DatabaseLoop

from .cancels import Cancels, end_if_alone
from .claiming.claiming import Claiming
from .claiming.known_classes import KnownClasses
from .claiming.selector import QueueSelector
from .completions import Completions
from .constants import FLUSH_S, PATIENCE_S, POLL_MAX_S, RECONCILE_S
from .keeping import Keeping
from .ledger import Claims, Ledger
from .report import Report, UncertainOutcomes
from .turn import ClaimRequest, Turns

if TYPE_CHECKING:
    from jobsd.configuration.options import JobsOptions, WorkerOptions
    from jobsd.database.connection import Target
    from jobsd.performing.runner import Runner
    from jobsd.processes.context import Context
    from jobsd.states.claims import Ended


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
        name, left_s = f"jobsd {context.name}", context.entry.left_s
        INBOX.wake_by(context.nap.wake)
        session = Session(target, name, listen=True, plan_once=True, left_s=left_s)
        super().__init__(context, session)
        self._options, self._drain_s = options, drain_s
        self._fresh_s = trust_s * FRESH
        made = options.at_once, context.entry, context.nap.wake, trust_s
        self.pool: Runner = Coroutines(*made) if options.coroutines else Pool(*made)
        selector = QueueSelector(Selection(options.queues), session)
        known_classes = KnownClasses(session, selector, jobs)
        self.ledger = Ledger(context.name, keep=jobs.preserve_finished_jobs)
        self._report = Report(context.entry, slow_after_s)
        self._progress = ProgressWriter(session, context.name)
        self._uncertain = UncertainOutcomes(self._report, self.ledger)
        self.turns = Turns(session, self.ledger, self.pool, context.entry)
        self._completions = Completions(
            *(session, context, self.ledger, self._report, self.pool)
        )
        self._keeping = Keeping(
            *(context, self.ledger, self._completions, self._collect_posted)
        )
        self.claiming = Claiming(
            *(session, options, known_classes, selector, self.ledger),
            *(self.pool, self._report, self.turns),
        )
        self._cancels = Cancels(session, self.ledger, self.pool)
        self._registered_at = self.reconcile_at = 0.0
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
        began, before = monotonic(), self.process_id
        super().connect()
        self._keeping.discard()
        # Another process may have declared us dead, and recovered our claims.
        lost = None if before in {0, self.process_id} else self.ledger.abandon()
        self._registered_at = began
        self.claiming.idle.forget()
        self.claiming.known_classes.publish(self.process_id)
        self._reconcile(began, lost)
        self.claiming.begin_anew()

    def disconnect(self) -> None:
        """Drop the connection; running jobs go on, and their outcomes wait."""
        super().disconnect()
        self.ledger.mark_uncertain()
        self._uncertain.mark_uncertain()
        self.claiming.prefetch.start_small()

    def doing(self) -> str:
        """Return the text of the process title."""
        queues = ",".join(self._options.queues)
        if self._stopping:
            return f"draining {self.pool.busy} of {queues}"
        places = "coroutines" if self._options.coroutines else "threads"
        return f"{self.pool.busy}/{self.pool.size} {places} on {queues}"

    def stop(self) -> None:
        """Claim nothing more, release unstarted jobs, and let running jobs know of it."""
        super().stop()
        self._report.draining = True
        begin_drain(self._drain_s)
        if self._drain_s is not None and self.pool.uncollected:
            self.pool.drain(max(self._drain_s - 0.5, self._drain_s * 0.75))
        self.ledger.give_back(self.pool.take_back())

    @property
    def stopped(self) -> bool:
        """Whether nothing runs and everything is recorded."""
        return self._stopping and not (self.pool.uncollected or self.ledger.has_claims)

    def farewell(self) -> None:
        """Delete the row; the pool's threads end with the process."""
        self.pool.close()
        self._progress.finish(self.process_id)
        super().farewell()

    # One poll.

    def poll(self) -> float:
        """Take a turn if one is due; return the seconds until the next may be."""
        self._hear()
        request = self._sent_claim()
        asked_at = self._confirm_row() if request is None else request.asked_at
        # A claim is sent with nothing in hand: there is nothing to collect.
        if request is None:
            self._collect()
        self._record(asked_at, request or self._claim(asked_at))
        return self._rest(asked_at)

    def _sent_claim(self) -> ClaimRequest | None:
        """Send the prepared claim if it is due; return the claim that was sent, if any."""
        ahead = self.claiming.ahead
        return ahead.send(alone=self._claims_alone) if ahead.prepared is not None else None

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
        for payload in self.session.notifications():
            word, _, queue = payload.partition(" ")
            self.claiming.hear(word, queue)
            if word == "cancel":
                self._cancels.hear(payload, self.process_id)

    def _collect(self) -> None:
        """Collect posted outcomes, and handle ended and running jobs."""
        self.pool.check_threads()
        if self.pool.uncollected or self.pool.series:
            self._collect_posted()
        self._completions.step()
        if self.ledger.frees_slot:
            # The same turn hands the slot over, and the next job of the key is claimed.
            self.claiming.limited.search.now()
        self._cancels.stop(self.process_id)
        if self._stopping:
            end_if_alone(self._context.entry, self.ledger, self.pool)
        self._progress.write(self.process_id)

    def _collect_posted(self) -> None:
        """Take outcomes from the threads, and take back what they can't start in time."""
        runs = self.pool.collect()
        self.claiming.prefetch.observe_durations([run.ended - run.started for run in runs])
        self.ledger.add(self._completions.collect(runs))
        self.ledger.give_back(self.pool.take_returned())
        if (keep := self.claiming.prefetch.late(self.pool)) is not None:
            self.ledger.give_back(self.pool.take_back(keep))
        if self.pool.series:
            keep = self.claiming.prefetch.series_startable
            self.ledger.give_back(self.pool.take_back_behind(PATIENCE_S, keep))

    def _record(self, asked_at: float, request: ClaimRequest | None = None) -> None:
        """Take a turn: record ended jobs, if that is due, and claim the requested ones."""
        sent = request is not None and request.answer is not None
        alone = request is not None and request.is_of_few
        records = not alone and self._is_recording_due(claims=request is not None)
        if not (request or self._release or records):
            return
        recording = self.ledger.recording() if records else self.ledger.nothing
        release, self._release = ([], self._release) if sent else (self._release, [])
        self._uncertain.sent(recording, self.process_id)
        result = self.turns.take(recording, release=release, request=request)
        if result is None:
            self._uncertain.answered(recording, set(), set())
            self.reconcile_at = 0.0  # jobs to release are read back
            self.claiming.polling.poll_now()
            return
        if result.claim_id is not None:
            self.ledger.add_claim(result.claim_id, result.claimed, asked_at)
        woken = False
        if result.jobs:
            self.pool.post(result.jobs, asked_at, *self.claiming.order)
            if request is not None and len(result.jobs) < request.limit:
                woken = self._context.nap.yield_gil()
        written = result.recorded, result.concluded
        if not self.ledger.forget(recording, *written) or not result.whole:
            self.reconcile_at = 0.0
        self._uncertain.answered(recording, *written)
        self._report.recorded(recording, *written, result.cancelled)
        if request is not None:
            self.claiming.finish(request, result)
        if woken:  # A job that wakes us so soon ends at once.
            self._collect()

    def _reconcile(self, asked_at: float, lost: Claims | None = None) -> None:
        """Read our claims back; report the missing ones, and the `lost` ones."""
        self.reconcile_at = asked_at + RECONCILE_S
        self._cancels.note()
        unknown, gone = self.ledger.reconcile(self.session, self.process_id)
        self._release += unknown
        self.pool.verify(self.ledger.holds, asked_at)
        self._uncertain.reconcile(self.session, {**(lost or {}), **gone})
        if unknown:
            self._record(asked_at)

    def _rest(self, asked_at: float) -> float:
        """Read claims back if that is due, and return how long to rest."""
        if self._is_reconciling_due():  # after the turn, for which a job may wait
            self._reconcile(asked_at)
        return self._rest_s()

    def _rest_s(self) -> float:
        """Return how long to rest, after clearing gaps if there is time for it."""
        # Data that came while a statement ran does not make the socket readable any more.
        self._hear()
        entry = self._context.entry
        entry.set_threads(self.pool.busy, self.pool.size)
        entry.busy_coroutines = self.pool.on_loop
        rest_s = self.claiming.clear(self._idle_s())
        rest_s = self._cancels.bound(self._completions.bound(self._progress.bound(rest_s)))
        if rest_s and not (self.ledger.has_claims or self.pool.uncollected):
            self.claiming.ahead.prepare(self.process_id, self._fresh_until)
        return rest_s

    @property
    def _claims_nothing(self) -> bool:
        unread = self._context.scoreboard.journals_unread
        return bool(self._stopping or self._context.quiet or unread or self.paused)

    @property
    def _room(self) -> int:
        """The number of jobs that may be claimed now."""
        return 0 if self._claims_nothing else self.claiming.room()

    @property
    def _claims_alone(self) -> bool:
        """Whether a turn that claims would do nothing more."""
        return not (
            self._claims_nothing or self._release or self._is_recording_due(claims=True)
        )

    def _claim(self, asked_at: float) -> ClaimRequest | None:
        """Return the request of a claim if one is due; its turn records, too."""
        self.claiming.survey()
        room = self._room
        if room <= 0 or monotonic() < self.claiming.due_at:
            return None
        alone = self._claims_alone
        request = self.claiming.request(room, asked_at, self.process_id, alone=alone)
        self.claiming.claim_ahead(request)
        return request

    def _is_recording_due(self, *, claims: bool) -> bool:
        """Return whether the turn records ended jobs.

        A turn that claims does, since one commit serves both, and so does one of a worker that
        has nothing more to do. Beside jobs that run, outcomes wait until the
        oldest is 10 ms old.
        """
        if not self.ledger.has_unrecorded:
            return False
        oldest = self.ledger.oldest
        if oldest is None or monotonic() - oldest >= FLUSH_S:
            return True
        return claims or not self.pool.in_hand

    def _is_reconciling_due(self) -> bool:
        if self.pool.doubts or self.reconcile_at == 0 or self.turns.check_locked():
            return True
        return self.ledger.is_uncertain and monotonic() >= self.reconcile_at

    def _idle_s(self) -> float:
        now = monotonic()
        rest_s = 0.0 if self.claiming.is_urgent else POLL_MAX_S
        if self._room > 0:
            rest_s = min(rest_s, max(0.0, self.claiming.due_at - now))
        if self.pool.flows or self.claiming.prefetch.is_in_doubt:
            rest_s = min(rest_s, FLUSH_S)
        if self.pool.on_loop:
            rest_s = min(rest_s, self.pool.beat_s)
        # A stop that was asked for during the turn ends no nap any more.
        stops = self._context.stopping and not self._stopping
        if stops or self._is_recording_due(claims=False):
            return 0.0
        if (oldest := self.ledger.oldest) is not None:
            rest_s = min(rest_s, max(0.0, oldest + FLUSH_S - now))
        rest_s = min(rest_s, max(0.0, self.turns.check_at - now))
        read_back_at = self.reconcile_at if self.ledger.is_uncertain else float("inf")
        return min(rest_s, max(FLUSH_S, read_back_at - now))
