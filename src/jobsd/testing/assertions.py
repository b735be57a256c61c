"""The assertions of a test about the jobs that its program has enqueued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeAlias

from jobsd import clock, errors
from jobsd.arguments import references
from jobsd.enqueueing import backend
from jobsd.jobs import enqueueable, registry
from jobsd.jobs.definition import Job

from . import job_store, open_jobs
from .memory_queue import MemoryQueue
from .recorded_job import RecordedJob
from .stored_queue import StoredQueue


class Task(Protocol):
    """A task of `django.tasks`."""

    @property
    def module_path(self) -> str:
        """Its path, the registered name of its job."""
        ...


Which: TypeAlias = enqueueable.FunctionJob[Any, Any] | type[Job] | Task | str
"""A job, a task of Django, or its registered name."""
When: TypeAlias = datetime | timedelta | float | str
"""An aware datetime; or seconds, a timedelta or text such as "5m", from the enqueue on."""

TOLERANCE_S = 1.0
"""The tolerance between the time that a test computes and that of the program."""
_SHOWN = 20


def assert_enqueued(  # noqa: PLR0913 - the parts of a description
    job: Which,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    queue: str | None = None,
    at: When | None = None,
    connection: object = None,
) -> RecordedJob:
    """Return the first job that was enqueued as described.

    `args` and `kwargs` together are all its arguments, given by position or by name, with
    defaults or without. With neither, any arguments will do. `at` is when it is due: a
    datetime, or how long after its enqueue; to the second.

    With a `connection`, the jobs are those of the tables that its transaction sees. In a Django
    project without recorded jobs, this is Django's connection.

    Raises:
        AssertionError: when there is none; it lists the jobs that there are.
        TypeError: when the job does not take these arguments.
        Error: when no jobs are recorded here.
    """
    recorded, wanted = _source(connection).enqueued, _Wanted(job, args, kwargs, queue, at)
    for each in filter(wanted.fits, recorded):
        return each
    raise AssertionError(f"no job was enqueued as {wanted}; {_listed(recorded)}")


def refute_enqueued(  # noqa: PLR0913 - as above
    job: Which | None = None,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    queue: str | None = None,
    at: When | None = None,
    connection: object = None,
) -> None:
    """Return if no job was enqueued as described; without a job, if none was at all.

    Raises:
        AssertionError: when one was; the error names it.
        TypeError: when the job does not take these arguments.
        Error: when no jobs are recorded here.
    """
    recorded, wanted = _source(connection).enqueued, _Wanted(job, args, kwargs, queue, at)
    if found := list(filter(wanted.fits, recorded)):
        raise AssertionError(f"{wanted} was not to be enqueued; {_listed(found)}")


def perform_enqueued(
    job: Which | None = None,
    *,
    queue: str | None = None,
    at: datetime | None = None,
    raises: bool = True,
    connection: object = None,
) -> list[RecordedJob]:
    """Perform the ready jobs, and the jobs that become ready by that; return them.

    They run in the calling thread, one after the other, by priority, with their retries, limits
    and errors. A job that runs several times is in the list as often. `job` and `queue` select
    jobs. Scheduled jobs are left, unless they are due `at` a given time. Without a virtual
    clock retries do not wait for their backoff.

    Raises:
        BaseException: the error of the first job that has failed for good, once all have
            run; not with `raises=False`.
        Error: when no jobs are recorded here.
    """
    wanted = open_jobs.Wanted(None if job is None else _name(job), queue)
    performed = _source(connection).perform(wanted, at=at)
    if raises:
        job_store.raise_failures(performed)
    return performed


def _source(connection: object) -> MemoryQueue | StoredQueue:
    """Return the queue in memory, or the tables that a connection sees."""
    if connection is not None:
        return StoredQueue(connection)
    if isinstance(backend.active, MemoryQueue):
        return backend.active
    if backend.find_connection is not None:
        return StoredQueue(backend.find_connection())
    raise errors.Error(
        "nothing records jobs here: use the fixture `jobs`, `jobs_inline` or `jobs_clock`, or"
        " `with jobsd.testing.recorded():`, or give the connection of the test"
    )


def _name(job: Which) -> str:
    if isinstance(job, str):
        return job
    if (definition := getattr(job, "definition", None)) is not None:
        return str(definition.name)
    if registry.find(path := getattr(job, "module_path", "")):
        return str(path)
    raise errors.Error(f"{job!r} is no job: give one, or its name")


class _Wanted:
    """The description of a job."""

    def __init__(
        self,
        job: Which | None,
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any] | None,
        queue: str | None,
        at: When | None,
    ) -> None:
        self._name = None if job is None else _name(job)
        # Instances are compared by what a job stores of them.
        self._args = references.referred([*(args or ())])
        self._kwargs = references.referred({**(kwargs or {})})
        self._has_arguments = args is not None or kwargs is not None
        self._queue, self._at = queue, at
        self._named = self._by_name() if self._has_arguments else None

    def fits(self, job: RecordedJob) -> bool:
        """Return whether a job matches the description."""
        if self._name not in {None, job.class_name}:
            return False
        if self._queue not in {None, job.queue_name}:
            return False
        return (self._named is None or _alike(self._named, job)) and (
            self._at is None or _is_due(job, self._at)
        )

    def _by_name(self) -> dict[str, Any]:
        if self._name is None:
            raise errors.Error("give the job, too, whose arguments these are")
        definition = registry.get(self._name)
        if definition.takes is not None:
            # Arguments that no enqueue can have would make a refutation prove nothing.
            definition.takes.check(self._args, self._kwargs)
        return definition.named(self._args, self._kwargs)

    def __str__(self) -> str:
        named = (f"{name}={value!r}" for name, value in self._kwargs.items())
        given = [*map(repr, self._args), *named] if self._has_arguments else ["…"]
        where = "" if self._queue is None else f" on {self._queue!r}"
        at = self._at.isoformat() if isinstance(self._at, datetime) else self._at
        when = "" if at is None else f", due {at}"
        return f"{self._name or 'any job'}({', '.join(given)}){where}{when}"


def _alike(wanted: Mapping[str, Any], job: RecordedJob) -> bool:
    # The expected value comes first: it may be `unittest.mock.ANY`, or `pytest.approx`.
    given = job.arguments
    return wanted.keys() == given.keys() and all(
        value == given[name] for name, value in wanted.items()
    )


def _is_due(job: RecordedJob, at: When) -> bool:
    due = job.scheduled_at or job.enqueued_at
    if not isinstance(at, datetime):
        late_s = (due - job.enqueued_at).total_seconds() - clock.parse_duration(at)
        most_s = job.uncertain_s if job.scheduled_at else 0.0
        return -TOLERANCE_S <= late_s <= most_s + TOLERANCE_S
    if at.utcoffset() is None:
        raise errors.Error(f"at: {at} has no time zone; give an aware datetime")
    return abs((due - at).total_seconds()) <= TOLERANCE_S


def _listed(jobs: Sequence[RecordedJob]) -> str:
    if not jobs:
        return "none was enqueued at all"
    lines = [f"\n  {job}" for job in jobs[:_SHOWN]]
    more = f"\n  and {len(jobs) - _SHOWN} more" if len(jobs) > _SHOWN else ""
    return f"enqueued were:{''.join(lines)}{more}"
