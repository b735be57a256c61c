"""What runs the jobs of a worker, N at once: its threads (`pool`), or its loop (`coroutines`).

Jobs go in by `post`, or as series, each of which one thread performs, and come out as outcomes
by `collect`. The control thread is woken only when few or no jobs are left to start. While more
jobs wait, it polls by itself before outcomes get old.

A process that was stopped for long (suspended, swapped out, cut off) may have been declared
dead, and its jobs may run in another process. So a job is only started while it is known to be
ours: for `trust_s` since its claim, or since the last check of the claims.
"""

import contextlib
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from queue import Empty, SimpleQueue

from jobsd.clock import monotonic
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.interrupts import Interruptible
from jobsd.scoreboard.entry import ScoreboardEntry

from .hand import Item
from .interrupter import Interrupter
from .job_loop import BEAT_S, JobLoop
from .perform import Outcome, Run, ending, remembered_id
from .series import Series, Waiting, first_job, sift

Rank = Callable[[ClaimedJob], tuple[int, int]]
"""Returns the urgency of a job: jobs of lower rank start first."""

TRUST_S = 30.0
"""Half of the default time after which a process is declared dead."""
FRESH = 2 / 3
"""Maximum age of our heartbeat at a claim, as a fraction of `trust_s`. Both leave a sixth of
the time until a process is declared dead: more than a stopped heartbeat seems to move."""


