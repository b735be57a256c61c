"""Claims limited jobs: takes slots, and series of jobs for them.

A statement of its own does so, behind the commit of the turn, whose slots may be taken again;
and a worker that meets no limited job hardly ever sends it: it is told of some by a
notification, or looks by itself at growing intervals. Where the turn's own claim has come back
full, only those limited jobs are claimed that come before its last job.

Jobs that were met and can't be started now (their key is full, or another worker has to start
the first ones) are blocked where that is little work. Where nothing else was met, they are a
stretch: passed over like one of jobs that are not known here, and blocked in the background.
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

from .pace import BYTES_MAX, FEW, PATIENCE_S
from .places import Places
from .turn import came_along, claimed_job

if TYPE_CHECKING:
    from jobsd.database.connection import Plain, Session
    from jobsd.jobs.series import Met
    from jobsd.performing.hand import Waiting
    from jobsd.performing.perform import ClaimedJob
    from jobsd.performing.pool import Pool

    from .choice import Choice
    from .knowledge import Knowledge
    from .ledger import Ledger
    from .pace import Pace
    from .places import Gaps
    from .report import Report

LOOK_MIN, LOOK_MAX = 500, 20_000
"""So many jobs are met by one statement; more only behind some of which none is for us."""
ASIDE_MAX = 100
"""So many of them are blocked by the statement that claims; the rest in the background."""
BLOCKED = 1000
IDLE_SHARE, BUSY_SHARE = 9.0, 60.0
"""After so many were blocked in the background, so many times its duration passes."""
PAUSE_MIN_S = 0.005
PAUSE_MAX_S, PAUSE_BUSY_S = 5.0, 0.25
"""How long to wait before looking again, where nothing is to be had: when somebody would tell
us of limited jobs, and while nobody would, since we don't sleep."""


class Until(NamedTuple):
    """The last job of a full claim: its queue, priority and position."""

    queue_name: str
    priority: int
    position: int


