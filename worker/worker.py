"""A worker: one control thread that alone speaks to the queue, and a pool of job threads.

Each round of `poll` takes outcomes in, does a turn when one is due, hands new jobs over,
and returns how long nothing is to be done. A turn is due when jobs may be claimed (the
pool has room, and there is reason to think that some are ready) or when outcomes should
be recorded (the pool has nothing more to do, or the oldest is 10 ms old).

Whether there is reason is `rhythm`'s to say, where to look `places`', how many to ask for
`pace`'s. A worker says that it sleeps (so that enqueuers send notifications, which cost
them a lock) when a claim came back short, and takes that back once claims have come back
full for a while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.database.connection import Session
from jobsd.jobs.current import set_stopping
from jobsd.jobs.ready import Selection
from jobsd.performing.pool import FRESH, TRUST_S, Pool
from jobsd.processes import registry

from .choice import Choice
from .held_back import HeldBack
from .intake import Intake
from .knowledge import Knowledge
from .ledger import Ledger
from .limited import Limited, Until
from .pace import IN_HAND_MAX, PATIENCE_S, Pace
from .places import Places
from .report import Report, metadata
from .rhythm import LOOK_MAX_S, Rhythm
from .sleeper import Sleeper
from .stretch import Stretch
from .turn import Result, Wish
from .unanswered import Unanswered

if TYPE_CHECKING:
    from jobsd.configuration.options import JobsOptions, WorkerOptions
    from jobsd.database.connection import Target
    from jobsd.jobs.claims import Ended
    from jobsd.processes.context import Context

    from .writing import Claims

FLUSH_S = 0.01
"""An outcome waits at most this long to be recorded together with others."""
SETTLE_S = 10.0
"""How often the claims are read back."""


class Worker:
    """The loop of a worker process."""

    kind = "worker"

    def __init__(  # noqa: PLR0913 - what a worker is made of
        self,
        context: Context,
        target: Target,
        options: WorkerOptions,
        jobs: JobsOptions,
        *,
        settle_s: float = SETTLE_S,
        trust_s: float = TRUST_S,
        slow_after_s: float | None = None,
    ) -> None:
        self._context = context
        self._options = options
        self._session = Session(target, f"jobsd {context.name}", listen=True, plan_once=True)
        self._choice = Choice(Selection(options.queues), self._session)
        self._knowledge = Knowledge(self._session, self._choice.selection, jobs)
        self._pool = Pool(options.threads, context.entry, context.nap.wake, trust_s)
        self._pace = Pace(options.threads, options.prefetch)
        keep, parks = jobs.preserve_finished_jobs, self._knowledge.parks
        self._ledger = Ledger(context.name, keep=keep, parks=parks)
        self._report = Report(context.entry, slow_after_s)
        self._held_back = HeldBack(self._session, self._ledger, self._pool, context.entry)
        self._unanswered = Unanswered(self._report, self._ledger)
        self._places = Places()
        self._stretch = Stretch(self._session, self._places, self._knowledge)
        made = self._choice, self._knowledge, self._ledger, self._pace, self._pool, self._report
        self._intake = Intake(*made, self._stretch)
        self._limited = Limited(self._session, *made)
        self._rhythm = Rhythm(options.polling_interval_s)
        self._sleeper = Sleeper(self._session, self.kind)
        self._row_id, self._beaten_at, self._settle_at = 0, 0.0, 0.0
        self._fresh_s, self._settle_s = trust_s * FRESH, settle_s
        self._release: list[Ended] = []
        self._draining = False

    # The life of the process.

    def connect(self) -> None:
        """Register, and find out what a broken connection has left open."""
        began = monotonic()
        said = metadata(self._options)
        row_id = registry.enter(self._session, self._context, self.kind, said)
        # Someone may have declared us dead, and settled what we had claimed.
        lost = None if self._row_id in {0, row_id} else self._ledger.abandon()
        self._row_id = row_id
        self._beaten_at = began
        self._sleeper.forget()
        self._knowledge.publish(row_id)
        self._settle(began, lost)
        # The database may have gone back in time, and what it has now lie before them.
        self._places.forget()
        self._limited.forget()
        self._rhythm.look_now()

    def disconnect(self) -> None:
        """Drop the connection; running jobs go on, what has ended waits."""
        self._session.close()
        self._ledger.doubt()
        self._unanswered.lose()
        self._pace.forget()

    def socket(self) -> int | None:
        """Return the socket on which notifications come."""
        return self._session.fileno()

    def doing(self) -> str:
        """Return what the title says."""
        queues = ",".join(self._options.queues)
        if self._draining:
            return f"draining {self._pool.busy} of {queues}"
        return f"{self._pool.busy}/{self._pool.size} threads on {queues}"

    def stop(self) -> None:
        """Take nothing new; give back what was not started."""
        self._draining = self._report.draining = True
        set_stopping()
        self._ledger.give_back(self._pool.take_back())

    @property
    def stopped(self) -> bool:
        """Whether nothing runs and everything is recorded."""
        return self._draining and not self._pool.uncollected and not self._ledger.open

    def farewell(self) -> None:
        """Remove the row; the pool's threads end with the process."""
        self._pool.close()
        registry.leave(self._session, self._context, self._row_id)

    # Rounds.

    def poll(self) -> float:
        """Do a turn if one is due; return the seconds until the next may be."""
        now = self._when_alive()
        self._hear()
        self._collect()
        self._stretch.scout()
        if self._knowledge.survey():
            self._places.want_sweep()
            self._rhythm.look_now()
        limit = self._room() if monotonic() >= self._look_at else 0
        if limit or self._is_flush_due():
            self._turn(limit, now)
        if self._is_settling_due():
            # Behind the turn, which a job may wait for.
            self._settle(now)
        # What came while a statement ran does not make the socket readable any more.
        self._hear()
        self._context.entry.set_threads(self._pool.busy, self._pool.size)
        return self._limited.work(self._stretch.work(self._rest_s()), self._row_id)

    @property
    def _look_at(self) -> float:
        return min(self._rhythm.next_look, self._limited.next_at)

    def _when_alive(self) -> float:
        """Return the time: what is ours then stays so for `trust_s`, as our row is fresh."""
        now = monotonic()
        if now - max(self._beaten_at, self._context.entry.heartbeat_ns / 1e9) <= self._fresh_s:
            return now
        self.connect()
        return self._beaten_at

    def _hear(self) -> None:
        for payload in self._session.notifications():
            word, _, queue = payload.partition(" ")
            if word == "resumed":
                self._places.forget()
                self._limited.forget()
            if word in {"ready", "limited", "resumed"} and self._choice.hear(queue):
                self._rhythm.look_now()
                if word != "ready":
                    self._limited.look_now()
            if word == "lane":
                self._knowledge.hear(queue)

    def _collect(self) -> None:
        self._pool.look()
        runs = self._pool.collect()
        self._pace.observe([run.ended - run.started for run in runs])
        self._ledger.add(runs)
        if self._ledger.frees:
            # The same turn hands the slot over, and whoever is next is claimed.
            self._limited.look_now()
        startable = self._pace.patience(self._pool.running_for_s())
        if startable is not None and self._pool.waiting > startable:
            self._ledger.give_back(self._pool.take_back(startable))
        if self._pool.series:
            keep = self._pace.series_patience
            self._ledger.give_back(self._pool.take_back_behind(PATIENCE_S, keep))

    def _room(self) -> int:
        """Return how many jobs may be claimed now."""
        room = self._held_back.room(self._pool.uncollected, IN_HAND_MAX)
        waits = self._draining or self._stretch.scouting
        return 0 if waits else self._pace.room(self._pool, room)

    def _is_flush_due(self) -> bool:
        if not self._ledger.pending:
            return False
        oldest = self._ledger.oldest
        return oldest is None or not self._pool.in_hand or monotonic() - oldest >= FLUSH_S

    def _is_settling_due(self) -> bool:
        if self._pool.doubts or self._settle_at == 0 or self._held_back.look():
            return True
        return self._ledger.doubtful and monotonic() >= self._settle_at

    def _turn(self, limit: int, asked_at: float) -> None:
        writing = self._ledger.statements()
        sweep = bool(limit) and self._places.begin()
        wish = None
        if limit:
            told = self._sleeper.told
            search = self._choice.search(self._places, self._knowledge.open, told=told)
            wish = Wish(limit, asked_at, self._row_id, *search)
        release, self._release = self._release, []
        self._unanswered.sent(writing, self._row_id)
        result = self._held_back.take(writing, release=release, wish=wish)
        if result is None:
            self._unanswered.answered(writing, set(), set())
            self._settle_at = 0.0  # what was to be released is read back
            return
        if limit:
            # Before anything is noted down: threads may be idle, and begin while we rest.
            if not result.whole:
                self._settle_at = 0.0
            self._intake.hand_over(result, asked_at)
            if 0 < len(result.jobs) < limit:
                self._context.nap.yield_gil()
        if not self._ledger.wrote(writing, result.recorded, result.concluded):
            self._settle_at = 0.0
        self._unanswered.answered(writing, result.recorded, result.concluded)
        self._report.recorded(writing, result.recorded, result.concluded)
        if limit:
            self._intake.give_back(result, limit, asked_at)
            self._places.end(result.places(named=self._choice.by_names), sweep=sweep)
            self._choice.note_cost(result.took_s)
            short = self._claim_limited(result, limit, asked_at)
            self._set_rhythm(short=short, sweep=sweep)

    def _claim_limited(self, result: Result, limit: int, asked_at: float) -> bool:
        """Claim limited jobs, if it is time to; return whether no more of any kind wait."""
        room, until = limit - result.size, None
        if room <= 0:
            last = [*result.jobs, *result.strange, *result.withheld][-1]
            room, until = limit, Until(last.queue_name, last.priority, last.position)
        short = until is None
        if monotonic() >= self._limited.next_at:
            told = self._sleeper.told
            claimed = self._limited.claim(room, asked_at, self._row_id, until, told=told)
            short = short and claimed < room
        return short

    def _set_rhythm(self, *, short: bool, sweep: bool) -> None:
        if not short:
            self._rhythm.after_full()
            if self._rhythm.saturated and self._sleeper.rise(self._row_id):
                # Nobody tells us of limited jobs any more.
                self._limited.look_now()
            return
        if self._sleeper.sleep(self._row_id):
            self._rhythm.wish_is_new()
            self._choice.doubt()
        self._places.want_sweep()
        again_at = None if sweep else self._places.sweep_at
        self._rhythm.after_short(listening=self._session.listening, again_at=again_at)

    def _rest_s(self) -> float:
        now = monotonic()
        rest_s = 0.0 if self._stretch.scouting or self._knowledge.is_due else LOOK_MAX_S
        if self._room():
            rest_s = min(rest_s, max(0.0, self._look_at - now))
        if self._pool.flows:
            rest_s = min(rest_s, FLUSH_S)
        if self._ledger.pending:
            oldest = self._ledger.oldest or now
            rest_s = min(rest_s, max(0.0, oldest + FLUSH_S - now))
        if (again_at := self._held_back.next_at) is not None:
            rest_s = min(rest_s, max(0.0, again_at - now))
        return rest_s

    def _settle(self, asked_at: float, lost: Claims | None = None) -> None:
        """Read our claims back; tell of those that are gone, beside `lost` ones."""
        self._settle_at = asked_at + self._settle_s
        unknown, gone = self._ledger.settle(self._session, self._row_id)
        self._release += unknown
        self._pool.verify(self._ledger.holds, asked_at)
        self._unanswered.tell(self._session, {**(lost or {}), **gone})
        if unknown:
            self._turn(0, asked_at)
