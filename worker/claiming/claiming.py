"""The claims of one worker: when one is due, its request, and the effects of its result.

`polling` decides when to claim and how many jobs; `cursor`, where the search begins. When a
claim brings fewer jobs than it asked for, the worker registers as idle, so that enqueues send
notifications (which cost them a lock). It withdraws the registration once claims have brought
as many as asked for a while.
"""

from typing import Any

from jobsd.clock import monotonic
from jobsd.configuration.options import WorkerOptions
from jobsd.database.connection import Session
from jobsd.performing.runner import Runner
from jobsd.processes.idle_registration import IdleRegistration
from jobsd.states import ready
from jobsd.worker.constants import FEW
from jobsd.worker.ledger import Ledger
from jobsd.worker.report import Report
from jobsd.worker.turn import ClaimRequest, TurnResult, Turns

from .ahead import Ahead
from .cursor import ClaimCursor
from .known_classes import KnownClasses
from .limited import Limited, Until
from .polling import PollingInterval, PrefetchPolicy
from .selector import QueueSelector


class Claiming:
    """Makes the claim requests of one worker, and takes in their results."""

    def __init__(  # noqa: PLR0913, PLR0917 - what claims are made of
        self,
        session: Session,
        options: WorkerOptions,
        known_classes: KnownClasses,
        selector: QueueSelector,
        ledger: Ledger,
        pool: Runner,
        report: Report,
        turns: Turns,
    ) -> None:
        self._session = session
        self._ledger = ledger
        self._pool = pool
        self._report = report
        self._turns = turns
        self.known_classes = known_classes
        self.selector = selector
        self.idle = IdleRegistration(session, "worker")
        self.prefetch = PrefetchPolicy(options.at_once, options.prefetch)
        self.cursor = ClaimCursor()
        self.polling = PollingInterval(options.polling_interval_s)
        self.limited = Limited(
            *(session, selector, known_classes, ledger, self.prefetch, pool, report)
        )
        search = selector, known_classes, self.cursor, self.polling
        self.ahead = Ahead(*search, ledger, turns, self.room)
        self._only_limited = False
        """Whether the last claim has brought none but limited jobs."""
        self._from_lanes = False
        """Whether the last claim was one of jobs in lanes."""
        self._unknown_in_row = 0
        """How many claims in a row have brought unknown jobs alone."""

    def begin_anew(self) -> None:
        """Begin at the head of the index, because the database may have gone back in time."""
        self.ahead.forget()
        self._reset()
        self.polling.poll_now()

    def _reset(self) -> None:
        self.cursor.reset()
        self.limited.search.reset()

    def hear(self, word: str, queue: str) -> None:
        """Take in a notification."""
        if word != "ready":
            self.ahead.prepared = None
        if word == "resumed":
            self._reset()
            self.known_classes.survey_soon()
        if word in {"ready", "limited", "resumed"} and self.selector.add(queue):
            self.polling.poll_now()
            if word != "ready":
                self.limited.search.now()
        if word == "lane":
            queue, _, lane = queue.rpartition("\n")
            if self.known_classes.hear(queue, lane):
                self.polling.poll_now()

    def survey(self) -> None:
        """Set many unknown jobs aside, and find out whether there are jobs in lanes."""
        if self.is_setting_aside:
            statement, where = self.selector.search(self.cursor, registered=self.idle.stands)
            if not self.known_classes.set_aside(statement, where):
                self._unknown_in_row = 0
                self.polling.poll_now()
        if self.known_classes.survey():
            self.cursor.request_sweep()
            self.polling.poll_now()

    @property
    def is_setting_aside(self) -> bool:
        """Whether unknown jobs are set aside by thousands, before anything is claimed."""
        return self._unknown_in_row > 1

    @property
    def is_urgent(self) -> bool:
        """Whether `survey` has something to do at once."""
        return self.is_setting_aside or self.known_classes.is_due

    def clear(self, rest_s: float) -> float:
        """Clear gaps of the cursors while there is time; return the seconds left to rest."""
        return self.limited.clear(rest_s)

    # Before a claim.

    def room(self) -> int:
        """Return the number of jobs that may be claimed now."""
        return 0 if self.is_setting_aside else self._room()

    @property
    def due_at(self) -> float:
        """When a claim is due."""
        search_at = self.limited.search.due_at
        if self._is_behind:
            search_at = max(search_at, self.cursor.sweep_at)
        return min(self.polling.next_poll, search_at)

    @property
    def _is_behind(self) -> bool:
        """Whether jobs were given back since the last sweep: they lie before the cursor."""
        return self._ledger.returns > self.cursor.returns_swept

    def request(
        self, room: int, asked_at: float, process_id: int, *, alone: bool
    ) -> ClaimRequest:
        """Return the request of a claim; `alone`: its turn records nothing."""
        self._from_lanes = not self._from_lanes
        if self._from_lanes and self.known_classes.open:
            lanes, where = self.known_classes.places()
            claim = ready.CLAIM_PARKED, where
            return ClaimRequest(*(room, asked_at, process_id, *claim), lanes=lanes)
        self._from_lanes = False
        self.polling.begin()
        if sweep := self.cursor.begin_claim(self._ledger.returns):
            self.selector.begin_anew()
        few = alone and (room <= FEW or self.polling.expects_few)
        search = self.selector.search(self.cursor, registered=self.idle.stands, few=few)
        return ClaimRequest(*(room, asked_at, process_id, *search), sweep=sweep)

    def claim_ahead(self, request: ClaimRequest) -> None:
        """Claim limited jobs before the turn if the series of the only key has ended.

        So its key keeps the slot, and its thread has jobs again while the turn records others.
        If the slot were freed, handed over and taken again, another worker would be told of it,
        and would search at the same time: in vain, and for as long as the claim takes.
        """
        if not (self._only_limited and self.limited.goes_on) or self._ledger.gives_back:
            return
        # Invariant: the scoreboard entry remembers ended jobs until they are recorded.
        most = self._turns.room - self._ledger.unrecorded
        room = self.prefetch.room_for_series(self._pool, most, self._pool.runs_dry)
        if room <= 0:
            return
        stands = self.idle.stands
        claimed = self.limited.claim(room, request.asked_at, None, registered=stands)
        request.limit = min(request.limit, self._turns.room)
        if self._ledger.frees_slot:
            # Behind the turn, which hands it over.
            self.limited.search.now()
        else:
            request.limited_short = claimed < room

    def _room(self) -> int:
        return self.prefetch.room(self._pool, self._turns.room, self._pool.runs_dry)

    # After a claim.

    def finish(self, request: ClaimRequest, result: TurnResult) -> None:
        """Take in the result of a claim, and claim limited jobs if it is time to."""
        if result.claim_id is not None:
            self.prefetch.observe_sizes(
                len(result.jobs), result.weight, withheld=bool(result.withheld)
            )
        if result.jobs and result.claim_id is not None:
            self._report.claimed(result.claim_id, result.jobs)
        self._give_back(result, request)
        if request.lanes:
            if result.size < request.most:
                self.known_classes.close(request.lanes)
            return  # The other jobs are claimed at once.
        reached = result.positions(named=self.selector.by_names)
        self.cursor.advance(reached, sweep=request.sweep, took_s=result.took_s)
        self.selector.note_cost(result.took_s)
        if len(result.jobs) == request.limit:
            self.selector.pass_to(result.jobs[-1])
        if self._claim_limited(request, result):
            self._after_short(request)
        else:
            self._after_full(request)
        if self.known_classes.open:
            self.polling.poll_now()

    def _give_back(self, result: TurnResult, request: ClaimRequest) -> None:
        """Release withheld jobs, and unknown jobs unless they have to fail here."""
        self._ledger.give_back([*result.withheld, *result.unknown])
        if result.withheld:
            self.cursor.request_sweep()
        whole = len(result.unknown) >= request.most
        self._unknown_in_row = self._unknown_in_row + 1 if whole else 0
        if not result.unknown:
            return
        # Note them as released first, because the query in `judge` may fail.
        if failing := self.known_classes.judge(result.unknown):
            self._ledger.start_after_all(failing)
            self._pool.post(failing, request.asked_at, *self.order)
            self._unknown_in_row = 0

    @property
    def order(self) -> tuple[int, Any]:
        """When the pool wakes us, as a number of jobs, and the rank by which it sorts them."""
        return self.prefetch.low_water(self._pool), self.selector.rank

    def _claim_limited(self, request: ClaimRequest, result: TurnResult) -> bool:
        """Claim limited jobs if it is time to; return whether no more of any kind wait."""
        left, until = request.limit - result.size, None
        self._only_limited = False
        if result.size >= request.most:
            left = 0
            last = [*result.jobs, *result.unknown, *result.withheld][-1]
            until = Until(last.queue_name, last.priority, last.position)
        elif self._is_behind or self.selector.is_cut:
            # Released jobs lie before the cursor, or jobs in further queues: these come first.
            return True
        short = until is None
        self._only_limited = left == request.limit
        if request.limited_short is not None:
            return short and request.limited_short
        if monotonic() < self.limited.search.due_at:
            return short  # Mostly so, and to find out for how many there is room takes long.
        # A full claim may have passed over limited jobs that come first: as many of these may
        # be claimed beside it, as it was for.
        limit = left or request.limit
        if self._only_limited:
            most, dry = self._turns.room, self._pool.runs_dry
            limit = max(left, self.prefetch.room_for_series(self._pool, most, dry))
        stands = self.idle.stands
        claimed = self.limited.claim(limit, request.asked_at, until, registered=stands)
        return short and claimed < limit

    def _after_full(self, request: ClaimRequest) -> None:
        self.polling.after_full()
        if self.polling.saturated and self.idle.withdraw(request.process_id):
            # No notifications of limited jobs come any more.
            self.limited.search.now()

    def _after_short(self, request: ClaimRequest) -> None:
        if self.selector.widen():  # There are further queues.
            self.polling.poll_now()
            return
        if self.idle.register(request.process_id):
            self.polling.reset_backoff()
            self.selector.request_survey()
        self.cursor.request_sweep()
        sweep_at = None if request.sweep else self.cursor.sweep_at
        self.polling.after_short(listening=self._session.listening, sweep_at=sweep_at)
