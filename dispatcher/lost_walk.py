"""The walk over all jobs that searches for lost ones, by slices of the primary key.

Of all trees, one dispatcher walks at a time: each checks now and then whether a walk is due,
and begins one if no other has. A dispatcher that finds an abandoned walk continues it. A walk
takes at most a twentieth of the dispatcher's time, so that due jobs don't wait for it: five
million jobs take some minutes. There is no index of lost jobs: each finish would have to update
it.
"""

from jobsd.clock import monotonic
from jobsd.database.commits import Commits
from jobsd.database.statements import Statements
from jobsd.events.events import emit
from jobsd.states import lost

STATEMENTS = Statements("jobsd.dispatcher", "lost_walk.sql")

EVERY_S = 86400.0
"""Time from a walk to the next one, without another reason."""
START_S = 10.0
"""Time from the start of a dispatcher to its first check: due jobs come first."""
CHECK_S = 60.0
"""Interval of the checks whether a walk is due."""
LEASE_S = 60.0
"""A dispatcher that has taken no step for this time has lost the walk."""
STEP_S = 5.0
"""Interval at which the walk's progress is stored, from which another can continue."""
BATCH = 1000
REST = 19.0
"""Pause after a statement, as a multiple of its duration."""
REST_MIN_S = 0.02


class LostWalk:
    """One dispatcher's part of the walk."""

    def __init__(self, commits: Commits) -> None:
        self._commits = commits
        self._session = commits.session
        self._walker = 0
        self._after: int | None = None
        self._seen = 0
        self._asked = False
        self._noted_at = 0.0
        self.next_at = monotonic() + START_S
        """When the next step is due (monotonic)."""

    def register(self, row_id: int) -> None:
        """Note the id of our row."""
        self._walker = row_id

    def break_off(self) -> None:
        """Note an outage: the walk is left to others, and another check is due."""
        self._after = None
        self._asked = True
        self.next_at = 0.0

    def step(self) -> None:
        """Take a step, if one is due: one statement, or two."""
        if monotonic() < self.next_at:
            return
        if self._after is None:
            self._begin()
        else:
            self._go_on(self._after)

    def _begin(self) -> None:
        self.next_at = monotonic() + CHECK_S
        if self._asked:
            self._session.fetch(STATEMENTS["ask"])
            self._asked = False
        asked = {"walker": self._walker, "lease_s": LEASE_S, "every_s": EVERY_S}
        ((stepped_at, due),) = self._session.fetch(STATEMENTS["due"], asked)
        if not due:
            return
        claim = {"walker": self._walker, "stepped_at": stepped_at}
        begun = self._session.fetch(STATEMENTS["begin"], claim)
        if begun:
            self._after, self._seen = begun[0][0], 0
            self._noted_at = self.next_at = monotonic()

    def _go_on(self, after: int) -> None:
        began = monotonic()
        if began - self._noted_at >= STEP_S:
            self._noted_at = began
            step = {"after": after, "walker": self._walker}
            if not self._session.fetch(STATEMENTS["step"], step):
                # Another dispatcher has considered us dead, and continues our walk.
                self._after = None
                return
        seen = lost.read_next(self._session, after, BATCH)
        lost.note(self._commits, seen.lost)
        self._seen += seen.size
        self._after = seen.last_id
        if seen.last_id is None or seen.size < BATCH:
            self._end()
        else:
            self.next_at = monotonic() + max(REST_MIN_S, REST * (monotonic() - began))

    def _end(self) -> None:
        self._after = None
        self.next_at = monotonic() + CHECK_S
        for (took_s,) in self._session.fetch(STATEMENTS["end"], {"walker": self._walker}):
            emit("jobs.walked", jobs=self._seen, duration=round(took_s, 3))
