"""The classes that this worker can run, and the handling of jobs of other classes.

A job whose class it has not imported is released untouched, into the lane of its class
(`jobs/lanes`): another worker, of a newer or older deploy, may know it. Only if no living
worker has known the class for long enough, it is run here all the same, to fail with
`UnknownJobError`. Each such claim asks the database for that again, since a worker that has
just begun may know the class. A job whose class is known, but whose arguments do not fit, is
set aside by its performer (`performing/set_aside.py`), for no longer than that.

The lanes of our queues are surveyed when a notification announces a job in one; every five
seconds while they have jobs, or when no notification can come; rarely otherwise.

A claim that brings nothing but unknown jobs has reached many of them in a row. A *scout* then
walks on until it finds a job that can be run: what it has walked over is a gap of the cursor,
and claims go on after it. The gap is cleared in the background: its jobs are moved into their
lanes, a thousand at a time, so that no claim walks over them again.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from jobsd.clock import monotonic
from jobsd.configuration.options import JobsOptions
from jobsd.database.connection import Session, Statement
from jobsd.events.events import emit
from jobsd.jobs import published, registry
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.selection import Selection
from jobsd.performing import set_aside
from jobsd.states import parked
from jobsd.states.parked import Lane

from .cursor import ClaimCursor, Gap, GapClearing

SURVEY_S = 5.0
"""How often lanes are surveyed while there are some, or while no notification can come."""
SURVEY_RARELY_S = 300.0
"""The interval otherwise, in case a notification is lost."""
BELIEVED_S = 1.0
"""How long it is believed that a job may not be run here yet."""
SCOUTED = 20_000
"""Jobs that one statement walks over, which takes a hundredth of a second."""
MOVED = 1000
"""Jobs that one statement moves."""
IDLE_SHARE = 1.0
"""The pause after an idle worker has moved jobs, in multiples of the move's duration."""

_END = 2**63 - 1


class KnownClasses:
    """The classes that one worker knows, and the lanes of its queues."""

    def __init__(self, session: Session, selection: Selection, jobs: JobsOptions) -> None:
        self._session = session
        self._selection = selection
        self._unknown_after_s = jobs.unknown_class_after_s
        set_aside.be_patient(jobs.unknown_class_after_s)
        self.row_id = 0
        self._published = 0
        self._survey_at = 0.0
        self._present: set[Lane] = set()
        self._waiting: dict[Lane, float] = {}
        self._reported: set[str] = set()
        self.overdue: set[str] = set()
        """The lanes of limited jobs that come first of their key, and are ours to let fail."""
        self.open: list[Lane] = []
        """The lanes that have jobs which are ours to run: known here, or overdue."""

    def publish(self, row_id: int) -> None:
        """Write which classes we know, with our row; the lanes are to be surveyed again."""
        known = registry.known()
        self.row_id, self._published = row_id, len(known)
        own = {parked.lane_of(name) for name in known}
        parked.publish(self._session, row_id, self._selection.patterns, own)
        published.publish(self._session, registry.definitions())
        self._survey_at = 0.0

    def parked(self, queue: str) -> None:
        """Take note that a job was put into a lane of a queue."""
        if self._selection.matches(queue):
            self._survey_at = 0.0

    def survey(self) -> bool:
        """Survey the lanes when it is time to; return whether more are open than before."""
        now = monotonic()
        if now < self._survey_at:
            return False
        self.refresh()
        found = [lane for lane in parked.survey(self._session) if self._is_ours(lane)]
        ours = {parked.lane_of(name) for name in registry.known()}
        overdue = self._overdue([lane for lane in found if lane[1] not in ours])
        before = set(self.open)
        self.open = [lane for lane in found if lane[1] in ours or lane in overdue]
        self._present = set(found)
        often = found or not self._session.listening
        self._survey_at = now + (SURVEY_S if often else SURVEY_RARELY_S)
        return not before.issuperset(self.open)

    def refresh(self) -> None:
        """Publish the classes that were imported since: a job may import more."""
        if len(registry.known()) != self._published:
            self.publish(self.row_id)

    @property
    def is_due(self) -> bool:
        """Whether the lanes are to be surveyed now."""
        return monotonic() >= self._survey_at

    def parks(self, job: ClaimedJob) -> bool:
        """Return whether a job that is released goes into its lane.

        Jobs of unknown classes do, and jobs whose class has a lane: another worker doesn't
        know it.
        """
        if job.class_name not in registry.known():
            return True
        return bool(self._present) and _lane(job) in self._present

    def judge(self, jobs: list[ClaimedJob]) -> list[ClaimedJob]:
        """Return those of these unknown jobs that are run to fail; the others are released."""
        self.refresh()
        now = monotonic()
        met = {_lane(job) for job in jobs}
        overdue: set[Lane] = set()
        if not all(self._waiting.get(lane, 0.0) > now - BELIEVED_S for lane in met):
            overdue = self._overdue(met)
        self._survey_at = min(self._survey_at, now + SURVEY_S)
        self._report((job.queue_name, job.class_name) for job in jobs)
        return self.last_attempts([job for job in jobs if _lane(job) in overdue])

    def meet(self, jobs: list[tuple[str, str]]) -> None:
        """Take note of limited jobs of unknown classes, each the first of its key.

        They are given by queue and class. We run jobs that no worker has known for long
        enough, so that they fail.
        """
        met = {
            (queue, parked.lane_of(name))
            for queue, name in jobs
            if name not in registry.known()
        }
        now = monotonic()
        if all(self._waiting.get(lane, 0.0) > now - BELIEVED_S for lane in met):
            return
        self.overdue = {lane for _, lane in self._overdue(met)}
        self._report(jobs)

    def _overdue(self, met: Iterable[Lane]) -> set[Lane]:
        """Return the lanes of classes that no worker has known for long enough."""
        now = monotonic()
        ages_s = parked.unknown_for_s(self._session, met) if (met := list(met)) else {}
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
        unknown = [job.id for job in jobs if job.class_name not in known]
        if not unknown:
            return jobs
        again = parked.repeatable(self._session, unknown)
        return [
            job
            if job.class_name in known or job.id in again
            else job._replace(max_attempts=job.attempts + 1)
            for job in jobs
        ]

    def _report(self, jobs: Iterable[tuple[str, str]]) -> None:
        for queue, name in jobs:
            if name not in registry.known() and name not in self._reported:
                self._reported.add(name)
                emit("job.unknown", class_name=name, queue_name=queue)

    def _is_ours(self, lane: Lane) -> bool:
        return self._selection.matches(lane[0])


