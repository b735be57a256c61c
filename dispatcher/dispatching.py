"""The dispatch of due jobs, a batch at a time; it comes first in each poll.

Its statement also returns the facts that other duties go by: whether jobs are blocked, and when
the next job expires.
"""

from math import inf

from jobsd.clock import monotonic
from jobsd.configuration.options import DispatcherOptions
from jobsd.database.connection import Session, Statements
from jobsd.events.events import emit, is_subscribed

from .due_cursor import DueCursor, Place

STATEMENTS = Statements("jobsd.dispatcher", "dispatcher.sql")


class Dispatching:
    """Makes jobs ready that are due, and knows when the next one is."""

    def __init__(self, session: Session, options: DispatcherOptions) -> None:
        self._session = session
        self._batch_size = options.batch_size
        self.cursor = DueCursor()
        self._due_at = 0.0
        self.blocked = False
        """Whether jobs are blocked."""
        self.asked_at = 0.0
        """When the database was last asked (monotonic)."""
        self.expires_at = inf
        """When the next job expires (monotonic)."""

    def ask(self) -> None:
        """Note that jobs may lie before the cursor."""
        self.cursor.ask()

    def restart(self) -> None:
        """Note an outage: begin at the head."""
        self.cursor.reset()

    def step(self) -> None:
        """Dispatch one batch."""
        if not self._session.listening:
            self.cursor.ask()
        after = self.cursor.begin()
        parameters = {"limit": self._batch_size, **after.parameters()}
        ((size, _, next_s, blocked, expires_s, at, priority, job_id, passed),) = (
            self._session.fetch(STATEMENTS["dispatch"], parameters)
        )
        last = None if at is None else Place(at, priority, job_id)
        self.cursor.end(last, passed=passed)
        if size and is_subscribed("debug"):
            emit("jobs.dispatched", size=size)
        self.blocked = blocked
        self.asked_at = now = monotonic()
        self.expires_at = inf if expires_s is None else now + expires_s
        self._due_at = inf if next_s is None else now + max(0.001, next_s)
        if size:
            self._due_at = 0.0

    @property
    def next_at(self) -> float:
        """When the next batch is due (monotonic)."""
        return min(self._due_at, self.cursor.next_at)
