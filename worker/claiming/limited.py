"""Claims limited jobs: takes slots, and series of jobs for them.

A statement of its own does so, after the commit of the turn, whose slots may be taken again. A
worker that meets no limited job hardly ever sends it: a notification says that there are some,
or it searches by itself at growing intervals. Where the turn's own claim has come back full,
only those limited jobs are claimed that come before its last job.

Jobs that were met and can't be started now (their key is full, or another worker has to start
the first ones) are blocked where that is little work. Where nothing else was met, they are a
gap of the cursor, like unknown jobs in a row, and are blocked in the background.
"""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from jobsd.clock import monotonic
from jobsd.instruments.events import emit, is_subscribed
from jobsd.jobs import series
from jobsd.jobs.claims import array
from jobsd.performing.series import Series
from jobsd.worker.turn import came_along, claimed_job

from .cursor import ClaimCursor, Gap, GapClearing
from .polling import BYTES_MAX, FEW, PATIENCE_S

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.database.parameters import Plain
    from jobsd.jobs.series import Met
    from jobsd.performing.hand import Waiting
    from jobsd.performing.perform import ClaimedJob
    from jobsd.performing.pool import Pool
    from jobsd.worker.asynchronous import Asynchronous
    from jobsd.worker.ledger import Ledger
    from jobsd.worker.report import Report

    from .known_classes import KnownClasses
    from .polling import PrefetchPolicy
    from .selector import QueueSelector

SEARCH_MIN, SEARCH_MAX = 500, 20_000
"""So many jobs are met by one statement; more only after some of which none is for us."""
ASIDE_MAX = 100
"""So many of them are blocked by the statement that claims; the rest in the background."""
BLOCKED = 1000
IDLE_SHARE = 9.0
"""After an idle worker has blocked so many in the background, so many times its duration
passes."""
PAUSE_MIN_S = 0.005
PAUSE_MAX_S, PAUSE_BUSY_S = 5.0, 0.25
"""How long to wait before the next search, where nothing was found: while the worker is
registered as idle, so that a notification comes, and while it is not."""


class Until(NamedTuple):
    """How far a claim has come: to a queue (None: in all of them), priority and position."""

    queue_name: str | None
    priority: int
    position: int


