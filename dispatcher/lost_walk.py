"""The walk over all jobs that looks for lost ones, in small statements by the primary key.

One dispatcher of all trees walks at a time: each asks now and then whether a walk is due, and
begins one if no other has meanwhile. A dispatcher that finds one that was left in the middle
carries it on. A walk takes a twentieth of the walker's time at most, so that due jobs don't
wait for it: five million jobs take some minutes. No index says at once which jobs are lost:
every finish would have to keep it up.
"""

from jobsd.clock import monotonic
from jobsd.database.commits import Commits
from jobsd.database.statements import Statements
from jobsd.events.events import emit
from jobsd.states import lost

STATEMENTS = Statements("jobsd.dispatcher", "lost_walk.sql")

EVERY_S = 86400.0
"""How long after a walk the next one comes without a reason."""
START_S = 10.0
"""How long after its start a dispatcher asks first: what is due comes before."""
CHECK_S = 60.0
"""How often to ask whether a walk is due."""
LEASE_S = 60.0
"""A dispatcher that has taken no step for so long walks no more."""
STEP_S = 5.0
"""How often it is written down how far a walk has come: from there it is carried on."""
BATCH = 1000
REST = 19.0
"""How long to rest after a statement, in times of what it took."""
REST_MIN_S = 0.02


class LostWalk:
    """The walk, as far as one dispatcher makes it."""

    def __init__(self, commits: Commits) -> None:
        self._commits = commits
        self._session = commits.session
        self._walker = 0
        self._after: int | None = None
        self._seen = 0
        self._asked = False
        self._noted_at = 0.0
        self.next_at = monotonic() + START_S
        """When there is something to do (monotonic)."""

    def register(self, row_id: int) -> None:
        """Take note under which id we are known."""
        self._walker = row_id

    def break_off(self) -> None:
        """Take note of an outage: the walk is left to others, and another one is due."""
        self._after = None
        self._asked = True
        self.next_at = 0.0

    def step(self) -> None:
        """Do what is due: one statement, or two."""
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
                # Another dispatcher has taken us for dead, and walks in our place.
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
