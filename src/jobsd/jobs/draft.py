"""A job before it is stored: everything that its row will hold, checked; and its handle.

None of it needs a driver.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from jobsd.arguments import arguments
from jobsd.clock import microseconds_of, moment_of
from jobsd.errors import Error, ProcessExitError

from .job_options import USING, UsingOptions
from .queue_backend import backend
from .registry import Definition, find
from .unique import Unique, Uniqueness

if TYPE_CHECKING:
    from typing_extensions import TypeVar as DefaultedTypeVar

    from .limits import Limited
    from .progress import JobProgress

    # `EnqueuedJob` without a parameter is of any result, also for strict checkers.
    R_co = DefaultedTypeVar("R_co", covariant=True, default=Any)
else:
    R_co = TypeVar("R_co", covariant=True)

ID_MAX = 2**63 - 1
_KEY = re.compile(r"([0-9]{1,19})(?:-([0-9]{1,17}))?")

Timeout = timedelta | float | str | None


@dataclass(slots=True)
class Draft:
    """A job before its enqueue; never changed once it is made (freezing doubles its price).

    `wait_s` and `wait_until` are for later; at most one of them is given. `limited` is None
    for a job that no limit holds, `unique` for one of which there may be any number. `context`
    is JSON text, or None for a job without any. `expires_in_s` is within how long of its first
    due moment it has to be begun.
    """

    class_name: str
    queue_name: str
    priority: int
    arguments: str
    max_attempts: int = 1
    retries_crash: bool = False
    wait_s: float | None = None
    wait_until: datetime | None = None
    limited: Limited | None = None
    context: str | None = None
    unique: Uniqueness | None = None
    expires_in_s: float | None = None
    tags: list[str] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the job may run now and has none of the columns that few jobs have."""
        expires = self.expires_in_s is not None
        return not (self.later or self.limited or self.unique or expires or self.tags)

    @property
    def is_undecided(self) -> bool:
        """Whether `store` has to store the job: the server decides about it, or it has tags."""
        if self.unique is not None or self.tags:
            return True
        return self.limited is not None and self.limited.on_conflict == "discard"

    @property
    def later(self) -> bool:
        """Whether the job may have to wait for its time."""
        return self.wait_s is not None or self.wait_until is not None

    def columns(self) -> dict[str, Any]:
        """Return the values of the job's row by the names of the columns."""
        values: dict[str, Any] = {
            "queue_name": self.queue_name,
            "class_name": self.class_name,
            "arguments": self.arguments,
            "priority": self.priority,
            "max_attempts": self.max_attempts,
            "retries_crash": self.retries_crash,
            "context": self.context,
        }
        if self.tags:
            values["tags"] = self.tags
        return values


