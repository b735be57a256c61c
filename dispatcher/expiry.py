"""Discards waiting jobs that have expired.

The statement that dispatches says when the next job expires. So where no job ever does, nothing
more is asked. What runs when its time is over is looked at again, since it may be tried again.
"""

from collections import Counter
from collections.abc import Iterator

from jobsd.clock import monotonic
from jobsd.database.commits import Commits
from jobsd.instruments.events import emit
from jobsd.jobs import expirations
from jobsd.processes.entry import ScoreboardEntry

EVERY_S = 2.0
"""How long after a walk over what has expired the next one comes."""
REST_S = 5.0
"""How long to rest at most where there are jobs that expire, whatever the polling interval."""


class Expiry:
    """What of it one dispatcher does."""

    def __init__(self, commits: Commits, entry: ScoreboardEntry, *, keep: bool) -> None:
        self._commits = commits
        self._entry = entry
        self._keep = keep
        self._walk: Iterator[None] | None = None
        self._again_at = 0.0
        self.next_at = float("inf")
        """When there is something to do (monotonic)."""

    def restart(self) -> None:
        """Take note of an outage: a walk that it broke off begins anew."""
        self._walk = None
        self._again_at = 0.0

    def step(self, next_s: float | None) -> None:
        """Do what is due, in a few statements; the next job expires in so many seconds."""
        now = monotonic()
        if self._walk is None and next_s is not None and next_s <= 0 and self._again_at <= now:
            self._walk = expirations.discard(self._commits, self._report, keep=self._keep)
        if self._walk is not None:
            if not next(self._walk, True):
                self.next_at = 0.0
                return
            self._walk = None
            self._again_at = monotonic() + EVERY_S
        if next_s is None:
            self.next_at = float("inf")
        else:
            self.next_at = max(self._again_at, now + min(REST_S, next_s))

    def _report(self, queues: dict[int, str]) -> None:
        for queue, jobs in Counter(queues.values()).items():
            counters = self._entry.queue(queue)
            counters.count("discarded", jobs)
            counters.count("expired", jobs)
        if queues:
            ids = sorted(queues)
            emit("jobs.discarded", size=len(ids), job_ids=ids, reason=expirations.REASON)
