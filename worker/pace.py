"""How many jobs to have in hand: what the idle threads will start within a moment.

Long jobs are claimed one for each idle thread, so that nothing waits behind them while
another process could run it; jobs that take no time are claimed by hundreds, so that a
round trip to the database serves them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HORIZON_S = 0.02
"""Jobs are claimed ahead for about this long."""
PATIENCE_S = 0.1
"""A claimed job that can't start within this time is given back."""
BATCH_MAX = 500
"""Jobs that one statement claims."""
IN_HAND_MAX = 1000
"""Two batches: one runs while the next is claimed. Fewer than a slot's ring of ended jobs
holds."""

_WEIGHT = 0.3


class Pace:
    """Knows the run time of recent jobs, from those that ended and those that still run."""

    def __init__(self, threads: int, prefetch: int | None) -> None:
        self._threads = threads
        self._prefetch = prefetch
        self._mean_s: float | None = None

    def observe(self, runs_s: Sequence[float]) -> None:
        """Take in the run times of jobs that have ended."""
        if not runs_s:
            return
        mean_s = sum(runs_s) / len(runs_s)
        # Many at once say more than one; one alone must not be drowned by history.
        weight = 1 - (1 - _WEIGHT) ** min(len(runs_s), 20)
        known_s = mean_s if self._mean_s is None else self._mean_s
        self._mean_s = known_s + (mean_s - known_s) * weight

    def ahead(self, running_s: Sequence[float]) -> int:
        """Return how many jobs may wait in hand beyond those that idle threads start now."""
        if self._prefetch is not None:
            return min(self._prefetch, BATCH_MAX)
        expected_s = self._expected_s(running_s)
        if expected_s is None or expected_s >= HORIZON_S:
            return 0
        return min(IN_HAND_MAX, int(self._threads * HORIZON_S / max(expected_s, 1e-6)))

    def patience(self, running_s: Sequence[float]) -> int | None:
        """Return how many waiting jobs can still start in time; None when all can."""
        expected_s = self._expected_s(running_s)
        stuck = len(running_s) >= self._threads and min(running_s) >= PATIENCE_S
        if self._prefetch is not None or expected_s is None or not stuck:
            return None
        return int(self._threads * PATIENCE_S / expected_s) if expected_s < PATIENCE_S else 0

    def _expected_s(self, running_s: Sequence[float]) -> float | None:
        if self._mean_s is None or not running_s:
            return self._mean_s
        # Threads that are busy for longer than jobs usually take have shown that they are
        # not free: the mean of what all threads are at, counting idle ones as usual.
        usual = [self._mean_s] * (self._threads - len(running_s))
        busy = [max(self._mean_s, running) for running in running_s]
        return sum(usual + busy) / self._threads
