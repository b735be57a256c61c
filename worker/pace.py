"""How many jobs to have in hand: what the idle threads will start within a moment.

Long jobs are claimed one for each idle thread, so that nothing waits behind them while
another process could run it; jobs that take no time are claimed by hundreds, so that a
round trip to the database serves them all. Of jobs with large arguments a claim takes few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobsd.performing.pool import Pool

HORIZON_S = 0.02
"""Jobs are claimed ahead for about this long."""
PATIENCE_S = 0.1
"""A claimed job that can't start within this time is given back."""
BATCH_MAX = 500
"""Jobs that one statement claims."""
BYTES = 2**20
"""What the arguments of a claim should come to: of large ones, fewer are claimed."""
BYTES_MAX = 2 * BYTES
"""Beyond this, what is large does not come along. As they are stored, compressed."""
FEW = 4
"""Jobs that are claimed whole, however large they are."""
IN_HAND_MAX = 1000
"""Two batches: one runs while the next is claimed. Fewer than an entry's ring of ended jobs
holds."""

_WEIGHT = 0.3


class Pace:
    """Knows the run time of recent jobs, from those that ended and those that still run."""

    def __init__(self, threads: int, prefetch: int | None) -> None:
        self._threads = threads
        self._prefetch = prefetch
        self._mean_s: float | None = None
        # Doubled with each look at jobs that have ended, once it was too much.
        self._most = IN_HAND_MAX
        self._bearable = IN_HAND_MAX

    @property
    def batch_max(self) -> int:
        """How many jobs one statement should claim at most."""
        return max(FEW, min(BATCH_MAX, self._most, self._bearable))

    def weigh(self, jobs: int, size: int, *, withheld: bool) -> None:
        """Take in how many bytes of arguments came with a claim, and if some did not."""
        if jobs:
            self._bearable = max(FEW, BYTES * jobs // max(size, 1))
        if withheld:
            self._most = FEW

    def observe(self, runs_s: Sequence[float]) -> None:
        """Take in the run times of jobs that have ended."""
        if not runs_s:
            return
        self._most = min(IN_HAND_MAX, self._most * 2 or 1)
        mean_s = sum(runs_s) / len(runs_s)
        # Many at once say more than one; one alone must not be drowned by history.
        weight = 1 - (1 - _WEIGHT) ** min(len(runs_s), 20)
        known_s = mean_s if self._mean_s is None else self._mean_s
        self._mean_s = known_s + (mean_s - known_s) * weight

    def forget(self) -> None:
        """Begin with little: what was asked for may have been too much for one statement."""
        self._most = 0

    def ahead(self, running_s: Sequence[float]) -> int:
        """Return how many jobs may wait in hand beyond those that idle threads start now."""
        if self._prefetch is not None:
            return min(self._prefetch, BATCH_MAX, self._most, self._bearable)
        startable = self._startable(running_s, HORIZON_S) or 0
        return min(self._most, self._bearable, startable)

    def room(self, pool: Pool, most: int) -> int:
        """Return how many jobs to claim now, at most; the pool wakes us when there is room."""
        wanted = pool.size - pool.in_hand
        ahead = self.ahead(pool.running_for_s())
        if pool.waiting <= ahead // 2:
            # By halves: a turn serves many jobs, and the threads have work while it lasts.
            wanted = max(wanted, ahead - pool.waiting)
        # What has ended is recorded by the statement that claims.
        return max(0, min(wanted, self.batch_max, most))

    @property
    def series_max(self) -> int:
        """How many jobs of one limit's slot one thread should have in hand."""
        if self._prefetch is not None:
            return max(1, min(self._prefetch, self.batch_max))
        if self._mean_s is None:
            return 1
        return max(1, min(int(HORIZON_S / max(self._mean_s, 1e-6)), self.batch_max))

    @property
    def series_patience(self) -> int:
        """How many jobs of one thread's series can start in time behind the one that runs."""
        if self._prefetch is not None or self._mean_s is None:
            return BATCH_MAX
        return int(PATIENCE_S / max(self._mean_s, 1e-6))

    def patience(self, running_s: Sequence[float]) -> int | None:
        """Return how many waiting jobs can still start in time; None when all can."""
        startable = self._startable(running_s, PATIENCE_S)
        if self._prefetch is not None or startable is None:
            return None
        # What was posted for an idle thread may not have been taken yet.
        return max(startable, self._threads - len(running_s))

    def _startable(self, running_s: Sequence[float], within_s: float) -> int | None:
        """Return how many jobs start within a time, if that is known.

        A thread that has been busy for as long is not counted: nothing waits behind it, but
        the others go on. One that is busy for longer than jobs usually take says that they
        take longer now.
        """
        if self._mean_s is None:
            return None
        mean_s = self._mean_s
        busy = [max(mean_s, ran_s) for ran_s in running_s if ran_s < within_s]
        idle = self._threads - len(running_s)
        free = len(busy) + idle
        if not free:
            return 0
        expected_s = (sum(busy) + mean_s * idle) / free
        return int(free * within_s / max(expected_s, 1e-6)) if expected_s < within_s else 0
