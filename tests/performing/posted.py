"""Jobs that are given to a pool without a worker, and what they have become."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.jobs.claimed_job import ClaimedJob
    from jobsd.performing.perform import Run
    from jobsd.performing.pool import Pool


def post(pool: Pool, *jobs: ClaimedJob) -> None:
    """Let a pool run these; all are as urgent."""
    pool.post(list(jobs), monotonic(), 0, lambda _: (0, 0))


def collect(pool: Pool, count: int = 1) -> list[Run]:
    """Wait until this many runs have ended, and return them."""
    runs: list[Run] = []

    def enough() -> bool:
        runs.extend(pool.collect())
        return len(runs) >= count

    wait_until(enough)
    return runs
