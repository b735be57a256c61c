"""Maintains the limits: a job that is blocked although a slot is free becomes ready.

The process that frees a slot hands it over itself. The dispatcher finds the cases that no
process has handed over: a queue was paused while its job came first of the key, or a person has
changed the tables by hand. It checks the keys of blocked jobs every five seconds while there
are any, after each outage, and when another process asks for it; no setting switches this off.
The check only reads, and hands over the slots that it finds. At an interval the dispatcher also
deletes old rows: keys that no job has held for a day, and outdated expirations and results.

One statement checks a thousand keys, so that due jobs don't have to wait for the whole check.
After a check, the dispatcher pauses it for twice as long as it took.
"""

from collections import Counter
from collections.abc import Iterator

from jobsd.acts import expirations
from jobsd.clock import monotonic
from jobsd.configuration.options import DispatcherOptions
from jobsd.database.commits import Commits
from jobsd.database.connection import Session
from jobsd.events.events import emit
from jobsd.jobs import limits, unique
from jobsd.scoreboard.entry import ScoreboardEntry
from jobsd.states import results

CHECK_S = 5.0
"""Interval of the check while jobs are blocked; without notifications, `polling_interval`."""
REST = 2
"""The pause before the next check, as a multiple of the duration of the last one."""


class Maintenance:
    """The checks and deletions of one dispatcher."""

    def __init__(self, session: Session, options: DispatcherOptions) -> None:
        self._session = session
        self._unnotified_s = min(CHECK_S, options.polling_interval_s)
        self._every_s = (
            options.concurrency_maintenance_interval_s
            if options.concurrency_maintenance
            else float("inf")
        )
        self._check: Iterator[None] | None = None
        self._began_at = 0.0
        self._check_at = 0.0
        self._asked = False
        self._asked_at = 0.0
        self._blocked = False
        # At once, since an earlier process may have died before it cleared.
        self._clear_at = 0.0 if options.concurrency_maintenance else float("inf")
        self._clears = False

    def check_now(self) -> None:
        """Check at once; if a check is under way, once more after it."""
        self._asked = True

    def restart(self) -> None:
        """Note an outage: after it, check at once and repeat an interrupted deletion."""
        self._asked = True
        self._asked_at = 0.0
        if self._clears:
            self._clear_at = 0.0
        self._end()

    def step(self, *, blocked: bool) -> None:
        """Do the due statements, a few at a time; `blocked`: whether any job is blocked."""
        self._blocked = blocked
        if self._check is None and self._begins_at <= monotonic():
            self._begin()
        if self._check is not None and next(self._check, True):
            self._rest()

    @property
    def next_at(self) -> float:
        """When the next step is due (monotonic)."""
        if self._check is not None:
            return 0.0
        return self._begins_at

    def ask_others(self) -> None:
        """Ask other dispatchers to finish the check that this one has begun."""
        if self._check is not None or self._asked:
            self._session.fetch(limits.STATEMENTS["ask"])

    @property
    def _begins_at(self) -> float:
        begins_at = self._clear_at
        if self._blocked:
            begins_at = min(begins_at, self._check_at)
        return min(begins_at, self._asked_at) if self._asked else begins_at

    def _begin(self) -> None:
        self._began_at = now = monotonic()
        self._asked = False
        self._clears = now >= self._clear_at
        if self._clears:
            self._clear_at = now + self._every_s
        self._check = self._go_through(clears=self._clears)

    def _rest(self) -> None:
        now = monotonic()
        took_s = now - self._began_at
        every_s = CHECK_S if self._session.listening else self._unnotified_s
        self._check_at = max(self._began_at + every_s, now + REST * took_s)
        self._asked_at = now + took_s
        self._end()

    def _end(self) -> None:
        self._check = None
        self._clears = False

    def _go_through(self, *, clears: bool) -> Iterator[None]:
        if clears:
            limits.forget_keys(self._session)
            for _ in unique.forget(self._session):
                yield
            yield from expirations.forget(self._session)
            while results.clear(self._session) == results.BATCH:
                yield
        for keys in limits.uncovered(self._session):
            limits.hand_over(self._session, keys)
            yield


EVERY_S = 2.0
"""Time from a walk over expired jobs to the next one."""
REST_S = 5.0
"""The longest rest while jobs with an expiry exist, whatever the polling interval."""


class Expiry:
    """Discards waiting jobs that have expired.

    The statement that dispatches returns when the next job expires. So without jobs that
    expire, there are no further statements. A job that expires while it runs is checked again,
    since it may be retried.
    """

    def __init__(self, commits: Commits, entry: ScoreboardEntry, *, keep: bool) -> None:
        self._commits = commits
        self._entry = entry
        self._keep = keep
        self._walk: Iterator[None] | None = None
        self._again_at = 0.0
        self.next_at = float("inf")
        """When the next step is due (monotonic)."""

    def restart(self) -> None:
        """Note an outage: a walk that it interrupted begins again."""
        self._walk = None
        self._again_at = 0.0

    def step(self, next_s: float | None) -> None:
        """Do the due statements; the next job expires in `next_s` seconds."""
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
