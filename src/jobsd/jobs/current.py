"""The facts that a running job may read about itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from jobsd.arguments import arguments
from jobsd.clock import monotonic, utc_now
from jobsd.errors import Cancelled
from jobsd.events.bound_job import Bound, running_job
from jobsd.logs.capture import KEPT
from jobsd.logs.printed import UNENDED, end_lines

from . import progress, registry
from .claimed_job import ClaimedJob
from .interrupts import Shield, interrupt_here
from .queue_backend import backend


@dataclass(slots=True)
class _Drain:
    """Whether this process drains, and until when it may."""

    begun: threading.Event = field(default_factory=threading.Event)
    deadline: datetime | None = None


_drain = _Drain()


class CurrentJob(NamedTuple):
    """The job that runs in this thread; `id` is 0 in `perform_now` outside of any.

    `deadline` is None until the worker drains, then the moment at which its process is ended.
    `given` are its arguments, positional and by name, or their JSON text; `carried` is its
    context, or the JSON text of that. See `arguments` and `context`. `due_at` is a monotonic
    time; see `waited_s`.
    """

    id: int
    attempt: int
    queue_name: str
    class_name: str
    deadline: datetime | None = None
    given: tuple[Sequence[Any], Mapping[str, Any]] | str = ((), {})
    carried: dict[str, Any] | str | None = None
    due_at: float | None = None
    claim_id: int = 0

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments by the names of their parameters, with the defaults of those left out.

        Those of `*args` are a tuple under that name, those of `**kwargs` a dict, as in
        `inspect.BoundArguments`.
        """
        args, kwargs = arguments.load(self.given) if isinstance(self.given, str) else self.given
        return registry.get(self.class_name).named(args, kwargs)

    @property
    def context(self) -> dict[str, Any]:
        """The values that functions of `around_enqueue` stored with the job; often empty."""
        if isinstance(self.carried, str):
            found: dict[str, Any] = json.loads(self.carried)
            return found
        return {} if self.carried is None else self.carried

    @property
    def waited_s(self) -> float | None:
        """Seconds since this attempt could have begun; None in `perform_now`."""
        return None if self.due_at is None else max(0.0, monotonic() - self.due_at)

    @property
    def cancelled(self) -> bool:
        """Whether the job was cancelled: `Cancelled` is raised in it, or will be."""
        interrupt = interrupt_here()
        return interrupt is not None and issubclass(interrupt.kind, Cancelled)

    def progress(
        self, done: float, total: float | None = None, note: str | None = None
    ) -> None:
        """Report the progress of the job, for `show` and `JobInfo.progress`.

        It may be called often: progress is written once a second at most.

        Raises:
            Error: for a number below 0, for anything that is not a number, and for a note
                that is not a text.
        """
        progress.say(self.id, done, total, note)

    def complete(self, *, connection: object, result: object = None) -> None:
        """Record that the job has succeeded, in the transaction of `connection`.

        So its effects in the queue's database and its end are committed together, or neither.
        Commit soon afterwards: nothing interrupts the job any more. An exception after the
        commit is reported, and the job stays finished. `connection` is one of a driver,
        SQLAlchemy or Django; `result` is kept if the job has a `result_ttl`.

        Raises:
            CompletionError: when that is impossible: the connection leads to another database,
                the job was recovered by another process, or the snapshot of the transaction is
                too old (see `completing`). The transaction may be repeated.
        """
        backend().complete(self, connection, result)

    def completing(
        self, *, connection: object, result: object = None
    ) -> AbstractContextManager[None]:
        """Return a block at the end of which the job completes, as by `complete`.

        Open it before the first statement of the transaction: so it works at REPEATABLE READ
        and SERIALIZABLE, too. It does not commit. If the block raises, nothing is recorded. If
        `complete` was called in the block, its end does nothing more.

        Raises:
            CompletionError: as `complete`, when the block is opened or at its end; also if no
                transaction is open, or if it has ended within the block.
        """
        return backend().completing(self, connection, result)

    def shield(self) -> Shield:
        """Return a block that is not interrupted: an interrupt waits for its end."""
        return Shield()


def current_job() -> CurrentJob:
    """Return the job that runs in this thread.

    Raises:
        LookupError: outside of any job.
    """
    job = running_job.get()
    if isinstance(job, CurrentJob):
        return job._replace(deadline=_drain.deadline)
    if isinstance(job, ClaimedJob):
        # Only now: most jobs don't ask, and it would take as long as to call one.
        return CurrentJob(
            *(job.id, job.attempt, job.queue_name, job.class_name, _drain.deadline),
            *(job.arguments, job.context, job.due_at, job.claim_id),
        )
    raise LookupError("no job runs here: current_job() is for use inside a job")


def stopping() -> bool:
    """Return whether the worker drains, so that a long job should come to an end."""
    return _drain.begun.is_set()


class running:  # noqa: N801 - used as a statement is: `with running(job):`
    """Mark the job as running in this thread until the end of the block; log lines name it.

    A class rather than a generator: half a microsecond instead of two, for each job.
    """

    __slots__ = ("_job", "_outer")
    _outer: Bound | None

    def __init__(self, job: Bound) -> None:
        self._job = job

    def __enter__(self) -> None:
        self._outer = running_job.get()
        begin(self._job)

    def __exit__(self, *_: object) -> None:
        end(self._job, self._outer)


def begin(job: Bound) -> None:
    """Mark a job as running here from now on, as `running` does, in half of its time."""
    running_job.set(job)
    if KEPT.most:
        KEPT.begin(job)


def end(job: Bound, outer: Bound | None = None) -> None:
    """Mark it as no longer running here; `outer`, within which it ran, runs again."""
    try:
        if UNENDED:
            end_lines()
    finally:
        if KEPT.most:
            KEPT.end(job)
        running_job.set(outer)


def begin_drain(patience_s: float | None = None) -> None:
    """Let jobs know that their process drains and ends after `patience_s` seconds."""
    if patience_s is not None and _drain.deadline is None:
        _drain.deadline = utc_now() + timedelta(seconds=patience_s)
    _drain.begun.set()