def _lane(job: ClaimedJob) -> Lane:
    return job.queue_name, parked.lane_of(job.class_name)


class _Walk(NamedTuple):
    """Where unknown jobs were met: by which name of a queue, and after which position."""

    queue: str | None
    priority: int
    position: int


class Scout:
    """Finds the job after many unknown jobs in a row, and clears these out of the way."""

    def __init__(
        self, session: Session, cursor: ClaimCursor, known_classes: KnownClasses
    ) -> None:
        self._session = session
        self._known_classes = known_classes
        self._cursor = cursor
        self._clearing = GapClearing(cursor, self._move, IDLE_SHARE)
        self._walk: _Walk | None = None

    def begin(self, last: ClaimedJob, *, named: bool) -> None:
        """Take note that a claim brought nothing for us; `named`: by the names of queues."""
        self._walk = _Walk(last.queue_name if named else None, last.priority, last.position)

    @property
    def is_under_way(self) -> bool:
        """Whether it is not known yet where the unknown jobs end."""
        return self._walk is not None

    def walk(self) -> None:
        """Walk on, if unknown jobs were met."""
        if self._walk is None:
            return
        queue, priority, after = self._walk
        found, last, goes_on = self._go(
            parked.SCOUT, Gap(queue, priority, after, _END), SCOUTED
        )
        end = found - 1 if found is not None else last
        self._walk = _Walk(queue, priority, end) if goes_on else None
        if end is not None and end > after:
            self._cursor.skip(Gap(queue, priority, after, end))

    def clear(self, rest_s: float) -> float:
        """Move some jobs into their lanes if it is time to; return the seconds left to rest."""
        return self._clearing.work(rest_s)

    def _move(self, gap: Gap) -> int | None:
        last, goes_on, *_ = self._go(parked.MOVE, gap, MOVED)
        return last if goes_on else None

    def _go(self, by: dict[str, Statement], gap: Gap, limit: int) -> tuple[Any, ...]:
        statement = by["walk_any" if gap.queue is None else "walk_named"]
        facts = {
            "queue_name": gap.queue,
            "priority": gap.priority,
            "after": gap.start,
            "until": gap.end,
            "limit": limit,
            "process_id": self._known_classes.row_id,
        }
        return self._session.fetch(statement, facts)[0]
