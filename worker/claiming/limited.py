"""Claims limited jobs: takes slots, and series of jobs for them.

A statement of its own does so, after the commit of the turn, whose slots may be taken again.
If the worker has only one key, it claims the key's next jobs before the turn that records the
last ones: the slot is not freed. A worker that meets no limited job rarely sends it: a
notification announces them, or it searches by itself at growing intervals. If the turn's own
claim has come back full, only limited jobs before its last job are claimed.

Jobs that were met and can't be started now (their key is full, or another worker has to start
the first ones) are blocked if that is little work. If no others were met, they are a gap of
the cursor, like unknown jobs in a row, and are blocked in the background.
"""

from itertools import groupby
from operator import attrgetter
from typing import NamedTuple, cast

from jobsd.clock import monotonic
from jobsd.database.connection import Session
from jobsd.database.statements import Plain
from jobsd.events.events import emit, is_subscribed
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.performing.runner import Runner
from jobsd.performing.series import Series, Waiting
from jobsd.states import series
from jobsd.states.claims import array, draw_id
from jobsd.states.series import NONE_CLAIMED, Blocked, Claimed, Held, Met, Shape
from jobsd.worker.constants import (
    AWAKE_S,
    BATCH_MAX,
    BREADTH,
    BYTES_MAX,
    CLAIMED_MAX,
    FEW,
    PATIENCE_S,
    POLL_MAX_S,
    SEARCH_MAX,
    SOON_S,
)
from jobsd.worker.ledger import Ledger
from jobsd.worker.report import Report
from jobsd.worker.turn import came_along

from .cursor import ClaimCursor, Gap, GapClearing
from .known_classes import KnownClasses
from .polling import PrefetchPolicy
from .selector import QueueSelector


class Until(NamedTuple):
    """How far a claim has come: to a queue (None: in all of them), priority and position."""

    queue_name: str | None
    priority: int
    position: int


class Search:
    """The search for limited jobs: from where, how far, and when.

    It begins at the head each time, and passes over the gaps that it has found: nothing in them
    can be started here now, and they are cleared in the background.
    """

    def __init__(self) -> None:
        self.cursor = ClaimCursor()
        self.depth = BATCH_MAX
        self.due_at = 0.0
        """When to search (monotonic)."""
        self._pause_s = SOON_S

    def now(self) -> None:
        """Search at once: there is reason to think that limited jobs may be claimed."""
        self.due_at = 0.0
        self._pause_s = SOON_S

    def reset(self) -> None:
        """Begin at the head again: the database may be another, or jobs lie before."""
        self.cursor.reset()
        self.now()

    def pause(self, *, registered: bool) -> None:
        """Wait a while, twice as long as the last time."""
        self._pause_s = min(self._pause_s * 2, POLL_MAX_S if registered else AWAKE_S)
        self.due_at = monotonic() + self._pause_s

    def go_on(self, met: Met, claimed: int, *, left: bool, registered: bool) -> None:
        """Note the jobs that a search has met, and the number that it has claimed.

        `left`: some could have been started, and were left.
        """
        if claimed or left:
            self.depth = BATCH_MAX
            self._pause_s = SOON_S
            self.due_at = 0.0 if claimed else monotonic() + SOON_S
        elif met.walked >= self.depth:
            for queue, priority, first, last in met.stretches:
                self.cursor.skip(Gap(queue, priority, first - 1, last))
            self.depth = SEARCH_MAX
            self.due_at = 0.0
        else:
            self.depth = BATCH_MAX
            self.cursor.request_sweep()
            self.pause(registered=registered)