def draft(definition: Definition, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Draft:
    """Return the draft of a job with these arguments.

    Raises:
        ArgumentError: when they can't be stored.
        LimitError: when the key of its limit can't be had.
        UniqueError: when the key that makes it unique can't be had.
    """
    policy = definition.policy
    limit, unique = definition.limit, definition.unique
    return Draft(
        definition.name,
        definition.queue,
        definition.priority,
        arguments.dump(args, kwargs),
        policy.max_attempts,
        policy.retries(ProcessExitError),
        limited=None if limit is None else limit.of(definition.name, args, kwargs),
        unique=None
        if unique is None
        else unique.of(definition.name, args, kwargs, definition.takes),
        expires_in_s=definition.expires_in_s,
        tags=definition.tags,
    )


def with_options(drafted: Draft, given: UsingOptions) -> Draft:
    """Return a draft with the options of one enqueue; None leaves the job's own.

    Raises:
        Error: saying which option is invalid.
    """
    wanted = {name: value for name, value in given.items() if value is not None}
    if "wait" in wanted and "wait_until" in wanted:
        raise Error("give wait or wait_until, not both")
    part = wanted.pop("unique_key", None)
    changed = {USING[name].field or "": USING[name].read(wanted[name]) for name in wanted}
    if part is not None:
        known = find(drafted.class_name)
        unique = (known and known.unique) or Unique()
        changed["unique"] = unique.keyed(drafted.class_name, part)
    return replace(drafted, **changed)


@dataclass(slots=True)
class EnqueuedJob(Generic[R_co]):
    """A job that was enqueued: its id and its state. `R_co` is the type of its result.

    `state` is "ready" (also if it will have to wait for a slot of its limit), "scheduled",
    "discarded" (its limit is reached and it may not wait: nothing was stored, and there is no
    id) or "duplicate" (it is unique, and nothing was stored: the id is that of the existing
    job). With `after_commit` it is "pending" and has no id until it is stored; in what `handle`
    returns it is "unknown".
    """

    id: int | None
    state: str
    class_name: str | None = field(default=None, repr=False, compare=False)
    """As far as is known: not in a job of `enqueue_many`."""
    created_at: datetime | None = field(default=None, repr=False, compare=False)
    """When the job with this id was created, by the server's clock; None without an id.

    A database that has gone back in time gives ids again: so the job is known by both. If it
    is None beside an id, the first look at the job sets it.
    """

    @property
    def key(self) -> str:
        """The id and `created_at` as a text, for a cookie or a URL: see `handle`.

        Raises:
            Error: when the job was not stored, or not yet.
        """
        if self.id is None:
            raise Error(f"the job has no key: it is {self.state}")
        if self.created_at is None:
            return str(self.id)
        return f"{self.id}-{microseconds_of(self.created_at)}"

    def is_of(self, created_at: datetime | None) -> bool:
        """Return whether the job that was seen under its id is this one.

        The first job that is seen counts if `created_at` was not known.
        """
        if self.created_at is None:
            self.created_at = created_at
        return created_at is None or self.created_at == created_at

    def wait(self, timeout: Timeout = None) -> str:
        """Wait until the job has ended; return its state: finished, failed or discarded.

        A retried job has not ended. A job that is deleted as soon as it has ended is "gone"
        then. `timeout` is in seconds, a timedelta, or text such as "1m".

        Raises:
            TimeoutError: when it has not ended in time.
            JobNotFoundError: when it is not there: its transaction is still open, for example;
                or another job has its id by now.
            Error: when it was not stored.
        """
        self.state = backend().wait(self, timeout)
        return self.state

    def result(self, timeout: Timeout = None) -> R_co:
        """Wait until the job has ended; return its result. It needs a `result_ttl`.

        Raises:
            JobFailedError: when it has failed.
            JobDiscardedError: when it was discarded.
            TimeoutError: when it has not ended in time.
            JobNotFoundError: when it is not there, or another job has its id by now.
            Error: when it keeps no result.
        """
        value: R_co = backend().result(self, timeout)
        return value

    def aprogress(self) -> AsyncGenerator[JobProgress, None]:
        """Yield each progress that the job reports, and at last how it has ended.

            async for info in enqueued.aprogress(): ...

        All waits and streams of a process share one thread and one connection; progress is read
        twice a second.

        Raises:
            JobNotFoundError: when it is not there, or another job has its id by now.
            Error: when it was not stored.
        """
        stream: AsyncGenerator[JobProgress, None] = backend().aprogress(self)
        return stream

    async def aresult(self, timeout: Timeout = None) -> R_co:  # noqa: ASYNC109 - as `result`
        """Do what `result` does, without blocking the event loop."""
        value: R_co = await backend().aresult(self, timeout)
        return value


def handle(key: str | int) -> EnqueuedJob[Any]:
    """Return the job of a `key`, or of an id, for another process or a later request.

    No query is sent. With an id alone, the first look at the job (a wait, a `find`, an act)
    sets `created_at`: after it, no later job of the same id is taken for it. A key is neither
    secret nor signed.

    Raises:
        Error: for a text that is no key, or a number that is no id.
    """
    found = _KEY.fullmatch(str(key))
    if found is None or isinstance(key, bool) or int(found[1]) > ID_MAX:
        raise Error(f"{key!r:.60} is not the key of a job, nor its id: see `EnqueuedJob.key`")
    created_at = moment_of(int(found[2])) if found[2] else None
    return EnqueuedJob(int(found[1]), "unknown", created_at=created_at)


JobOrId = EnqueuedJob[Any] | int
"""A job that was enqueued, or the id of a job."""
