"""How many jobs a worker claims ahead, and when it polls for jobs.

Long jobs are claimed one for each idle thread, so that no job waits behind them while
another process could run it. Jobs that take no time are claimed by hundreds, so that one
round trip to the database serves them all. Of jobs with large arguments a claim takes few.

A full claim shows that there are more jobs. A short one shows that there are none: each
enqueuer notifies the worker, since the worker is registered as idle in the database. Only
while that registration is new may an enqueuer have looked for it before, and commit after. So
the worker polls again 1 ms later, 2 ms, … 5 s, and then every 5 s, in case a notification is
lost. Without notifications the polling interval rules.
"""

from collections.abc import Sequence

from jobsd.clock import monotonic
from jobsd.performing.runner import Runner
from jobsd.worker.constants import (
    AWAKE_S,
    BATCH_MAX,
    BYTES_MAX,
    CLAIMED_MAX,
    FEW,
    HORIZON_S,
    MANY,
    PATIENCE_S,
    POLL_MAX_S,
    POLL_MIN_S,
    STEADY_S,
    WEIGHT,
)


class PrefetchPolicy:
    """Decides how many jobs to have claimed, by the run times of recent jobs."""

    def __init__(self, threads: int, prefetch: int | None) -> None:
        self._threads = threads
        self._prefetch = prefetch
        self._mean_s: float | None = None
        # Once a claim was too much, this is doubled each time that jobs have ended.
        self._cap = CLAIMED_MAX
        self._cap_by_bytes = CLAIMED_MAX
        self._late_since: float | None = None

    @property
    def batch_max(self) -> int:
        """How many jobs one statement should claim at most."""
        return max(FEW, min(BATCH_MAX, self._cap, self._cap_by_bytes))

    def observe_sizes(self, jobs: int, size: int, *, withheld: bool) -> None:
        """Take in how many bytes of arguments came with a claim, and if some did not."""
        if jobs:
            self._cap_by_bytes = max(FEW, BYTES_MAX // 2 * jobs // max(size, 1))
        if withheld:
            self._cap = FEW

    def observe_durations(self, runs_s: Sequence[float]) -> None:
        """Take in the run times of jobs that have ended."""
        if not runs_s:
            return
        self._cap = min(CLAIMED_MAX, self._cap * 2 or 1)
        mean_s = sum(runs_s) / len(runs_s)
        # Many at once count for more than one; one alone must not be drowned by history.
        weight = 1 - (1 - WEIGHT) ** min(len(runs_s), 20)
        known_s = mean_s if self._mean_s is None else self._mean_s
        self._mean_s = known_s + (mean_s - known_s) * weight

    def start_small(self) -> None:
        """Begin with few jobs: a statement that failed may have asked for too many."""
        self._cap = 0

    def ahead(self, running_s: Sequence[float]) -> int:
        """Return how many jobs may wait beyond the jobs that idle threads start now."""
        if self._prefetch is not None:
            return min(self._prefetch, BATCH_MAX, self._cap, self._cap_by_bytes)
        startable = self._startable(running_s, HORIZON_S) or 0
        return min(self._cap, self._cap_by_bytes, startable)

    def low_water(self, pool: Runner) -> int:
        """Return the number of waiting jobs at which the control thread claims more.

        Of many coroutines that run, some end while the next ones are claimed.
        """
        return self.ahead(() if pool.runs_series else pool.running_for_s()) // 2

    def room(self, pool: Runner, most: int, dry: int = 0) -> int:
        """Return how many jobs to claim now, at most; the pool wakes us when there is room.

        `dry` threads have no job, since the waiting jobs are for others.
        """
        return min(self.room_for_series(pool, most, dry), self.batch_max)

    def room_for_series(self, pool: Runner, most: int, dry: int) -> int:
        """Return the same for jobs of several keys: each key has a batch of its own."""
        wanted = pool.size - pool.in_hand
        ahead = self.ahead(pool.running_for_s())
        if pool.waiting <= ahead // 2:
            # By halves: a turn serves many jobs, and the threads have work while it lasts.
            wanted = max(wanted, ahead - pool.waiting)
        wanted = max(wanted, min(ahead, dry * self.series_max))
        # The statement that claims records ended jobs.
        return max(0, min(wanted, most))

    @property
    def series_max(self) -> int:
        """How many jobs of one slot of a limit should wait for one thread."""
        if self._prefetch is not None:
            return max(1, min(self._prefetch, self.batch_max))
        if self._mean_s is None:
            return 1
        return max(1, min(int(HORIZON_S / max(self._mean_s, 1e-6)), self.batch_max))

    @property
    def series_startable(self) -> int:
        """How many jobs of one thread's series can start in time after the running job."""
        if self._prefetch is not None or self._mean_s is None:
            return BATCH_MAX
        return int(PATIENCE_S / max(self._mean_s, 1e-6))

    def startable(self, running_s: Sequence[float]) -> int | None:
        """Return how many waiting jobs can still start in time; None when all can."""
        startable = self._startable(running_s, PATIENCE_S)
        if self._prefetch is not None or startable is None:
            return None
        # A job that was posted for an idle thread may not have been taken yet.
        return max(startable, self._threads - len(running_s))

    def late(self, pool: Runner) -> int | None:
        """Return how many waiting jobs to keep if the others can't start in time, or None."""
        running_s, waiting = pool.running_for_s(), pool.waiting
        early = self._startable(running_s, PATIENCE_S - STEADY_S)
        if early is None or waiting <= early:
            self._late_since = None
            return None
        now = monotonic()
        self._late_since = now if self._late_since is None else self._late_since
        startable = self.startable(running_s)
        if startable is None or waiting <= startable or now - self._late_since < STEADY_S:
            return None
        return startable

    @property
    def is_in_doubt(self) -> bool:
        """Whether `late` is to be asked again soon."""
        return self._late_since is not None

    def _startable(self, running_s: Sequence[float], within_s: float) -> int | None:
        """Return how many jobs start within a time, if that is known.

        A thread that has been busy for as long is not counted: no job waits for it, since the
        other threads go on. A thread that is busy for longer than jobs usually take is
        expected to be so for as long again, and to start jobs as usual then: its job may be a
        long one among short ones, or the machine was busy. Of many long jobs at once, as many
        end in time as have run for nearly as long as jobs usually take.
        """
        if self._mean_s is None:
            return None
        mean_s = self._mean_s
        if mean_s >= within_s:
            if self._threads < MANY:
                return 0
            return sum(mean_s - within_s <= ran_s < mean_s for ran_s in running_s)
        idle = self._threads - len(running_s)
        left = [
            within_s - (ran_s if ran_s > mean_s else 0.0)
            for ran_s in running_s
            if ran_s < within_s
        ]
        return int((sum(left) + within_s * idle) / max(mean_s, 1e-6))


class PollingInterval:
    """Decides when a worker polls next."""

    def __init__(self, polling_interval_s: float) -> None:
        self.next_poll = 0.0
        """When to poll (monotonic)."""
        self._polling_interval_s = polling_interval_s
        self._backoff_s = POLL_MIN_S
        self._full_since: float | None = None

    def poll_now(self) -> None:
        """Poll at once: there is reason to think that jobs are ready."""
        self.next_poll = 0.0

    def begin(self) -> None:
        """Take note of a claim that is begun: its answer decides when the next one is due."""
        self.next_poll = float("inf")

    def reset_backoff(self) -> None:
        """Begin with short pauses: an enqueuer may not have seen the new registration."""
        self._backoff_s = POLL_MIN_S

    def after_full(self) -> None:
        """Take note of a claim that has brought all it asked for."""
        self.poll_now()
        self._full_since = self._full_since or monotonic()

    def after_short(self, *, listening: bool, sweep_at: float | None) -> None:
        """Take note of a claim that came back short.

        `sweep_at` is when jobs before the cursor may be searched for, if they were not yet. A
        notification since the claim began stands: the next claim is due at once.
        """
        now = monotonic()
        self._full_since = None
        if self.is_due:
            return
        rest_s = self._backoff_s if listening else self._polling_interval_s
        self.next_poll = now + rest_s if sweep_at is None else min(sweep_at, now + POLL_MAX_S)
        if sweep_at is None:
            self._backoff_s = min(POLL_MAX_S, self._backoff_s * 2)

    @property
    def is_due(self) -> bool:
        """Whether we have heard of ready jobs since the last claim was begun."""
        return self.next_poll == 0.0

    @property
    def expects_few(self) -> bool:
        """Whether the last claim has not brought all it asked for."""
        return self._full_since is None

    @property
    def saturated(self) -> bool:
        """Whether claims have come back full for a while."""
        return self._full_since is not None and monotonic() - self._full_since > AWAKE_S
