"""Decides for which kind of jobs, functions or coroutines, a worker claims, and how many.

Jobs of both kinds lie in one order. Threads and loop have room apart from each other: while
both have room, a claim takes jobs in order, as many as either could start. While all claimed
jobs are of one kind, it takes as many as this kind has room for: to look at the class of each
job would cost the server half as much again. Jobs of the other kind that come all the same and
can't be started are released at once. If only one kind has room, a claim is for this kind
alone, and passes over the other (see `ways`). So neither kind holds the other up, and no job
lies here that can't be started.

A process that knows no asynchronous job, or runs none (`coroutines: 0`), has one kind only.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jobsd.configuration.options import WorkerOptions
from jobsd.jobs import registry
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.performing.coroutines import BEAT_S, Coroutines
from jobsd.performing.perform import Run
from jobsd.performing.pool import Pool
from jobsd.processes.context import Context
from jobsd.scoreboard.entry import ScoreboardEntry

from .claiming.polling import POLL_MAX_S, PrefetchPolicy
from .turn import ClaimRequest, Turns


class Aim(NamedTuple):
    """The number of jobs to claim; functions (False), coroutines (True), or both."""

    limit: int
    kind: bool | None = None


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
        """Begin without a loop; `turns` knows how many more jobs may be claimed."""
        entry, wake = context.entry, context.nap.wake
        self.coroutines = Coroutines(options.coroutines, entry, wake, trust_s, pool.lock)
        entry.coroutines_max = options.coroutines
        self.pool = pool
        self._turns = turns
        self._prefetch = PrefetchPolicy(max(1, options.coroutines), options.prefetch)
        self._favoured: bool | None = None
        """The kind of which alone all jobs of the last claim were, and it was full."""
        self._favoured_limited: bool | None = None
        """The same of the last claim of limited jobs."""
        self._rooms: dict[bool, int] = {}
        self._opened: dict[bool, int] = {}
        """How many limited jobs of each kind may still be handed over."""

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
        if self.pool.flows or self.coroutines.flows or self._prefetch.is_in_doubt:
            return flush_s
        return BEAT_S if self.coroutines.busy else POLL_MAX_S

    def show_busy(self, entry: ScoreboardEntry) -> None:
        """Record how many jobs run."""
        entry.set_threads(self.pool.busy, self.pool.size)
        entry.busy_coroutines = self.coroutines.busy

    # Claims.

    def aim(self, threads: int) -> Aim:
        """Return the aim of a claim, with room for `threads` jobs in threads."""
        if not self.is_active:
            return Aim(threads)
        loop = self._room()
        self._rooms = {True: loop, False: threads}
        if threads and loop:
            return Aim(min(threads, loop) if self._favoured is None else self._favoured_room)
        return Aim(loop or threads, bool(loop))

    def limited_aim(self, request: ClaimRequest, left: int, threads: int) -> Aim:
        """Return the room for limited jobs after a claim, of the kinds of this claim.

        `left` is the number of jobs that the claim came back short of. A full claim may have
        passed over limited jobs that come first: as many of these may be claimed beside it, as
        it was for.
        """
        if not self.is_active:
            return Aim(left if left > 0 else request.limit)
        if left > 0:
            self._opened = {True: self._room(), False: threads}
        else:
            self._opened = self._rooms or dict.fromkeys((False, True), request.limit)
        if request.kind is not None:
            return Aim(self._opened[request.kind], request.kind)
        loop, threads = self._opened[True], self._opened[False]
        if loop and threads:
            favoured = self._favoured_limited
            return Aim(min(loop, threads) if favoured is None else self._opened[favoured])
        return Aim(loop or threads, bool(loop))

    def is_for_loop(self, aim: Aim) -> bool:
        """Return whether a claim of limited jobs is for the loop, as far as that is known."""
        return self._favoured_limited is True if aim.kind is None else aim.kind

    def favour_limited(self, jobs: Sequence[ClaimedJob], limit: int) -> None:
        """Take note of a claim of up to `limit` limited jobs of both kinds."""
        if self.is_active:
            kinds = {self.is_ours(job) for job in jobs}
            full = len(kinds) == 1 and len(jobs) >= limit
            self._favoured_limited = kinds.pop() if full else None

    @property
    def _favoured_room(self) -> int:
        return self._rooms[bool(self._favoured)]

    def take(
        self, jobs: list[ClaimedJob], limit: int, asked_at: float
    ) -> tuple[list[ClaimedJob], list[ClaimedJob]]:
        """Hand the loop's jobs over to it; return the threads' jobs, and those to release."""
        if not (self.is_active and jobs):
            return jobs, []
        names = registry.asynchronous()
        found: dict[bool, list[ClaimedJob]] = {True: [], False: []}
        for job in jobs:
            found[job.class_name in names].append(job)
        kinds = [kind for kind, some in found.items() if some]
        self._favoured = kinds[0] if len(kinds) == 1 and len(jobs) >= limit else None
        rooms = {kind: self._rooms.get(kind, len(some)) for kind, some in found.items()}
        ours = {kind: some[: rooms[kind]] for kind, some in found.items()}
        back = [job for kind, some in found.items() for job in some[rooms[kind] :]]
        self.post(ours[True], asked_at)
        return ours[False], back

    def post(self, jobs: Sequence[ClaimedJob], asked_at: float) -> None:
        """Hand jobs over to the loop."""
        if jobs:
            running_s = self.coroutines.running_for_s()
            self.coroutines.post(jobs, asked_at, self._prefetch.ahead(running_s) // 2)

    def is_ours(self, job: ClaimedJob) -> bool:
        """Return whether a job is for the loop."""
        return self.is_active and job.class_name in registry.asynchronous()

    def split(self, jobs: list[ClaimedJob], *, further: bool) -> int:
        """Return how many jobs of one slot, from the first on, can be handed over together.

        Those of the loop one at a time; those of threads up to the first that is for the loop.
        Of each kind only as many as there is room for. What comes `further` to a series of a
        thread is for this thread only.
        """
        if not self.is_active or not jobs:
            return len(jobs)
        loop = self.is_ours(jobs[0])
        if further:
            return _until_first(self.is_ours, jobs)
        whole = 1 if loop else _until_first(self.is_ours, jobs)
        fitting = min(whole, max(0, self._opened.get(loop, whole)))
        self._opened = {**self._opened, loop: self._opened.get(loop, whole) - fitting}
        return fitting

    def collect(self) -> tuple[list[Run], list[ClaimedJob]]:
        """Return the runs that have ended, and the jobs that go back."""
        if not self.coroutines.uncollected:
            return [], []
        self.coroutines.check_loop()
        runs = self.coroutines.collect()
        back = self.coroutines.take_returned()
        self._prefetch.observe_durations([run.ended - run.started for run in runs])
        if (keep := self._prefetch.late(self.coroutines)) is not None:
            back += self.coroutines.take_back(keep)
        return runs, back

    def drain(self, within_s: float | None) -> list[ClaimedJob]:
        """Return the unstarted jobs; running ones are cancelled in time."""
        if within_s is not None and self.coroutines.uncollected:
            self.coroutines.drain(max(within_s - 0.5, within_s * 0.75))
        return self.coroutines.take_back()

    def close(self) -> None:
        """Let the threads and the loop end."""
        self.pool.close()
        self.coroutines.close()

    def _room(self) -> int:
        """Return for how many more coroutines there is room."""
        most = self._turns.room(self.coroutines.uncollected, self.uncollected)
        return self._prefetch.room(self.coroutines, most)


def _until_first(fits: Callable[[ClaimedJob], bool], jobs: list[ClaimedJob]) -> int:
    return next((n for n, job in enumerate(jobs) if fits(job)), len(jobs))
