"""Jobs that are given to a pool without a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.clock import monotonic

if TYPE_CHECKING:
    from jobsd.jobs.claimed_job import ClaimedJob
    from jobsd.performing.pool import Pool


def post(pool: Pool, *jobs: ClaimedJob) -> None:
    """Let a pool run these; all are as urgent."""
    pool.post(list(jobs), monotonic(), 0, lambda _: (0, 0))