class Runner:
    """Runs `size` jobs at once; one control thread posts and collects.

    The queue of the jobs to start is `SimpleQueue`, which is written in C: with a condition in
    Python, waking a thread took as long as running three jobs.
    """

    beat_s = BEAT_S
    """How long the control thread may rest at most while coroutines run."""
    runs_series = True
    """Whether a thread performs the jobs of a series; else each job has a claim of its own."""

    def __init__(
        self,
        size: int,
        entry: ScoreboardEntry,
        wake: Callable[[], None],
        trust_s: float = TRUST_S,
    ) -> None:
        self.size = size
        self._entry, self._wake, self._trust_s = entry, wake, trust_s
        self._todo: SimpleQueue[Item] = SimpleQueue()
        # Guards the ring of the entry, and lists that the control thread empties.
        self.lock = threading.Lock()
        self._runs: list[Run] = []
        self._doubted: list[ClaimedJob] = []
        self._returned: list[ClaimedJob] = []
        self._woken = False
        # Written by the control thread, or while it waits. `uncollected` counts posted jobs.
        self.series: dict[int, Series] = {}
        self.run_out: list[Series] = []  # Series that had ended at the last `collect`.
        self.uncollected, self._low_water, self._last_rank = 0, 0, (0, 0)
        self.started_at: list[float | None] = [None] * size
        self._interrupter = Interrupter(map(entry.hard_limit, range(size)))
        hard_limits = [thread.hard for thread in self._interrupter.threads]
        self._loop = JobLoop(hard_limits, self._end_on_loop)
        entry.set_threads(0, size)

    # Called by the control thread.

    def check_threads(self) -> None:
        """Check that the loop goes on, and that all threads live.

        Raises:
            ThreadDiedError: a thread has ended; only the end of the process frees its job.
        """
        self._loop.check()

    def post(self, jobs: list[ClaimedJob], asked_at: float, low_water: int, rank: Rank) -> None:
        """Add jobs claimed at `asked_at`; more urgent jobs go ahead of those already waiting.

        The control thread is woken when at most `low_water` jobs wait to be started.
        """
        self._low_water = low_water
        self.uncollected += len(jobs)
        self._put([(job, asked_at) for job in jobs], rank)

    def post_together(self, items: list[Waiting | Series], low_water: int, rank: Rank) -> None:
        """Add claimed jobs, and series, each of which goes to one thread."""
        self._low_water = low_water
        series = [each for each in items if isinstance(each, Series)]
        self.uncollected += len(items) - len(series) + sum(len(each.waiting) for each in series)
        self.series.update((each.claim_id, each) for each in series)
        self._put(items, rank)

    def prolong(self, series: Series, jobs: list[Waiting]) -> None:
        """Add jobs to a series, whether a thread still has it or has closed it."""
        self.uncollected += len(jobs)
        self._prolong(series, jobs)

    def collect(self) -> list[Run]:
        """Return the runs that have ended since the last call."""
        with self.lock:
            runs, self._runs = self._runs, []
            self._woken = False
        self.uncollected -= len(runs)
        self.run_out = [each for each in self.series.values() if each.has_ended]
        for each in self.run_out:
            del self.series[each.claim_id]
        return runs

    def take_back(self, keep: int = 0) -> list[ClaimedJob]:
        """Return the jobs that were not started, except the first `keep`; series stay whole."""
        back: list[Waiting] = []
        kept: list[Waiting | Series] = []
        left = keep
        for item in self._drain():
            size = len(item.waiting) if isinstance(item, Series) else 1
            if size <= left:
                kept.append(item)
                left -= size
                continue
            left = 0
            if isinstance(item, Series):
                back += item.take_all()
                del self.series[item.claim_id]
            else:
                back.append(item)
        self._refill(kept)
        if not keep:
            back += [job for each in self.series.values() for job in each.take_all()]
        self.uncollected -= len(back)
        return [job for job, _ in back]

    def take_out(self, meant: Collection[tuple[int, int]]) -> list[ClaimedJob]:
        """Remove the given jobs, by id and claim, if they still wait; return them."""
        out: list[ClaimedJob] = []
        for each in [*self.series.values()]:
            if each.thread is not None and (left := sift(each.take_all(), meant, out)):
                self._prolong(each, left)
        kept: list[Waiting | Series] = []
        for item in self._drain():
            if not isinstance(item, Series):
                kept += sift([item], meant, out)
            elif item.sift(meant, out):
                kept.append(item)
            else:
                del self.series[item.claim_id]
        self._refill(kept)
        self.uncollected -= len(out)
        return out

    def take_back_behind(self, ran_s: float, keep: int) -> list[ClaimedJob]:
        """Return jobs that wait after one that has run for `ran_s`; leave `keep` per series."""
        back: list[Waiting] = []
        for each in self.series.values():
            if self.is_held_up(each, ran_s):
                back += each.take_all()
            elif each.thread is not None and len(each.waiting) > keep:
                back += each.take_behind(keep)
        self.uncollected -= len(back)
        return [job for job, _ in back]

    def is_held_up(self, series: Series, ran_s: float) -> bool:
        """Return whether the running job of the series has run for `ran_s`."""
        started = None if series.thread is None else self.started_at[series.thread]
        return started is not None and monotonic() - started >= ran_s

    def verify(self, holds: Callable[[ClaimedJob], bool], asked_at: float) -> None:
        """Drop waiting jobs for which `holds` returns False: they are no longer ours.

        The other jobs were ours at `asked_at`, when the claims were requested.
        """
        with self.lock:
            doubted, self._doubted = self._doubted, []
            waiting = {each.claim_id: each.take_undoubted() for each in self.series.values()}
        items = self._drain()
        alone = [job for job in doubted if job.claim_id not in self.series]
        alone += [item[0] for item in items if not isinstance(item, Series)]
        ours = [(job, asked_at) for job in alone if holds(job)]
        self._refill(ours)
        for item in items:
            if isinstance(item, Series):
                item.closed = True  # No thread has begun it; its jobs go into a new series.
        for each in [*self.series.values()]:
            jobs = [job for job in doubted if job.claim_id == each.claim_id]
            jobs += [job for job, _ in waiting[each.claim_id]]
            still = [(job, asked_at) for job in jobs if holds(job)]
            alone += jobs
            ours += still
            if still:
                self._prolong(each, still)
        self.uncollected -= len(alone) - len(ours)

    def write_ends_again(self, runs: Iterable[Run]) -> None:
        """Record the ends of unrecorded jobs again: the ring of the entry drops old ends."""
        with self.lock:
            for job, outcome, *_ in runs:
                if outcome.exception is None:
                    self._entry.ended(remembered_id(job, outcome), job.claim_id)
                elif outcome.begun:
                    self._entry.ended_as(ending(job, outcome))

    def interrupt(self, job_id: int, kind: type[BaseException]) -> bool:
        """Raise an exception in a job as soon as possible; return whether it runs here."""
        return self._loop.interrupt(job_id, kind) or self._interrupter.interrupt(job_id, kind)

    def seats(self) -> list[Interruptible]:
        """Return what runs each job: threads, and tasks of the loop."""
        return [*self._interrupter.threads, *self._loop.seats()]

    def take_returned(self) -> list[ClaimedJob]:
        """Return the jobs that a drain has cancelled: they are released."""
        with self.lock:
            returned, self._returned = self._returned, []
        self.uncollected -= len(returned)
        return returned

    def drain(self, within_s: float) -> None:
        """After `within_s`, cancel coroutines that still run, releasing them."""
        self._loop.drain(within_s)

    def close(self) -> None:
        """Let the loop and the threads end."""
        self._loop.close()
        self._interrupter.end()

    @property
    def doubts(self) -> bool:
        """Whether jobs wait for the check of their claims."""
        return bool(self._doubted)

    @property
    def waiting(self) -> int:
        """The number of jobs in hand that have not started."""
        begun = sum(len(each.waiting) - (each.thread is None) for each in self.series.values())
        return self._todo.qsize() + len(self._doubted) + begun

    @property
    def queued(self) -> bool:
        """Whether jobs or series wait for a thread."""
        return not self._todo.empty()

    @property
    def runs_dry(self) -> int:
        """The number of threads with few or no jobs left while others have whole series."""
        if not self.series or self.queued:
            return 0
        return self.size - sum(not each.is_low for each in self.series.values())

    @property
    def in_hand(self) -> int:
        """The number of jobs that have not ended. Exact if the control thread asks."""
        return self.uncollected - len(self._runs) - len(self._returned)

    @property
    def flows(self) -> bool:
        """Whether more jobs wait than `low_water`, at which we are woken."""
        return bool(self.series) or self._todo.qsize() > self._low_water

    @property
    def busy(self) -> int:
        """The number of jobs that run."""
        return self.size - self.started_at.count(None)

    @property
    def on_loop(self) -> int:
        """The number of coroutines that run."""
        return self._loop.busy

    def running_for_s(self) -> list[float]:
        """Return for how long each running job has run."""
        now = monotonic()
        return [now - started for started in list(self.started_at) if started is not None]

    def _put(self, items: Sequence[Waiting | Series], rank: Rank) -> None:
        first = rank(first_job(items[0]))
        last = rank(first_job(items[-1])) if len(items) > 1 else first
        if self._todo.qsize() and first < self._last_rank:
            last = max(last, self._last_rank)
            items = sorted([*self._drain(), *items], key=lambda each: rank(first_job(each)))
        self._last_rank = last
        self._refill(items)

    def _prolong(self, series: Series, jobs: list[Waiting]) -> None:
        with self.lock:
            closed = series.closed
            if not closed:
                series.waiting.extend(jobs)
        if closed:
            anew = Series(jobs, series.key, series.most)
            self.series[anew.claim_id] = anew
            self._refill([anew])

    def _drain(self) -> list[Waiting | Series]:
        waiting: list[Item] = []
        with contextlib.suppress(Empty):
            while True:
                waiting.append(self._todo.get_nowait())
        return [each for each in waiting if isinstance(each, (tuple, Series))]

    def _refill(self, waiting: Iterable[Waiting | Series]) -> None:
        for each in waiting:
            self._todo.put(each)

    # Called by the loop's thread.

    def _end_on_loop(self, cell: int, job: ClaimedJob, outcome: Outcome) -> None:
        """Take the outcome of a coroutine, by the cell of its job."""
        raise NotImplementedError
