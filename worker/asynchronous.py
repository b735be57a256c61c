"""What a worker has to do with asynchronous jobs: how many it claims, and which it sets aside.

Jobs of both kinds lie in one order, and a claim takes them as they come. Threads and loop have
room apart from each other. So a claim asks for what either of them can start; what comes beyond
that is set aside, into the lane of its class: still ready, for any worker with room, and out of
the way of the other kind. Lanes are searched only for the kinds for which there is room.

A process that knows no asynchronous job, or runs none (`coroutines: 0`), has one kind only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.jobs import lanes, registry
from jobsd.performing.coroutines import BEAT_S, Coroutines

from .polling import POLL_MAX_S, PrefetchPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobsd.configuration.options import WorkerOptions
    from jobsd.jobs.lanes import Lane
    from jobsd.performing.perform import ClaimedJob, Run
    from jobsd.performing.pool import Pool
    from jobsd.processes.context import Context
    from jobsd.processes.entry import ScoreboardEntry

    from .turn import Turns

FAVOURS_MAX = 8
"""So many claims in a row are for one kind alone, when no job of the other one comes."""


class Asynchronous:
    """The asynchronous jobs of one worker, beside those of its threads."""

    def __init__(
        self,
        options: WorkerOptions,
        context: Context,
        pool: Pool,
        trust_s: float,
        turns: Turns,
    ) -> None:
        """Begin without a loop; `turns` says how many more jobs may be claimed."""
        entry, wake = context.entry, context.nap.wake
        self.coroutines = Coroutines(options.coroutines, entry, wake, trust_s, pool.lock)
        entry.coroutines_max = options.coroutines
        self.pool = pool
        self._turns = turns
        self._prefetch = PrefetchPolicy(max(1, options.coroutines), options.prefetch)
        self._rooms = (0, 0)
        self._favoured: bool | None = None
        self._favours = 0
        self._aside = {True: False, False: False}
        self._without_room: list[ClaimedJob] = []

    @property
    def is_active(self) -> bool:
        """Whether there are two kinds of jobs here."""
        return bool(self.coroutines.size and registry.asynchronous())

    # Of both kinds together.

    @property
    def uncollected(self) -> int:
        """How many jobs were posted and not collected."""
        return self.pool.uncollected + self.coroutines.uncollected

    @property
    def in_hand(self) -> int:
        """How many jobs have not ended."""
        return self.pool.in_hand + self.coroutines.in_hand

    @property
    def doubts(self) -> bool:
        """Whether jobs wait until the claims have been read back."""
        return self.pool.doubts or self.coroutines.doubts

    def rest_s(self, flush_s: float) -> float:
        """Return how long the control thread may rest at most."""
        if self.pool.flows or self.coroutines.flows:
            return flush_s
        return BEAT_S if self.coroutines.busy else POLL_MAX_S

    def show_busy(self, entry: ScoreboardEntry) -> None:
        """Record how many jobs run."""
        entry.set_threads(self.pool.busy, self.pool.size)
        entry.busy_coroutines = self.coroutines.busy

    # Claims.

    def room(self, threads: int) -> int:
        """Return how many jobs to claim, where there is room for so many in threads."""
        if not self.is_active:
            return threads
        loop = self._room()
        if not (threads and loop):
            return threads or loop
        if self._favoured is None:
            return min(threads, loop)
        return loop if self._favoured else threads

    def begin_claim(self, threads: int, opened: list[Lane]) -> tuple[list[Lane], bool]:
        """Begin a claim: return which lanes to search, and whether jobs set aside may start."""
        if not self.is_active:
            return opened, False
        loop = self._room()
        self._rooms = threads, loop
        kinds = {True: bool(loop), False: bool(threads)}
        again = any(kinds[kind] and self._aside[kind] for kind in kinds)
        self._aside = {kind: self._aside[kind] and not kinds[kind] for kind in kinds}
        names = {lanes.lane_of(name) for name in registry.asynchronous()}
        return [lane for lane in opened if kinds[lane[1] in names]], again

    def take(self, jobs: list[ClaimedJob], limit: int, asked_at: float) -> list[ClaimedJob]:
        """Hand the loop's jobs over to it, and return those for threads.

        Those of either kind for which there is no room are set aside.
        """
        if not self.is_active:
            return jobs
        names = registry.asynchronous()
        found: dict[bool, list[ClaimedJob]] = {True: [], False: []}
        aside: list[ClaimedJob] = []
        rooms = {True: self._rooms[1], False: self._rooms[0]}
        for job in jobs:
            kind = job.class_name in names
            fits = len(found[kind]) < rooms[kind]
            (found[kind] if fits else aside).append(job)
            self._aside[kind] = self._aside[kind] or not fits
        self._favour(found, full=len(jobs) >= limit and all(self._rooms))
        self._without_room += aside
        self.post(found[True], asked_at)
        return found[False]

    def take_aside(self) -> list[ClaimedJob]:
        """Return the jobs that were set aside, to be released."""
        aside, self._without_room = self._without_room, []
        return aside

    def post(self, jobs: Sequence[ClaimedJob], asked_at: float) -> None:
        """Hand jobs over to the loop."""
        if jobs:
            self.coroutines.post(jobs, asked_at, self._prefetch.low_water)

    def is_ours(self, job: ClaimedJob) -> bool:
        """Return whether a job is for the loop."""
        return self.is_active and job.class_name in registry.asynchronous()

    def split(self, jobs: list[ClaimedJob]) -> int:
        """Return how many jobs of one slot, from the first on, can be handed over together.

        Those of the loop one at a time; those of threads up to the first that is for the loop.
        """
        if not self.is_active:
            return len(jobs)
        if jobs and self.is_ours(jobs[0]):
            return 1
        return next((n for n, job in enumerate(jobs) if self.is_ours(job)), len(jobs))

    def collect(self) -> tuple[list[Run], list[ClaimedJob]]:
        """Return the runs that have ended, and the jobs that go back."""
        if not self.coroutines.uncollected:
            return [], []
        self.coroutines.look()
        runs = self.coroutines.collect()
        back = self.coroutines.take_returned()
        self._prefetch.observe_durations([run.ended - run.started for run in runs])
        startable = self._prefetch.startable(self.coroutines.running_for_s())
        if startable is not None and self.coroutines.waiting > startable:
            back += self.coroutines.take_back(startable)
        return runs, back

    def drain(self, within_s: float | None) -> list[ClaimedJob]:
        """Return what was not started; what then still runs is cancelled in time."""
        if within_s is not None and self.coroutines.uncollected:
            self.coroutines.drain(max(within_s - 0.5, within_s * 0.75))
        return self.coroutines.take_back()

    def close(self) -> None:
        """Let the threads and the loop end."""
        self.pool.close()
        self.coroutines.close()

    def _room(self) -> int:
        most = self._turns.room(self.coroutines.uncollected, self.uncollected)
        return self._prefetch.room(self.coroutines, most)

    def _favour(self, found: dict[bool, list[ClaimedJob]], *, full: bool) -> None:
        """Claim for one kind alone a few times, when a claim for both brought no other."""
        kinds = [kind for kind, jobs in found.items() if jobs]
        if full and len(kinds) == 1 and self._favours < FAVOURS_MAX:
            self._favoured = kinds[0]
            self._favours += 1
        else:
            self._favoured, self._favours = None, 0
