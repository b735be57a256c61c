"""The classes that one worker knows, and the jobs of other classes.

A job whose class it has not imported is set aside without an attempt, in the lane of its class
(`states/parked`): another worker, of a newer or older deploy, may know it. A notification tells
which lane has a job. Workers that know the class claim from the lane in turn with the other
jobs of their queues, until a claim finds it empty. If no living worker has known the class for
long enough, a worker that doesn't know it claims from the lane, too, and the job fails with
`UnknownJobError`. The database is asked for that again by each such claim, since a worker that
has just begun may know the class.

Where claims bring nothing but unknown jobs, thousands of them are set aside by one statement.
Of a stream of jobs, claims leave those to other workers that these knew when the lanes were
looked up last, five seconds ago at most.
"""

from collections.abc import Collection, Iterable
from typing import Any

from jobsd.clock import monotonic
from jobsd.configuration.options import JobsOptions
from jobsd.database.connection import Session, Statement
from jobsd.events.events import emit
from jobsd.jobs import published, registry
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.performing import set_aside
from jobsd.states import parked, ready
from jobsd.states.parked import Lane
from jobsd.worker.constants import BREADTH, POLL_MAX_S, SET_ASIDE_MAX, SURVEY_RARELY_S

from .selector import QueueSelector


class KnownClasses:
    """The classes that one worker knows, and the lanes that it claims from."""

    def __init__(self, session: Session, selector: QueueSelector, jobs: JobsOptions) -> None:
        self._session = session
        self._selector, self._selection = selector, selector.selection
        self._unknown_after_s = jobs.unknown_class_after_s
        set_aside.Patience.seconds = jobs.unknown_class_after_s
        self.row_id = 0
        self._own: set[str] = set()
        self._published = 0
        self.survey_at = 0.0
        self._noted: set[Lane] = set()
        self._overdue: set[Lane] = set()
        self._reported: set[str] = set()
        self._first: set[Lane] = set()
        """The overdue lanes of limited jobs that came first of their key."""
        self.open: dict[Lane, None] = {}
        """The lanes with jobs that are ours to run: known here, or overdue."""

    def publish(self, row_id: int) -> None:
        """Write which classes we know, with our row; the lanes are to be looked up again."""
        known = registry.known()
        self.row_id, self._published = row_id, len(known)
        self._own = {parked.lane_of(name) for name in known}
        parked.publish(self._session, row_id, self._selection.patterns, self._own)
        published.publish(self._session, registry.definitions())
        self.survey_soon()

    def survey_soon(self) -> None:
        """Let the lanes be looked up with the next poll."""
        self.survey_at = 0.0

    def hear(self, queue: str, lane: str) -> bool:
        """Take note that a job was put into a lane; return whether it is ours to run."""
        if not self._selection.matches(queue):
            return False
        self.survey_at = min(self.survey_at, monotonic() + POLL_MAX_S)
        if is_ours := lane in self._own:
            self.open[queue, lane] = None
        return is_ours

    def survey(self) -> bool:
        """Look up the lanes when it is time to; return whether more are open than before."""
        if not self.is_due:
            return False
        self._refresh()
        before = self.open.keys()
        self._note(self._first)
        return not before >= self.open.keys()

    @property
    def is_due(self) -> bool:
        """Whether the lanes are to be looked up now."""
        return monotonic() >= self.survey_at

    def judge(self, jobs: list[ClaimedJob]) -> list[ClaimedJob]:
        """Return the unknown jobs that are overdue: they run here and fail."""
        self._refresh()
        self._meet((job.queue_name, job.class_name) for job in jobs)
        return self.last_attempts([job for job in jobs if _lane(job) in self._overdue])

    def meet(self, jobs: list[tuple[str, str]]) -> None:
        """Take note of limited jobs of unknown classes, by queue and class.

        Each is the first of its key. We run the overdue ones, so that they fail.
        """
        self._first = self._meet(jobs) & self._overdue

    @property
    def overdue(self) -> set[str]:
        """The lanes of limited jobs that are ours to let fail."""
        return {lane for _, lane in self._first}

    def set_aside(self, pick: Statement, where: dict[str, Any]) -> bool:
        """Set aside many unknown jobs; return whether all that it has found were unknown."""
        facts = {**where, "limit": SET_ASIDE_MAX, "known": sorted(self._own)}
        rows = self._session.fetch(ready.SET_ASIDE[pick.name], facts)
        self._report((queue, name) for queue, name, *_ in rows)
        return bool(sum(size for _, _, size, _ in rows) >= SET_ASIDE_MAX)

    def places(self) -> tuple[list[Lane], dict[str, Any]]:
        """Return the open lanes that the next claim searches, also as its parameters."""
        lanes = [*self.open][:BREADTH]
        order = self._selection.resolve([queue for queue, _ in lanes])
        turns = {} if self._selection.everything else {name: n for n, name in enumerate(order)}
        return lanes, {
            "queues": [queue for queue, _ in lanes],
            "lanes": [lane for _, lane in lanes],
            "turns": [turns.get(queue, 0) for queue, _ in lanes],
        }

    def close(self, lanes: Collection[Lane]) -> None:
        """Take note that a claim has found no more jobs in these lanes."""
        for lane in lanes:
            self.open.pop(lane, None)

    def last_attempts(self, jobs: list[ClaimedJob]) -> list[ClaimedJob]:
        """Return the jobs; unknown ones have another attempt only where a crash leaves one."""
        known = registry.known()
        if not (unknown := [job.id for job in jobs if job.class_name not in known]):
            return jobs
        last = parked.last(self._session, unknown)
        return [
            job._replace(max_attempts=job.attempts + 1) if job.id in last else job
            for job in jobs
        ]

    def _refresh(self) -> None:
        """Publish the classes that were imported since: a job may import more."""
        if len(registry.known()) != self._published:
            self.publish(self.row_id)

    def _meet(self, jobs: Iterable[tuple[str, str]]) -> set[Lane]:
        unknown = {job for job in jobs if job[1] not in registry.known()}
        met = {(queue, parked.lane_of(name)) for queue, name in unknown}
        if not met <= self._noted or met & self._overdue:
            self._note(met)
        self._report(unknown)
        return met

    def _note(self, met: Collection[Lane]) -> None:
        ages_s = parked.note(self._session, self._selection.patterns, met)
        after_s = self._unknown_after_s
        self._noted = {*ages_s}
        self._overdue = {
            lane for lane, age_s in ages_s.items() if age_s is not None and age_s >= after_s
        }
        self._first &= self._overdue
        ours = (lane for lane in ages_s if lane[1] in self._own or lane in self._overdue)
        self.open = dict.fromkeys(ours)
        self._selector.foreign = [
            f"{queue}\n{lane}"
            for (queue, lane), age_s in ages_s.items()
            if age_s is None and lane not in self._own
        ]
        often = ages_s or not self._session.listening
        self.survey_at = monotonic() + (POLL_MAX_S if often else SURVEY_RARELY_S)

    def _report(self, jobs: Iterable[tuple[str, str]]) -> None:
        for queue, name in jobs:
            if name not in self._reported:
                self._reported.add(name)
                emit("job.unknown", class_name=name, queue_name=queue)


def _lane(job: ClaimedJob) -> Lane:
    return job.queue_name, parked.lane_of(job.class_name)
