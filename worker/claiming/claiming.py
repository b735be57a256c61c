"""The claims of one worker: when one is due, its request, and the effects of its result.

`polling` decides when to claim and how many jobs; `cursor`, where the search begins; `ways`,
whether to claim functions or coroutines alone. When a claim brings fewer jobs than it asked
for, the worker registers as idle, so that enqueues send notifications (which cost them a
lock). It withdraws the registration once claims have brought as many as asked for a while.
"""

from typing import Any

from jobsd.clock import monotonic
from jobsd.configuration.options import WorkerOptions
from jobsd.database.connection import Session, Statement
from jobsd.performing.pool import Pool
from jobsd.processes.idle_registration import IdleRegistration
from jobsd.states import parked, ready
from jobsd.worker.asynchronous import Aim, Asynchronous
from jobsd.worker.ledger import Ledger
from jobsd.worker.report import Report
from jobsd.worker.turn import ClaimRequest, TurnResult, Turns

from .ahead import Ahead
from .known_classes import KnownClasses
from .limited import Limited, Until
from .polling import FEW, PrefetchPolicy, Stream
from .selector import QueueSelector
from .ways import ClaimWay, ClaimWays, Kind


class Claiming:
    """Makes the claim requests of one worker, and takes in their results."""

    def __init__(  # noqa: PLR0913, PLR0917 - what claims are made of
        self,
        session: Session,
        options: WorkerOptions,
        known_classes: KnownClasses,
        selector: QueueSelector,
        ledger: Ledger,
        pool: Pool,
        report: Report,
        turns: Turns,
        asynchronous: Asynchronous,
    ) -> None:
        self._session = session
        self._ledger = ledger
        self._pool = pool
        self._report = report
        self._turns = turns
        self._asynchronous = asynchronous
        self.known_classes = known_classes
        self.selector = selector
        self.idle = IdleRegistration(session, "worker")
        self.prefetch = PrefetchPolicy(options.threads, options.prefetch)
        self.ways = ClaimWays(options.polling_interval_s)
        self.stream = Stream()
        self.limited = Limited(
            *(session, selector, known_classes, ledger, self.prefetch),
            *(pool, report, asynchronous),
        )
        both = self.ways.both
        self.ahead = Ahead(selector, known_classes, both, ledger, turns, self.aim)
        self._only_limited = False
        """Whether the last claim has brought none but limited jobs."""
        self._waits = False
        """Whether only functions, or only coroutines, wait for notifications."""
        self._from_lanes = False
        """Whether the last claim was one of jobs in lanes."""
        self._unknown_in_row = 0
        """How many claims in a row have brought unknown jobs alone."""

    def begin_anew(self) -> None:
        """Begin at the head of the index, because the database may have gone back in time."""
        self.ahead.forget()
        self._reset()
        self.ways.poll_now()

    def _reset(self) -> None:
        self.ways.reset()
        self.limited.searches.reset()

    def hear(self, word: str, queue: str) -> None:
        """Take in a notification."""
        if word != "ready":
            self.ahead.prepared = None
        if word == "resumed":
            self._reset()
            self.known_classes.survey_soon()
        if word in {"ready", "limited", "resumed"} and self.selector.add(queue):
            self.ways.poll_now()
            if word != "ready":
                self.limited.searches.now()
        if word == "lane":
            queue, _, lane = queue.rpartition("\n")
            if self.known_classes.hear(queue, lane):
                self.ways.poll_now()

    def survey(self) -> None:
        """Set many unknown jobs aside, and find out whether there are jobs in lanes."""
        if self.is_setting_aside:
            statement, where = self.selector.search(
                self.ways.both.cursor, registered=self.idle.stands
            )
            if not self.known_classes.set_aside(statement, where):
                self._unknown_in_row = 0
                self.ways.poll_now()
        if self.known_classes.survey():
            self.ways.request_sweep()
            self.ways.poll_now()

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

    def aim(self) -> Aim:
        """Return the room for jobs now."""
        return self._asynchronous.aim(0 if self.is_setting_aside else self._thread_room())

    def due_at(self, kind: Kind) -> float:
        """Return when a claim of this kind is due."""
        way = self.ways[kind]
        search_at = self.limited.searches[kind].due_at
        if self._ledger.returns > way.returns_swept:
            search_at = max(search_at, way.cursor.sweep_at)
        return min(way.polling.next_poll, search_at)

    def request(self, aim: Aim, asked_at: float, process_id: int) -> ClaimRequest:
        """Return the request of a claim."""
        self._from_lanes = not self._from_lanes and aim.kind is None
        if self._from_lanes and self.known_classes.open:
            lanes, where = self.known_classes.places()
            return ClaimRequest(
                *(aim.limit, asked_at, process_id, ready.CLAIM_PARKED, where), lanes=lanes
            )
        self._from_lanes = False
        way = self.ways[aim.kind]
        sweep = way.begin(self._ledger.returns)
        if sweep:
            self.selector.begin_anew()
        search = self._search(aim, way)
        return ClaimRequest(
            *(aim.limit, asked_at, process_id, *search), kind=aim.kind, sweep=sweep
        )

    def claim_ahead(self, request: ClaimRequest) -> None:
        """Claim limited jobs before the turn if the series of the only key has ended.

        So its key keeps the slot, and its thread has jobs again while the turn records others.
        If the slot were freed, handed over and taken again, another worker would be told of it,
        and would search at the same time: in vain, and for as long as the claim takes.
        """
        if not (self._only_limited and self.limited.goes_on) or self._ledger.gives_back:
            return
        # Invariant: the scoreboard entry remembers ended jobs until they are recorded.
        most = self._most - self._ledger.unrecorded
        room = self.prefetch.room_for_series(self._pool, most, self._pool.runs_dry)
        if room <= 0:
            return
        aim, stands = Aim(room), self.idle.stands
        claimed = self.limited.claim(aim, request.asked_at, None, registered=stands)
        request.limit = min(request.limit, self._most)
        if self._ledger.frees_slot:
            # Behind the turn, which hands it over.
            self.limited.searches.now()
        else:
            request.limited_short = claimed < room

    def _search(self, aim: Aim, way: ClaimWay) -> tuple[Statement, dict[str, Any]]:
        opened, registered = self.known_classes.open, self.idle.stands
        if aim.kind is None:
            few = aim.limit <= FEW or way.polling.expects_few
            return self.selector.search(way.cursor, registered=registered, few=few)
        kind = parked.of_kind(aim.kind)
        meant = [lane for lane in opened if lane[1] in kind]
        segments = self.selector.search_kind(way.cursor, meant, registered=registered)
        how = {"kind": sorted(kind), "depth": way.depth(aim.limit)}
        return ready.CLAIM_KIND, {**segments, **how}

    def _thread_room(self) -> int:
        return self.prefetch.room(self._pool, self._most, self._pool.runs_dry)

    @property
    def _most(self) -> int:
        return self._turns.room(self._pool.uncollected, self._asynchronous.uncollected)

    # After a claim.

    def finish(self, request: ClaimRequest, result: TurnResult) -> None:
        """Take in the result of a claim, and claim limited jobs if it is time to."""
        self.stream.note(result.size, full=result.size >= request.most)
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
        walks_on = self._advance(request, result)
        short = self._claim_limited(request, result, walks_on=walks_on)
        if walks_on:
            return
        if short:
            self._after_short(request)
        else:
            self._after_full(request)
        if self.known_classes.open:
            self.ways.poll_now()

    def _advance(self, request: ClaimRequest, result: TurnResult) -> bool:
        """Move the cursors; return whether the walk of which the claim was a part continues."""
        way = self.ways[request.kind]
        if request.kind is not None:
            named = not self.selector.selection.everything
            # Withheld jobs lie within the walk, and are released to their old position.
            reached = result.positions(named=named) if result.withheld else result.walked
            way.cursor.advance(reached, sweep=request.sweep)
            return way.walk_on(request.limit, result.size, result.steps, result.took_s)
        reached = result.positions(named=self.selector.by_names)
        way.cursor.advance(reached, sweep=request.sweep, took_s=result.took_s)
        self.selector.note_cost(result.took_s)
        if len(result.jobs) == request.limit:
            self.selector.pass_to(result.jobs[-1])
        if self._asynchronous.is_active:
            named = not self.selector.selection.everything
            self.ways.advance_alone(result.positions(named=named))
        return False

    def _give_back(self, result: TurnResult, request: ClaimRequest) -> None:
        """Release withheld jobs, and unknown jobs unless they have to fail here."""
        self._ledger.give_back([*result.withheld, *result.unknown])
        if result.withheld:
            self.ways.request_sweep()
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
        return self.prefetch.low_water, self.selector.rank

    def _claim_limited(
        self, request: ClaimRequest, result: TurnResult, *, walks_on: bool
    ) -> bool:
        """Claim limited jobs if it is time to; return whether no more of any kind wait."""
        left, until = request.limit - result.size, None
        self._only_limited = False
        if result.size >= request.most:
            left = 0
            last = [*result.jobs, *result.unknown, *result.withheld][-1]
            until = Until(last.queue_name, last.priority, last.position)
        elif walks_on:
            until = Until(*result.walked[-1])
        elif (
            self._ledger.returns > self.ways[request.kind].returns_swept or self.selector.is_cut
        ):
            # Released jobs lie before the cursor, or jobs in further queues: these come first.
            return True
        short = until is None
        self._only_limited = left == request.limit and not self._asynchronous.is_active
        if request.limited_short is not None:
            return short and request.limited_short
        if monotonic() < self.limited.searches.due_at:
            return short  # Mostly so, and to find out for how many there is room takes long.
        aim = self._asynchronous.limited_aim(request, left, self._thread_room())
        if self._only_limited:
            room = self.prefetch.room_for_series(self._pool, self._most, self._pool.runs_dry)
            aim = Aim(max(left, room))
        if aim.limit and monotonic() >= self.limited.searches[aim.kind].due_at:
            claimed = self.limited.claim(
                aim, request.asked_at, until, registered=self.idle.stands
            )
            short = short and claimed < aim.limit
        return short

    def _after_full(self, request: ClaimRequest) -> None:
        polling = self.ways[request.kind].polling
        polling.after_full()
        if polling.saturated and not self._waits and self.idle.withdraw(request.process_id):
            # No notifications of limited jobs come any more.
            self.limited.searches.now()

    def _after_short(self, request: ClaimRequest) -> None:
        way = self.ways[request.kind]
        if self.selector.widen():  # There are further queues.
            way.polling.poll_now()
            return
        # While claims keep bringing jobs of the other kind, new jobs of this kind are found
        # with them. Jobs of this kind that lie far behind are found by polling.
        flows = request.kind is not None and self.ways.others_flow(request.kind)
        self._waits = request.kind is not None and not flows
        if not flows and self.idle.register(request.process_id):
            way.polling.reset_backoff()
            self.selector.request_survey()
        way.cursor.request_sweep()
        sweep_at = None if request.sweep else way.cursor.sweep_at
        if request.kind is not None and sweep_at is not None and sweep_at > monotonic():
            sweep_at = None
        listening = self._session.listening and not (flows and not self.idle.stands)
        way.polling.after_short(listening=listening, sweep_at=sweep_at)
