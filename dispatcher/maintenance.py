"""The duties of a dispatcher beside the dispatch, each a few statements at a time.

Each has `step`, which does its next statement once `next_at` has come, and `restart` for an
outage. The dispatcher gives each duty that is due one step in each poll, so none waits for
another to come to its end.
"""

from collections import Counter
from collections.abc import Iterator
from math import inf

from jobsd.acts import expirations
from jobsd.clock import monotonic
from jobsd.configuration.options import DispatcherOptions
from jobsd.database.commits import Commits
from jobsd.database.connection import Session
from jobsd.events.events import emit
from jobsd.jobs import limits, unique
from jobsd.scoreboard.entry import ScoreboardEntry
from jobsd.states import results

from .dispatching import Dispatching

CHECK_S = 5.0
"""Interval of the check while jobs are blocked; without notifications, `polling_interval`."""
REST = 2
"""The pause before the next check, as a multiple of the duration of the last one."""


class LimitsCheck:
    """Checks the limits: a job that is blocked although a slot is free becomes ready.

    The process that frees a slot hands it over itself. The check finds the cases that no
    process has handed over: a queue was paused while its job came first of the key, or a person
    has changed the tables by hand. It checks the keys of blocked jobs every five seconds while
    there are any, after each outage, and when another process asks for it; no setting switches
    this off. It only reads, and hands over the slots that it finds. One statement checks a
    thousand keys. After a check it pauses for twice as long as its statements took.
    """

    def __init__(
        self, session: Session, options: DispatcherOptions, dispatching: Dispatching
    ) -> None:
        self._session = session
        self._dispatching = dispatching
        self._unnotified_s = min(CHECK_S, options.polling_interval_s)
        self._walk: Iterator[list[str]] | None = None
        self._began_at = self._check_at = self._asked_at = self._took_s = 0.0
        self._asked = False

    def check_now(self) -> None:
        """Check at once; if a check is under way, once more after it."""
        self._asked = True

    def restart(self) -> None:
        """Check at once."""
        self._asked = True
        self._asked_at = 0.0
        self._walk = None

    def ask_others(self) -> None:
        """Ask other dispatchers to finish the check that this one has begun."""
        if self._walk is not None or self._asked:
            self._session.fetch(limits.STATEMENTS["ask"])

    @property
    def next_at(self) -> float:
        """When the next step is due (monotonic)."""
        if self._walk is not None:
            return 0.0
        return min(
            self._check_at if self._dispatching.blocked else inf,
            self._asked_at if self._asked else inf,
        )

    def step(self) -> None:
        """Check some keys."""
        now = monotonic()
        if self._walk is None:
            self._walk = limits.uncovered(self._session)
            self._began_at, self._took_s = now, 0.0
            self._asked = False
        keys = next(self._walk, None)
        if keys is not None:
            limits.hand_over(self._session, keys)
        ended = monotonic()
        self._took_s += ended - now
        if keys is None:
            self._walk = None
            every_s = CHECK_S if self._session.listening else self._unnotified_s
            self._check_at = max(self._began_at + every_s, ended + REST * self._took_s)
            self._asked_at = ended + self._took_s


class Clearing:
    """Deletes old rows at an interval: of keys, expirations and results.

    The first time at once, since an earlier process may have died before it cleared; and again
    after an outage that has interrupted it.
    """

    def __init__(self, session: Session, options: DispatcherOptions) -> None:
        self._session = session
        self._every_s = options.concurrency_maintenance_interval_s
        self._walk: Iterator[None] | None = None
        self._begins_at = 0.0 if options.concurrency_maintenance else inf

    def restart(self) -> None:
        """Begin again if it was interrupted."""
        if self._walk is not None:
            self._walk = None
            self._begins_at = 0.0

    @property
    def next_at(self) -> float:
        """When the next step is due (monotonic)."""
        return self._begins_at if self._walk is None else 0.0

    def step(self) -> None:
        """Delete some rows."""
        if self._walk is None:
            self._walk = self._go_through()
            self._begins_at = monotonic() + self._every_s
        if next(self._walk, True):
            self._walk = None

    def _go_through(self) -> Iterator[None]:
        limits.forget_keys(self._session)
        for _ in unique.forget(self._session):
            yield
        yield from expirations.forget(self._session)
        while results.clear(self._session) == results.BATCH:
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

    def __init__(
        self, commits: Commits, entry: ScoreboardEntry, dispatching: Dispatching, *, keep: bool
    ) -> None:
        self._commits = commits
        self._entry = entry
        self._dispatching = dispatching
        self._keep = keep
        self._walk: Iterator[None] | None = None
        self._again_at = 0.0

    def restart(self) -> None:
        """Note an outage: a walk that it interrupted begins again."""
        self._walk = None
        self._again_at = 0.0

    @property
    def next_at(self) -> float:
        """When the next step is due, or the next job has to be asked for (monotonic)."""
        if self._walk is not None:
            return 0.0
        expires_at = self._dispatching.expires_at
        if expires_at == inf:
            return inf
        return max(self._again_at, min(self._dispatching.asked_at + REST_S, expires_at))

    def step(self) -> None:
        """Discard some jobs, if any have expired."""
        if self._walk is None:
            if self._dispatching.expires_at > monotonic():
                return
            self._walk = expirations.discard(self._commits, self._report, keep=self._keep)
        if next(self._walk, True):
            self._walk = None
            self._again_at = monotonic() + EVERY_S

    def _report(self, queues: dict[int, str]) -> None:
        for queue, jobs in Counter(queues.values()).items():
            counters = self._entry.queue(queue)
            counters.count("discarded", jobs)
            counters.count("expired", jobs)
        if queues:
            ids = sorted(queues)
            emit("jobs.discarded", size=len(ids), job_ids=ids, reason=expirations.REASON)