class Limited:
    """What one worker claims of limited jobs."""

    def __init__(  # noqa: PLR0913, PLR0917 - what claims are made of
        self,
        session: Session,
        selector: QueueSelector,
        known_classes: KnownClasses,
        ledger: Ledger,
        prefetch: PrefetchPolicy,
        pool: Pool,
        report: Report,
        asynchronous: Asynchronous,
    ) -> None:
        self._session = session
        self._selector = selector
        self._known_classes = known_classes
        self._ledger = ledger
        self._prefetch = prefetch
        self._pool = pool
        self._report = report
        self._asynchronous = asynchronous
        self._cursor = ClaimCursor()
        self._clearing = GapClearing(self._cursor, self._block, IDLE_SHARE)
        self._knows = False
        self._depth = SEARCH_MIN
        self._pause_s = PAUSE_MIN_S
        self.next_search = 0.0
        """When to search for limited jobs (monotonic)."""

    def search_now(self) -> None:
        """Search at once: there is reason to think that limited jobs may be claimed."""
        self.next_search = 0.0
        self._pause_s = PAUSE_MIN_S

    def reset(self) -> None:
        """Begin at the head again: the database may be another, or jobs lie before."""
        self._cursor.reset()
        self.search_now()

    def claim(
        self, limit: int, asked_at: float, until: Until | None, *, registered: bool
    ) -> int:
        """Claim so many jobs at most; return how many these are.

        `until` is the last job that was claimed beside them, if there may be more after it;
        `registered` says that the worker is registered as idle.
        """
        if not self._knows and not self._are_any():
            self._pause(registered=registered)
            return 0
        further = self._further()
        sweep = self._cursor.begin_claim()
        everything = self._selector.selection.everything
        queues = [None] if everything else self._selector.queues(registered=registered)
        segments = self._cursor.segments(queues)
        met, jobs = self._ask(
            {**segments, **_until(until, segments["names"]), **self._more(further)},
            *(limit, self._depth, ASIDE_MAX),
            asked_at=asked_at,
        )
        self._hand_over(jobs, further, asked_at)
        self._cursor.advance((), sweep=sweep)
        self._go_on(met, segments["names"], claimed=len(jobs), registered=registered)
        return len(jobs)

    def _are_any(self) -> bool:
        """Return whether any limited job is ready: until one was met, only that is asked.

        The server takes 20 ms to plan the statement that claims.
        """
        ((self._knows,),) = self._session.fetch_prepared(series.STATEMENTS["any"], {})
        return self._knows

    def clear(self, rest_s: float) -> float:
        """Block some jobs of a gap if it is time to; return the seconds left to rest."""
        return self._clearing.work(rest_s)

    def _block(self, gap: Gap) -> int | None:
        part: dict[str, Plain] = {
            "names": [gap.queue or ""],
            "after_priorities": array((gap.priority,)),
            "after_positions": array((gap.start,)),
            "below_priorities": array((gap.priority,)),
            "below_positions": array((gap.end + 1,)),
        }
        met, _ = self._ask(
            {**part, **_until(None, []), **self._more([])},
            *(0, BLOCKED, BLOCKED),
            asked_at=monotonic(),
        )
        return None if met.met < BLOCKED else met.stretches[-1].last

    def _ask(
        self,
        parameters: dict[str, Plain],
        limit: int,
        depth: int,
        aside_max: int,
        *,
        asked_at: float,
    ) -> tuple[Met, list[ClaimedJob]]:
        everything = self._selector.selection.everything
        head, *rows = self._session.fetch_prepared(
            series.CLAIM_ANY if everything else series.CLAIM_NAMED,
            {
                **parameters,
                "limit": limit,
                "depth": depth,
                "aside_max": aside_max,
                "long": self._prefetch.series_max,
                "deep": max(1, self._pool.size + 1 - len(self._pool.series)),
                "threads": self._pool.size,
                "in_hand": (in_hand := sorted(self._ledger.keys)),
                "flowing": [] if self._is_standing else in_hand,
                "overdue": sorted(self._known_classes.overdue),
                "everything": everything,
                "queues": list(self._selector.selection.patterns),
                "process_id": self._known_classes.row_id,
                "asked_at": asked_at,
                "share": BYTES_MAX // limit if limit > FEW else 2**31 - 1,
                "budget": BYTES_MAX,
                "keep": self._ledger.keep,
            },
        )
        met = series.met(head)
        self._emit(met)
        return met, self._known_classes.last_attempts([claimed_job(row) for row in rows])

    @property
    def _is_standing(self) -> bool:
        """Whether a job runs for so long that what waits for its slot waits for long, too."""
        return max(self._pool.running_for_s(), default=0.0) >= PATIENCE_S

    def _further(self) -> list[Series]:
        """Return the series that are to get more jobs: none while others wait for a thread.

        What waits behind a job that runs for long was released, and would be again.
        """
        if self._pool.queued:
            return []
        return [
            each
            for each in self._pool.series.values()
            if each.most == 1
            and len(each.waiting) <= each.low
            and self._ledger.may_grow(each.claim_id)
            and not self._pool.is_held_up(each, PATIENCE_S)
        ]

    def _more(self, further: list[Series]) -> dict[str, Plain]:
        most = self._prefetch.series_max
        return {
            "claims": array(each.claim_id for each in further),
            "keys": [each.key for each in further],
            "sizes": array(self._ledger.size_of(each.claim_id) for each in further),
            "rooms": array(max(0, most - len(each.waiting)) for each in further),
        }

    def _hand_over(
        self, jobs: list[ClaimedJob], further: list[Series], asked_at: float
    ) -> None:
        """Give the threads their jobs, and note down the claims."""
        came, weight = came_along(jobs)
        known = {each.claim_id: each for each in further}
        fresh: list[Waiting | Series] = []
        for claim_id, claimed in groupby(jobs, attrgetter("claim_id")):
            claim = list(claimed)
            key = claim[0].concurrency_key or ""
            self._ledger.add_series(claim_id, claim, key, asked_at)
            whole = [job for job in claim if job.arguments]
            together = self._asynchronous.split(whole)
            self._ledger.give_back(whole[together:])
            posted = [(job, asked_at) for job in whole[:together]]
            if whole and self._asynchronous.is_ours(whole[0]) and claim_id not in known:
                self._asynchronous.post(whole[:1], asked_at)
            elif each := known.pop(claim_id, None):
                self._pool.prolong(each, posted)
                each.low = len(each.waiting) // 2
            elif len(posted) == 1:
                fresh += posted
            elif posted:
                fresh.append(Series(posted, key, claim[0].position))
            self._report.claimed(claim_id, claim)
        for each in known.values():
            # It has no more jobs: the control thread is woken at its end only.
            each.low = 0
        if fresh:
            self._pool.post_together(fresh, self._prefetch.low_water, self._selector.rank)
        if jobs:
            self._prefetch.observe_sizes(came, weight, withheld=came < len(jobs))
            self._ledger.give_back([job for job in jobs if not job.arguments])

    def _emit(self, met: Met) -> None:
        if met.dropped:
            size = len(met.dropped)
            emit("jobs.discarded", size=size, job_ids=met.dropped, reason="conflict")
        if met.parked and is_subscribed("debug"):
            emit("jobs.blocked", size=met.parked)
        if met.unknown:
            self._known_classes.meet(met.unknown)

    def _go_on(
        self, met: Met, names: list[str | None], *, claimed: int, registered: bool
    ) -> None:
        if claimed or met.left:
            self._depth = SEARCH_MIN
            self._pause_s = PAUSE_MIN_S
            self.next_search = 0.0 if claimed else monotonic() + PAUSE_MIN_S
            return
        if met.met >= self._depth:
            for turn, priority, first, last in met.stretches:
                queue = names[turn - 1] if turn else None
                self._cursor.skip(Gap(queue, priority, first - 1, last))
            self._depth = SEARCH_MAX
            self.next_search = 0.0
            return
        self._depth = SEARCH_MIN
        self._cursor.request_sweep()
        self._pause(registered=registered)

    def _pause(self, *, registered: bool) -> None:
        self._pause_s = min(self._pause_s * 2, PAUSE_MAX_S if registered else PAUSE_BUSY_S)
        self.next_search = monotonic() + self._pause_s


def _until(until: Until | None, names: list[str | None]) -> dict[str, Plain]:
    if until is None:
        return dict.fromkeys(("until_turn", "until_priority", "until_position"))
    turn = max((n for n, name in enumerate(names, 1) if name == until.queue_name), default=0)
    return {
        "until_turn": turn,
        "until_priority": until.priority,
        "until_position": until.position,
    }
