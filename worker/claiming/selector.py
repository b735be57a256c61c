"""From which queues a worker claims, and by which statement."""

import contextlib
from typing import Any

from jobsd.clock import monotonic
from jobsd.database.connection import Session, Statement
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.selection import Selection
from jobsd.states import ready
from jobsd.worker.constants import AWAKE_S, BREADTH, CHECK_S, HORIZON_S, SHARE, WIDER

from .cursor import ClaimCursor


class QueueSelector:
    """From which queues a worker claims next, and by which statement.

    *All*: of `*` one statement picks from all queues and passes over the jobs of paused ones.
    *Named*: a list of queues is picked from, one after the other. The queues of a prefix are
    surveyed, which is a round trip of its own and so not done for each claim. *Each*: of `*`
    again, when a claim has been slow and a survey finds that paused queues hold many jobs,
    which each claim would pass over: the others are picked from by their names, and the most
    urgent jobs of all are claimed.

    A new queue becomes known by a notification, as long as the worker is registered as idle.
    While it is not, a survey is believed for a quarter of a second: for this time a queue that
    a claim has emptied is taken for empty, too, if the list is long. Each statement itself
    passes over paused queues; a survey only finds the quicker one.
    """

    def __init__(self, selection: Selection, session: Session) -> None:
        self.selection = selection
        self._session = session
        self._names = selection.resolve(())
        self._surveyed_at = 0.0
        self._survey_s = AWAKE_S
        self._complete = True
        self._survey_due = selection.has_prefixes and not selection.everything
        self._each = False
        self._reach, self._begin = BREADTH, 0
        self.is_cut = False
        """Whether the last search left out queues of the list."""
        self.foreign: list[str] = []
        """The queues and classes whose jobs other workers know; see `KnownClasses`."""

    @property
    def by_names(self) -> bool:
        """Whether jobs are picked by the names of their queues."""
        return self._each or not self.selection.everything

    def queues(self, *, registered: bool) -> list[str | None]:
        """Return the queues to claim from, in order; None stands for all together.

        If `registered`, the worker is registered as idle.
        """
        self.is_cut = False
        age_s = monotonic() - self._surveyed_at
        if self._each:
            stale = age_s > CHECK_S
        else:
            notified = registered and self._complete
            stale = self._is_open and age_s > self._survey_s and not notified
        if stale or self._survey_due:
            self._survey()
        return [*self._names] if self.by_names else [None]

    @property
    def first(self) -> tuple[Statement, dict[str, Any]] | None:
        """The statement to claim a few jobs from the head; None if a survey decides."""
        if self.selection.everything and not self._each:
            return ready.CLAIM_FIRST_ANY, {"foreign": self.foreign}
        if self._is_fixed and len(self._names) == 1:
            what = {"queue_name": self._names[0], "foreign": self.foreign}
            return ready.CLAIM_FIRST_NAMED, what
        return None

    def search(
        self, cursor: ClaimCursor, *, registered: bool, few: bool = False
    ) -> tuple[Statement, dict[str, Any]]:
        """Return by which statement to claim, and from where.

        With `few` by a statement for a few jobs, if there is one. It searches from the head.
        """
        queues = self.queues(registered=registered)
        if few and cursor.is_at_head and (first := self.first):
            return first
        if len(queues) > BREADTH and not self.selection.everything:
            queues = self._part(queues)
        return self._statement, cursor.segments(queues)

    def _part(self, queues: list[str | None]) -> list[str | None]:
        """Return the queues of a long list to search now: named ones, and the next others."""
        begin, end = self._begin, self._begin + self._reach
        self.is_cut = begin > 0 or end < len(queues)
        named = [queue for queue in queues[:begin] if queue in self.selection.patterns]
        return [*named, *queues[begin:end]]

    def pass_to(self, job: ClaimedJob) -> None:
        """Take note that a claim has brought all it asked for, and this job as the last.

        Of a long list of queues that were found by a survey, those before the job's are taken
        for empty until the next one.
        """
        if self.is_cut and self.selection.has_prefixes:
            with contextlib.suppress(ValueError):
                self._begin = self._names.index(job.queue_name, self._begin)

    def begin_anew(self) -> None:
        """Begin at the first queue of the list: there may be jobs again."""
        self._begin = 0

    def widen(self) -> bool:
        """Reach further along the list; return whether the last search left out any queue."""
        cut, self.is_cut = self.is_cut, False
        if cut and self._begin == 0:
            self._reach *= WIDER
        self._begin = 0
        return cut

    @property
    def _statement(self) -> Statement:
        if not self.selection.everything:
            return ready.CLAIM_NAMED
        return ready.CLAIM_EACH if self._each else ready.CLAIM_ANY

    def request_survey(self) -> None:
        """Take note that there may be new queues of which no notification came."""
        self._survey_due = self._is_open

    def add(self, queue: str) -> bool:
        """Take note that jobs became ready in a queue; return whether it is ours."""
        if not self.selection.matches(queue):
            return False
        if not self._is_fixed and queue not in self._names:
            self._names = self.selection.resolve([*self._names, queue])
        self._begin = 0
        return True

    def note_cost(self, took_s: float) -> None:
        """Take note of how long a claim took: it may have passed over many foreign jobs."""
        if took_s > HORIZON_S:
            self.foreign = []
        overdue = monotonic() - self._surveyed_at > CHECK_S
        if took_s > HORIZON_S and overdue and self.selection.everything and not self._each:
            self._survey()

    def rank(self, job: ClaimedJob) -> tuple[int, int]:
        """Return by what jobs come one before the other."""
        if self.selection.everything:
            return 0, job.priority
        known = job.queue_name in self._names
        return self._names.index(job.queue_name) if known else 0, job.priority

    @property
    def _is_fixed(self) -> bool:
        return not self.selection.everything and not self.selection.has_prefixes

    @property
    def _is_open(self) -> bool:
        """Whether queues that are new may be ours, and have to be named."""
        return self.by_names and not self._is_fixed

    def _survey(self) -> None:
        began = monotonic()
        self._survey_due, self._reach, self._begin = False, BREADTH, 0
        everything = self.selection.everything
        if everything and not ready.paused_many(self._session):
            # The names are not needed, and to find them walks over the claimed jobs of each.
            self._each, self._surveyed_at = False, monotonic()
            return
        found = ready.survey(self._session, self.selection.prefixes)
        self._surveyed_at = monotonic()
        self._survey_s = max(AWAKE_S, SHARE * (self._surveyed_at - began))
        self._complete = found.complete
        # Of all queues the most urgent job is wanted: its queue may not be named.
        self._each = everything and found.complete
        self._names = self.selection.resolve(found.names)