class Limited:
    """What one worker claims of limited jobs."""

    def __init__(  # noqa: PLR0913, PLR0917 - what claims are made of
        self,
        session: Session,
        selector: QueueSelector,
        known_classes: KnownClasses,
        ledger: Ledger,
        prefetch: PrefetchPolicy,
        pool: Runner,
        report: Report,
    ) -> None:
        self._session = session
        self._selector = selector
        self._known_classes = known_classes
        self._ledger = ledger
        self._prefetch = prefetch
        self._pool = pool
        self._report = report
        self.search = Search()
        self._clearing = GapClearing(self.search.cursor, self._clear)
        self._is_full = False
        """Whether the last claim has brought as many jobs as one key may have."""
        self._length = BATCH_MAX
        """How many jobs of one key a claim finds."""

    def claim(
        self, limit: int, asked_at: float, until: Until | None, *, registered: bool
    ) -> int:
        """Claim up to `limit` jobs; return their number.

        `until` is the last job that was claimed beside them, if there may be more after it; if
        `registered`, the worker is registered as idle.
        """
        search = self.search
        running = (*self._pool.series.values(), *self._pool.run_out)
        low = sorted((each for each in running if each.is_low), key=_left)
        further = self._further(low)
        sweep = search.cursor.begin_claim()
        everything = self._selector.selection.everything
        queues = [None] if everything else self._selector.queues(registered=registered)
        segments = search.cursor.segments(queues)
        part = {**segments, **_until(until, segments["names"])}
        met = self._meet(part, further, limit)
        claimed = self._take(met, further, limit, asked_at)
        if claimed.unknown:
            self._known_classes.meet(claimed.unknown)
        jobs = self._known_classes.last_attempts(claimed.jobs)
        left = met.left(claimed)
        self._is_full = len(jobs) >= min(limit, self._prefetch.series_max)
        self._hand_over(jobs, low, further, asked_at)
        if met.full:
            self._block({**part, "depth": search.depth, "at_most": BREADTH})
        self._observe_length(jobs, limit, left=left)
        search.cursor.advance((), sweep=sweep)
        search.go_on(met, len(jobs), left=left, registered=registered)
        return len(jobs)

    @property
    def goes_on(self) -> bool:
        """Whether the series of the only key has ended, and more of its jobs may wait.

        Slots of several keys are freed, so that other workers get some of them.
        """
        ended = self._further(self._pool.run_out)
        return self._is_full and len(ended) == 1 and self._ledger.keys == {ended[0].key}

    def clear(self, rest_s: float) -> float:
        """Block some jobs of a gap if it is time to; return the seconds left to rest."""
        return self._clearing.work(rest_s)

    def _clear(self, gap: Gap) -> int | None:
        blocked = self._block(
            {
                "names": [gap.queue or ""],
                "after_priorities": array((gap.priority,)),
                "after_positions": array((gap.start,)),
                "below_priorities": array((gap.priority,)),
                "below_positions": array((gap.end + 1,)),
                **_until(None, []),
                "depth": CLAIMED_MAX,
                "at_most": CLAIMED_MAX,
            }
        )
        return None if blocked.walked < CLAIMED_MAX else blocked.last

    def _block(self, part: dict[str, Plain]) -> Blocked:
        """Block the jobs in a part of the ready ones whose key is full."""
        everything = self._selector.selection.everything
        ((*facts,),) = self._session.fetch_prepared(
            series.BLOCK_ANY if everything else series.BLOCK_NAMED,
            {**part, "flowing": self._flowing, "keep": self._ledger.keep},
        )
        blocked = Blocked(*facts)
        if dropped := blocked.dropped:
            emit("jobs.discarded", size=len(dropped), job_ids=dropped, reason="conflict")
        if blocked.parked and is_subscribed("debug"):
            emit("jobs.blocked", size=blocked.parked)
        return blocked

    def _meet(self, part: dict[str, Plain], further: list[Series], limit: int) -> Met:
        """Meet the next limited jobs in a part of the ready ones."""
        everything = self._selector.selection.everything
        (row,) = self._session.fetch_prepared(
            series.KEYS_ANY if everything else series.KEYS_NAMED,
            {
                **part,
                "depth": self.search.depth,
                "limit": limit,
                "keys": [each.key for each in further],
                "flowing": self._flowing,
            },
        )
        return series.met(row, cast("list[str | None]", part["names"]))

    def _take(self, met: Met, further: list[Series], limit: int, asked_at: float) -> Claimed:
        """Claim first jobs of the keys that were met, and for series that go on."""
        if not met.free and not further:
            return NONE_CLAIMED
        most = self._prefetch.series_max
        held = [
            Held(
                each.claim_id,
                each.key,
                self._ledger.size_of(each.claim_id),
                max(0, most - len(each.waiting)),
            )
            for each in further
        ]
        rows = self._session.fetch_prepared(
            series.STATEMENTS["claim"],
            {
                **series.wanted(met, held, self._shape(limit), limit),
                "process_id": self._known_classes.row_id,
                "drawn": draw_id(),
                "overdue": sorted(self._known_classes.overdue),
                "everything": self._selector.selection.everything,
                "queues": list(self._selector.selection.patterns),
                "asked_at": asked_at,
                "share": BYTES_MAX // limit if limit > FEW else 2**31 - 1,
                "budget": BYTES_MAX,
            },
        )
        return series.claimed(rows)

    def _shape(self, limit: int) -> Shape:
        """Return how long series may be, of how many keys, and how many of one key.

        Without threads each job is a series of its own: all that there is room for may be of
        one key.
        """
        if not self._pool.runs_series:
            most = self._pool.size
            return Shape(long=1, deep=max(1, limit), threads=most, singles=True)
        idle = self._pool.size + 1 - len(self._pool.series)
        few = max(1, idle, self._pool.runs_dry)
        filling = limit // self._length
        return Shape(
            long=self._prefetch.series_max,
            deep=max(few, filling),
            threads=self._pool.size,
            singles=filling <= few,
        )

    def _observe_length(self, jobs: list[ClaimedJob], limit: int, *, left: bool) -> None:
        """Note the lengths of series: if all jobs of few keys are few, more are taken."""
        if len(jobs) >= limit:
            self._length = min(BATCH_MAX, self._length * 4 // 3 + 1)
        elif jobs and left:
            self._length = len(jobs) // len({job.claim_id for job in jobs})

    @property
    def _flowing(self) -> list[str]:
        """The keys whose jobs have their turn here within a moment: none behind a long job."""
        is_standing = max(self._pool.running_for_s(), default=0.0) >= PATIENCE_S
        return [] if is_standing else sorted(self._ledger.keys)

    def _further(self, low: list[Series]) -> list[Series]:
        """Return the series that are to get more jobs: none while others wait for a thread.

        What waits behind a job that runs for long was released, and would be again.
        """
        if self._pool.queued:
            return []
        return [
            each
            for each in low
            if each.most == 1
            and self._ledger.may_grow(each.claim_id)
            and not self._pool.is_held_up(each, PATIENCE_S)
        ]

    def _hand_over(
        self, jobs: list[ClaimedJob], low: list[Series], further: list[Series], asked_at: float
    ) -> None:
        """Post the jobs, and note down the claims."""
        came, weight = came_along(jobs)
        known = {each.claim_id: each for each in further}
        _let_end(low)
        fresh: list[Waiting | Series] = []
        for claim_id, claimed in groupby(jobs, attrgetter("claim_id")):
            claim = list(claimed)
            key = claim[0].concurrency_key or ""
            self._ledger.add_series(claim_id, claim, key, asked_at)
            whole = claim if came == len(jobs) else [job for job in claim if job.arguments]
            posted = [(job, asked_at) for job in whole]
            if posted and (each := known.pop(claim_id, None)):
                self._pool.prolong(each, posted)
                each.low = len(each.waiting) // 2
            elif len(posted) == 1:
                fresh += posted
            elif posted:
                fresh.append(Series(posted, key, claim[0].position))
            self._report.claimed(claim_id, claim)
        if fresh:
            low_water = self._prefetch.low_water(self._pool)
            self._pool.post_together(fresh, low_water, self._selector.rank)
        if jobs:
            self._prefetch.observe_sizes(came, weight, withheld=came < len(jobs))
            self._ledger.give_back([job for job in jobs[came:] if not job.arguments])


def _left(series: Series) -> int:
    return len(series.waiting)


def _let_end(low: list[Series]) -> None:
    """Let series that get no more jobs wake the control thread at their end only."""
    for ending in low:
        ending.low = 0


def _until(until: Until | None, names: list[str | None]) -> dict[str, Plain]:
    if until is None:
        return dict.fromkeys(("until_turn", "until_priority", "until_position"))
    turn = max((n for n, name in enumerate(names, 1) if name == until.queue_name), default=0)
    return {
        "until_turn": turn,
        "until_priority": until.priority,
        "until_position": until.position,
    }
