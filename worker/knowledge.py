"""Which jobs this worker can run, and what becomes of those that it can't.

A job whose class it has not imported goes back untouched, into the lane of its class
(`jobs/lanes`): another worker, of a newer or older deploy, may know it. Only where no worker
that lives has known the class for long enough it is run here all the same, to fail as what it
is; that is asked of the database anew for each such claim, since a worker that has just begun
may know it.

The lanes of our queues are surveyed when something was put into one, of which we are told;
every five seconds while they have jobs, or when we can't be told; else hardly ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.instruments.events import emit
from jobsd.jobs import lanes, registry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.configuration.options import JobsOptions
    from jobsd.database.connection import Session
    from jobsd.jobs.lanes import Lane
    from jobsd.jobs.ready import Selection
    from jobsd.performing.perform import ClaimedJob

SURVEY_S = 5.0
"""How often lanes are looked at while there are some, or while nobody can tell us of them."""
REST_S = 300.0
"""How often else, should a notification have been lost."""
BELIEVED_S = 1.0
"""How long it is believed that a job may not be run here yet."""


class Knowledge:
    """What one worker knows of classes and lanes."""

    def __init__(self, session: Session, selection: Selection, jobs: JobsOptions) -> None:
        self._session = session
        self._selection = selection
        self._unknown_after_s = jobs.unknown_class_after_s
        self.row_id = 0
        self._published = 0
        self._survey_at = 0.0
        self._present: set[Lane] = set()
        self._waiting: dict[Lane, float] = {}
        self._told: set[str] = set()
        self.overdue: set[str] = set()
        """The lanes of limited jobs that come first of their key, and are ours to let fail."""
        self.open: list[Lane] = []
        """The lanes that have jobs which are ours to run: known here, or overdue."""

    def publish(self, row_id: int) -> None:
        """Say which classes we know, under our row; the lanes are to be looked at again."""
        known = registry.known()
        self.row_id, self._published = row_id, len(known)
        own = {lanes.lane_of(name) for name in known}
        lanes.publish(self._session, row_id, self._selection.patterns, own)
        self._survey_at = 0.0

    def hear(self, queue: str) -> bool:
        """Take note that a job was put into a lane; return whether the queue is ours."""
        if not self._selection.matches(queue):
            return False
        self._survey_at = 0.0
        return True

    def survey(self) -> bool:
        """Look at the lanes when it is time to; return whether more are open than before."""
        now = monotonic()
        if now < self._survey_at:
            return False
        self.refresh()
        found = [lane for lane in lanes.survey(self._session) if self._is_ours(lane)]
        ours = {lanes.lane_of(name) for name in registry.known()}
        overdue = self._overdue([lane for lane in found if lane[1] not in ours])
        before = set(self.open)
        self.open = [lane for lane in found if lane[1] in ours or lane in overdue]
        self._present = set(found)
        often = found or not self._session.listening
        self._survey_at = now + (SURVEY_S if often else REST_S)
        return not before.issuperset(self.open)

    def refresh(self) -> None:
        """Publish what has been imported since: a job may import more."""
        if len(registry.known()) != self._published:
            self.publish(self.row_id)

    @property
    def is_due(self) -> bool:
        """Whether the lanes are to be looked at now."""
        return monotonic() >= self._survey_at

    def parks(self, job: ClaimedJob) -> bool:
        """Return whether a job that goes back goes into its lane.

        One that we don't know does, and one whose class has a lane: somebody doesn't know it.
        """
        if job.class_name not in registry.known():
            return True
        return bool(self._present) and _lane(job) in self._present

    def judge(self, jobs: list[ClaimedJob]) -> list[ClaimedJob]:
        """Return those of these unknown jobs to run, so that they fail; the others go back."""
        self.refresh()
        now = monotonic()
        met = {_lane(job) for job in jobs}
        overdue: set[Lane] = set()
        if not all(self._waiting.get(lane, 0.0) > now - BELIEVED_S for lane in met):
            overdue = self._overdue(met)
        self._survey_at = min(self._survey_at, now + SURVEY_S)
        self._tell((job.queue_name, job.class_name) for job in jobs)
        return self.last_attempts([job for job in jobs if _lane(job) in overdue])

    def meet(self, jobs: list[tuple[str, str]]) -> None:
        """Take note of limited jobs of which each comes first of its key, and is not for us.

        By their queues and classes. Those that nobody has known for long enough are, to fail.
        """
        met = {
            (queue, lanes.lane_of(name)) for queue, name in jobs if name not in registry.known()
        }
        now = monotonic()
        if all(self._waiting.get(lane, 0.0) > now - BELIEVED_S for lane in met):
            return
        self.overdue = {lane for _, lane in self._overdue(met)}
        self._tell(jobs)

    def _overdue(self, met: Iterable[Lane]) -> set[Lane]:
        """Return those lanes whose class no worker has known for long enough."""
        now = monotonic()
        ages_s = lanes.unknown_for_s(self._session, met) if (met := list(met)) else {}
        overdue = {
            lane
            for lane, age_s in ages_s.items()
            if age_s is not None and age_s >= self._unknown_after_s
        }
        self._waiting = dict.fromkeys(ages_s.keys() - overdue, now)
        return overdue

    def last_attempts(self, jobs: list[ClaimedJob]) -> list[ClaimedJob]:
        """Return the jobs; unknown ones have another attempt only where a crash leaves one."""
        known = registry.known()
        strange = [job.id for job in jobs if job.class_name not in known]
        if not strange:
            return jobs
        again = lanes.repeatable(self._session, strange)
        return [
            job
            if job.class_name in known or job.id in again
            else job._replace(max_attempts=job.attempts + 1)
            for job in jobs
        ]

    def _tell(self, jobs: Iterable[tuple[str, str]]) -> None:
        for queue, name in jobs:
            if name not in registry.known() and name not in self._told:
                self._told.add(name)
                emit("job.unknown", class_name=name, queue_name=queue)

    def _is_ours(self, lane: Lane) -> bool:
        return self._selection.matches(lane[0])


def _lane(job: ClaimedJob) -> Lane:
    return job.queue_name, lanes.lane_of(job.class_name)