class Limited:
    """What one worker claims of limited jobs."""

    def __init__(  # noqa: PLR0913, PLR0917 - what claims are made of
        self,
        session: Session,
        choice: Choice,
        knowledge: Knowledge,
        ledger: Ledger,
        pace: Pace,
        pool: Pool,
        report: Report,
    ) -> None:
        self._session = session
        self._choice = choice
        self._knowledge = knowledge
        self._ledger = ledger
        self._pace = pace
        self._pool = pool
        self._report = report
        self._places = Places()
        self._knows = False
        self._look = LOOK_MIN
        self._pause_s = PAUSE_MIN_S
        self._work_at = 0.0
        self.next_at = 0.0
        """When to look for limited jobs (monotonic)."""

    def look_now(self) -> None:
        """There is reason to think that limited jobs may be claimed."""
        self.next_at = 0.0
        self._pause_s = PAUSE_MIN_S

    def forget(self) -> None:
        """Begin at the head again: the database may be another, or jobs lie before."""
        self._places.forget()
        self.look_now()

    def claim(
        self, limit: int, asked_at: float, row_id: int, until: Until | None, *, told: bool
    ) -> int:
        """Claim so many jobs at most; return how many these are.

        `until` is the last job that was claimed beside them, if there may be more behind it;
        `told` says that we would be told of others.
        """
        if not self._knows and not self._are_any():
            self._pause(told=told)
            return 0
        further = self._further()
        sweep = self._places.begin()
        queues = [None] if self._choice.selection.everything else self._choice.queues(told=told)
        segments = self._places.segments(queues)
        met, jobs = self._ask(
            {**segments, **_until(until, segments["names"]), **self._more(further)},
            *(limit, self._look, ASIDE_MAX),
            asked_at=asked_at,
            row_id=row_id,
        )
        self._hand_over(jobs, further, asked_at)
        self._places.end((), sweep=sweep)
        self._go_on(met, segments["names"], claimed=len(jobs), told=told)
        return len(jobs)

    def _are_any(self) -> bool:
        """Return whether any limited job is ready: until one was met, only that is asked.

        The server takes 20 ms to plan the statement that claims.
        """
        ((self._knows,),) = self._session.fetch_prepared(series.STATEMENTS["any"], {})
        return self._knows

    def work(self, rest_s: float, row_id: int) -> float:
        """Block a part of a stretch if it is time to; return the seconds that are left to rest.

        Who has nothing to do for `rest_s` may do so for a tenth of the time.
        """
        gaps = next(((queue, gaps) for queue, gaps in self._places.gaps.items() if gaps), None)
        if gaps is None:
            return rest_s
        if (began := monotonic()) >= self._work_at:
            self._block(*gaps, row_id)
            cost_s = monotonic() - began
            self._work_at = monotonic() + cost_s * (IDLE_SHARE if rest_s else BUSY_SHARE)
        return min(rest_s, max(0.0, self._work_at - monotonic()))

    def _block(self, queue: str | None, gaps: Gaps, row_id: int) -> None:
        priority, (start, end) = next(iter(gaps.items()))
        part: dict[str, Plain] = {
            "names": [queue or ""],
            "after_priorities": array((priority,)),
            "after_positions": array((start,)),
            "below_priorities": array((priority,)),
            "below_positions": array((end + 1,)),
        }
        met, _ = self._ask(
            {**part, **_until(None, []), **self._more([])},
            *(0, BLOCKED, BLOCKED),
            asked_at=monotonic(),
            row_id=row_id,
        )
        if met.met < BLOCKED:
            del gaps[priority]
            self._places.want_sweep()
        else:
            gaps[priority] = met.stretches[-1].last, end

    def _ask(  # noqa: PLR0913 - what a claim is made of
        self,
        parameters: dict[str, Plain],
        limit: int,
        look: int,
        aside_max: int,
        *,
        asked_at: float,
        row_id: int,
    ) -> tuple[Met, list[ClaimedJob]]:
        everything = self._choice.selection.everything
        head, *rows = self._session.fetch_prepared(
            series.CLAIM_ANY if everything else series.CLAIM_NAMED,
            {
                **parameters,
                "limit": limit,
                "look": look,
                "aside_max": aside_max,
                "long": self._pace.series_max,
                "deep": max(1, self._pool.size + 1 - len(self._pool.series)),
                "threads": self._pool.size,
                "in_hand": (in_hand := sorted(self._ledger.keys)),
                "flowing": [] if self._is_standing else in_hand,
                "overdue": sorted(self._knowledge.overdue),
                "everything": everything,
                "queues": list(self._choice.selection.patterns),
                "process_id": row_id,
                "asked_at": asked_at,
                "share": BYTES_MAX // limit if limit > FEW else 2**31 - 1,
                "budget": BYTES_MAX,
                "keep": self._ledger.keep,
            },
        )
        met = series.met(head)
        self._tell(met)
        return met, self._knowledge.last_attempts([claimed_job(row) for row in rows])

    @property
    def _is_standing(self) -> bool:
        """Whether a job runs for so long that what waits for its slot waits for long, too."""
        return max(self._pool.running_for_s(), default=0.0) >= PATIENCE_S

    def _further(self) -> list[Series]:
        """Return the series that are to get more jobs: none while others wait for a thread.

        What waits behind a job that runs for long was given back, and would be again.
        """
        if self._pool.queued:
            return []
        return [
            each
            for each in self._pool.series.values()
            if each.most == 1
            and len(each.waiting) <= each.low
            and self._ledger.size_of(each.claim_id)
            and not self._pool.is_held_up(each, PATIENCE_S)
        ]

    def _more(self, further: list[Series]) -> dict[str, Plain]:
        most = self._pace.series_max
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
            self._ledger.add_series(claim_id, claim, key)
            posted = [(job, asked_at) for job in claim if job.arguments]
            if each := known.pop(claim_id, None):
                self._pool.prolong(each, posted)
                each.low = len(each.waiting) // 2
            elif len(posted) == 1:
                fresh += posted
            elif posted:
                fresh.append(Series(posted, key, claim[0].position))
            self._report.claimed(claim_id, claim)
        for each in known.values():
            # It has no more jobs: its end is told, not that there are few.
            each.low = 0
        if fresh:
            self._pool.post_together(fresh, self._pace.ahead(()) // 2, self._choice.rank)
        if jobs:
            self._pace.weigh(came, weight, withheld=came < len(jobs))
            self._ledger.give_back([job for job in jobs if not job.arguments])

    def _tell(self, met: Met) -> None:
        if met.dropped:
            size = len(met.dropped)
            emit("jobs.discarded", size=size, job_ids=met.dropped, reason="conflict")
        if met.parked and is_subscribed("debug"):
            emit("jobs.blocked", size=met.parked)
        if met.unknown:
            self._knowledge.meet(met.unknown)

    def _go_on(self, met: Met, names: list[str | None], *, claimed: int, told: bool) -> None:
        if claimed or met.left:
            self._look = LOOK_MIN
            self._pause_s = PAUSE_MIN_S
            self.next_at = 0.0 if claimed else monotonic() + PAUSE_MIN_S
            return
        if met.met >= self._look:
            for turn, priority, first, last in met.stretches:
                queue = names[turn - 1] if turn else None
                self._places.skip(queue, priority, first - 1, last)
            self._look = LOOK_MAX
            self.next_at = 0.0
            return
        self._look = LOOK_MIN
        self._places.want_sweep()
        self._pause(told=told)

    def _pause(self, *, told: bool) -> None:
        self._pause_s = min(self._pause_s * 2, PAUSE_MAX_S if told else PAUSE_BUSY_S)
        self.next_at = monotonic() + self._pause_s


def _until(until: Until | None, names: list[str | None]) -> dict[str, Plain]:
    if until is None:
        return dict.fromkeys(("until_turn", "until_priority", "until_position"))
    turn = max((n for n, name in enumerate(names, 1) if name == until.queue_name), default=0)
    return {
        "until_turn": turn,
        "until_priority": until.priority,
        "until_position": until.position,
    }
