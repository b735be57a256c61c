"""A worker: one control thread that alone speaks to the queue, and a pool of job threads.

Each `poll` collects outcomes, takes a turn when one is due, posts new jobs to the pool, and
returns how long there is nothing to do. A turn is due when jobs may be claimed (the pool has
room, and there is reason to think that some are ready) or when outcomes should be recorded
(the pool has nothing more to do, or the oldest outcome is 10 ms old).

`polling` decides when there is reason, and how many jobs to claim; `cursor` decides where the
search begins. The worker registers as idle (so that enqueuers send notifications, which cost
them a lock) when a claim came back short, and withdraws that once claims have come back full
for a while.

States: connecting (register, and reconcile what a broken connection left uncertain), polling,
draining (claim nothing, release what was not started), stopped once all is recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsd.clock import monotonic
from jobsd.database.connection import Session
from jobsd.jobs.current import begin_drain
from jobsd.jobs.ready import Selection
from jobsd.performing.pool import FRESH, TRUST_S, Pool
from jobsd.processes.database_loop import DatabaseLoop
from jobsd.processes.idle_registration import IdleRegistration

from .asynchronous import Asynchronous
from .cancels import Cancels
from .completions import Completions
from .cursor import ClaimCursor, QueueSelector
from .known_classes import KnownClasses, Scout
from .ledger import Ledger
from .limited import Limited, Until
from .overdue import end_if_alone
from .polling import PATIENCE_S, POLL_MAX_S, PollingInterval, PrefetchPolicy
from .progress import ProgressWriter
from .report import Report, UncertainOutcomes
from .turn import ClaimRequest, Turns

if TYPE_CHECKING:
    from jobsd.configuration.options import JobsOptions, WorkerOptions
    from jobsd.database.connection import Target
    from jobsd.jobs.claims import Ended
    from jobsd.processes.context import Context

    from .ledger import Claims
    from .turn import TurnResult

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
        self._pool = Pool(options.threads, context.entry, context.nap.wake, trust_s)
        # When to claim, how many, of which queues, from where.
        self._idle = IdleRegistration(session, self.kind)
        self._polling = PollingInterval(options.polling_interval_s)
        self._prefetch = PrefetchPolicy(options.threads, options.prefetch)
        self._selector = QueueSelector(Selection(options.queues), session)
        self._cursor = ClaimCursor()
        self._known_classes = KnownClasses(session, self._selector.selection, jobs)
        self._scout = Scout(session, self._cursor, self._known_classes)
        keep, parks = jobs.preserve_finished_jobs, self._known_classes.parks
        self._ledger = Ledger(context.name, keep=keep, parks=parks)
        self._report = Report(context.entry, slow_after_s)
        self._progress = ProgressWriter(session, context.nap.wake, context.name)
        self._uncertain = UncertainOutcomes(self._report, self._ledger)
        self._turns = Turns(session, self._ledger, self._pool, context.entry)
        self._asynchronous = Asynchronous(options, context, self._pool, trust_s, self._turns)
        made = self._ledger, self._report, self._asynchronous
        self._completions = Completions(session, context, *made)
        self._limited = Limited(
            *(session, self._selector, self._known_classes, self._ledger, self._prefetch),
            *(self._pool, self._report, self._asynchronous),
        )
        self._cancels = Cancels(session, self._ledger, self._pool, self._asynchronous)
        self._registered_at = self._reconcile_at = 0.0
        self._release: list[Ended] = []

    # The life of the process.

    def metadata(self) -> dict[str, Any]:
        """Return what the row shows: how this worker is configured."""
        return {
            "queues": ",".join(self._options.queues),
            "threads": self._options.threads,
            "coroutines": self._options.coroutines,
            "polling_interval": self._options.polling_interval_s,
        }

    def connect(self) -> None:
        """Register, and reconcile what a broken connection has left uncertain."""
        began, before = monotonic(), self._process_id
        super().connect()
        # Another process may have declared us dead, and recovered what we had claimed.
        lost = None if before in {0, self._process_id} else self._ledger.abandon()
        self._registered_at = began
        self._idle.forget()
        self._known_classes.publish(self._process_id)
        self._reconcile(began, lost)
        # The database may have gone back in time, and what it has now lie before the cursor.
        self._cursor.reset()
        self._limited.reset()
        self._polling.poll_now()

    def disconnect(self) -> None:
        """Drop the connection; running jobs go on, and their outcomes wait."""
        super().disconnect()
        self._ledger.mark_uncertain()
        self._uncertain.mark_uncertain()
        self._prefetch.start_small()

    def doing(self) -> str:
        """Return the text of the process title."""
        queues = ",".join(self._options.queues)
        if self._stopping:
            return f"draining {self._pool.busy} of {queues}"
        return f"{self._pool.busy}/{self._pool.size} threads on {queues}"

    def stop(self) -> None:
        """Claim nothing more, release what was not started, and let running jobs know of it."""
        super().stop()
        self._report.draining = True
        begin_drain(self._drain_s)
        asynchronous = self._asynchronous.drain(self._drain_s)
        self._ledger.give_back([*self._pool.take_back(), *asynchronous])

    @property
    def stopped(self) -> bool:
        """Whether nothing runs and everything is recorded."""
        return self._stopping and not (
            self._asynchronous.uncollected or self._ledger.has_claims
        )

    def farewell(self) -> None:
        """Delete the row; the pool's threads end with the process."""
        self._asynchronous.close()
        self._progress.finish(self._process_id)
        super().farewell()

    # One poll.

    def poll(self) -> float:
        """Take a turn if one is due; return the seconds until the next may be."""
        asked_at = self._confirm_row()
        self._find_reasons()
        self._collect()
        self._cancels.stop(self._process_id)
        if self._stopping:
            end_if_alone(self._context.entry, self._ledger, self._asynchronous)
        self._progress.write(self._process_id)
        self._turn(asked_at)
        if self._is_reconciling_due():  # after the turn, for which a job may wait
            self._reconcile(asked_at)
        return self._rest_s()

    def _confirm_row(self) -> float:
        """Return the time: what is ours then stays so for `trust_s`, as our row is fresh."""
        now = monotonic()
        heartbeat_at = max(self._registered_at, self._context.entry.heartbeat_ns / 1e9)
        if now - heartbeat_at <= self._fresh_s:
            return now
        self.connect()
        return self._registered_at

    def _find_reasons(self) -> None:
        """Find out whether there is reason to think that jobs are ready."""
        self._listen()
        self._scout.walk()
        if self._known_classes.survey():
            self._cursor.request_sweep()
            self._polling.poll_now()

    def _listen(self) -> None:
        for payload in self._session.notifications():
            word, _, queue = payload.partition(" ")
            if word == "resumed":
                self._cursor.reset()
                self._limited.reset()
            if word in {"ready", "limited", "resumed"} and self._selector.add(queue):
                self._polling.poll_now()
                if word != "ready":
                    self._limited.search_now()
            if word == "lane":
                self._known_classes.parked(queue)
            self._cancels.hear(payload, self._process_id)

    def _collect(self) -> None:
        """Take outcomes from the threads, and take back what they can't start in time."""
        self._pool.look()
        runs = self._pool.collect()
        self._prefetch.observe_durations([run.ended - run.started for run in runs])
        self._ledger.add(self._completions.collect(runs))
        runs, back = self._asynchronous.collect()
        self._ledger.add(self._completions.collect(runs))
        self._ledger.give_back(back)
        self._completions.step()
        if self._ledger.frees_slot:
            # The same turn hands the slot over, and the next job of the key is claimed.
            self._limited.search_now()
        startable = self._prefetch.startable(self._pool.running_for_s())
        if startable is not None and self._pool.waiting > startable:
            self._ledger.give_back(self._pool.take_back(startable))
        if self._pool.series:
            keep = self._prefetch.series_startable
            self._ledger.give_back(self._pool.take_back_behind(PATIENCE_S, keep))

    def _turn(self, asked_at: float, *, claims: bool = True) -> None:
        """Record what has ended, and claim what there is room for, if either is due."""
        limit = self._room() if claims and monotonic() >= self._claim_at else 0
        if not (limit or self._release or self._is_flush_due()):
            return
        recording = self._ledger.recording()
        request = self._claim_request(limit, asked_at) if limit else None
        release, self._release = self._release, []
        self._uncertain.sent(recording, self._process_id)
        result = self._turns.take(recording, release=release, request=request)
        if result is None:
            self._uncertain.answered(recording, set(), set())
            self._reconcile_at = 0.0  # what was to be released is read back
            return
        if result.claim_id is not None:
            self._ledger.add_claim(result.claim_id, result.claimed)
            self._prefetch.observe_sizes(
                len(result.jobs), result.weight, withheld=bool(result.withheld)
            )
        if result.jobs:
            # Before anything else: threads may be idle, and begin while we go on.
            ours = self._asynchronous.take(result.jobs, limit, asked_at)
            if ours:
                low_water, rank = self._prefetch.low_water, self._selector.rank
                self._pool.post(ours, asked_at, low_water, rank)
            if len(result.jobs) < limit:
                self._context.nap.yield_gil()
        written = result.recorded, result.concluded
        if not self._ledger.forget(recording, *written):
            self._reconcile_at = 0.0
        self._uncertain.answered(recording, *written)
        self._report.recorded(recording, *written, result.cancelled)
        if request is not None:
            self._finish_claim(request, result)

    def _reconcile(self, asked_at: float, lost: Claims | None = None) -> None:
        """Read our claims back; report those that are gone, beside `lost` ones."""
        self._reconcile_at = asked_at + RECONCILE_S
        self._cancels.note()
        unknown, gone = self._ledger.reconcile(self._session, self._process_id)
        self._release += unknown
        self._pool.verify(self._ledger.holds, asked_at)
        self._asynchronous.coroutines.verify(self._ledger.holds, asked_at)
        self._uncertain.reconcile(self._session, {**(lost or {}), **gone})
        if unknown:
            self._turn(asked_at, claims=False)

    def _rest_s(self) -> float:
        """Return how long to rest, after clearing gaps if there is time for it."""
        # What came while a statement ran does not make the socket readable any more.
        self._listen()
        self._asynchronous.show_busy(self._context.entry)
        rest_s = self._limited.clear(self._scout.clear(self._idle_s()))
        rest_s = self._completions.bound(self._progress.bound(rest_s))
        return self._cancels.bound(rest_s)

    @property
    def _claim_at(self) -> float:
        if self._asynchronous.is_active and not self._thread_room():
            return self._polling.next_poll
        return min(self._polling.next_poll, self._limited.next_search)

    def _room(self) -> int:
        """Return how many jobs may be claimed now."""
        if self._stopping or self._context.quiet or self._scout.is_under_way:
            return 0
        return self._asynchronous.room(self._thread_room())

    def _thread_room(self) -> int:
        most = self._turns.room(self._pool.uncollected, self._asynchronous.uncollected)
        return self._prefetch.room(self._pool, most)

    def _is_flush_due(self) -> bool:
        if not self._ledger.has_unrecorded:
            return False
        oldest = self._ledger.oldest
        alone = oldest is None or not self._asynchronous.in_hand
        return alone or monotonic() - (oldest or 0.0) >= FLUSH_S

    def _is_reconciling_due(self) -> bool:
        if self._asynchronous.doubts or self._reconcile_at == 0 or self._turns.check_locked():
            return True
        return self._ledger.is_uncertain and monotonic() >= self._reconcile_at

    def _idle_s(self) -> float:
        now = monotonic()
        urgent = self._scout.is_under_way or self._known_classes.is_due
        rest_s = 0.0 if urgent else POLL_MAX_S
        if self._room():
            rest_s = min(rest_s, max(0.0, self._claim_at - now))
        rest_s = min(rest_s, self._asynchronous.rest_s(FLUSH_S))
        if self._ledger.has_unrecorded:
            oldest = self._ledger.oldest or now
            rest_s = min(rest_s, max(0.0, oldest + FLUSH_S - now))
        if (check_at := self._turns.check_at) is not None:
            rest_s = min(rest_s, max(0.0, check_at - now))
        return rest_s

    def _claim_request(self, limit: int, asked_at: float) -> ClaimRequest:
        room, known = self._thread_room(), self._known_classes.open
        opened, again = self._asynchronous.begin_claim(room, known)
        if again:
            self._cursor.request_sweep()
        sweep = self._cursor.begin_claim()
        search = self._selector.search(self._cursor, opened, registered=self._idle.stands)
        return ClaimRequest(limit, asked_at, self._process_id, *search, sweep=sweep)

    def _finish_claim(self, request: ClaimRequest, result: TurnResult) -> None:
        """Take note of what a claim has brought, and claim limited jobs if it is time to."""
        if not result.whole:
            self._reconcile_at = 0.0
        if result.jobs and result.claim_id is not None:
            self._report.claimed(result.claim_id, result.jobs)
        self._give_back(result, request)
        named = self._selector.by_names
        self._cursor.advance(result.positions(named=named), sweep=request.sweep)
        self._selector.note_cost(result.took_s)
        if self._claim_limited(result, request):
            self._after_short(sweep=request.sweep)
        else:
            self._after_full()

    def _give_back(self, result: TurnResult, request: ClaimRequest) -> None:
        """Release what did not come along, and unknown jobs unless they are to fail here.

        A claim that brought nothing else has reached many unknown jobs in a row.
        """
        if aside := self._asynchronous.take_aside():
            self._known_classes.set_aside(aside)
        self._ledger.give_back([*result.withheld, *result.unknown, *aside])
        if result.withheld:
            self._cursor.request_sweep()
        if not result.unknown:
            return
        # They are noted as released before the database is asked, which may fail.
        if failing := self._known_classes.judge(result.unknown):
            self._ledger.start_after_all(failing)
            low_water, rank = self._prefetch.low_water, self._selector.rank
            self._pool.post(failing, request.asked_at, low_water, rank)
        elif len(result.unknown) == request.limit:
            self._scout.begin(result.unknown[-1], named=self._selector.by_names)

    def _claim_limited(self, result: TurnResult, request: ClaimRequest) -> bool:
        """Claim limited jobs if it is time to; return whether no more of any kind wait."""
        room, until = request.limit - result.size, None
        if room <= 0:
            last = [*result.jobs, *result.unknown, *result.withheld][-1]
            room, until = request.limit, Until(last.queue_name, last.priority, last.position)
        short = until is None
        threads = request.limit if not self._asynchronous.is_active else self._thread_room()
        if threads and monotonic() >= self._limited.next_search:
            claimed = self._limited.claim(
                room, request.asked_at, until, registered=self._idle.stands
            )
            short = short and claimed < room
        return short

    def _after_full(self) -> None:
        self._polling.after_full()
        if self._polling.saturated and self._idle.withdraw(self._process_id):
            # No notifications of limited jobs come any more.
            self._limited.search_now()

    def _after_short(self, *, sweep: bool) -> None:
        if self._idle.register(self._process_id):
            self._polling.reset_backoff()
            self._selector.request_survey()
        self._cursor.request_sweep()
        sweep_at = None if sweep else self._cursor.sweep_at
        self._polling.after_short(listening=self._session.listening, sweep_at=sweep_at)
