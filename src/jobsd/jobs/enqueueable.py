"""A function that is a job, and a job with options: both can be enqueued."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar, Unpack, overload

from jobsd import errors
from jobsd.arguments.signature import Signature
from jobsd.events.bound_job import running_job

from .default_database import NOT_GIVEN
from .draft import Draft, EnqueuedJob, draft, with_options
from .job_options import UsingOptions, require_names, spelled_out
from .queue_backend import backend
from .registry import Definition

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class FunctionJob(Generic[P, R_co]):
    """A function that is a job; a call still runs the function itself."""

    def __init__(self, function: Callable[P, R_co], definition: Definition) -> None:
        self.definition = definition
        self._function = function
        self._signature = definition.takes or Signature(function)
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:  # noqa: D102
        return self._function(*args, **kwargs)

    @overload
    def perform_now(
        self: FunctionJob[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    def perform_now(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    def perform_now(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the job in this thread, without the queue."""
        return perform_here(self.definition, args, kwargs)

    @overload
    def enqueue(
        self: FunctionJob[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> EnqueuedJob[T]: ...
    @overload
    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> EnqueuedJob[R_co]: ...
    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> EnqueuedJob[Any]:
        """Enqueue the job; it is committed when this returns.

        Raises:
            ArgumentError: when the arguments cannot be stored.
            EnqueueError: when the database refuses.
            DatabaseUnreachableError: when the database cannot be reached.
        """
        self._signature.check(args, kwargs)
        drafted = draft(self.definition, args, kwargs)
        enqueued: EnqueuedJob[Any] = backend().enqueue(drafted, NOT_GIVEN)
        return enqueued

    @overload
    async def aenqueue(
        self: FunctionJob[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> EnqueuedJob[T]: ...
    @overload
    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> EnqueuedJob[R_co]: ...
    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> EnqueuedJob[Any]:
        """Do what `enqueue` does, without blocking the event loop."""
        drafted = self.with_args(*args, **kwargs)
        enqueued: EnqueuedJob[Any] = await backend().aenqueue(drafted, NOT_GIVEN)
        return enqueued

    def with_args(self, *args: P.args, **kwargs: P.kwargs) -> Draft:
        """Return the job with these arguments, for `enqueue_many`."""
        self._signature.check(args, kwargs)
        return draft(self.definition, args, kwargs)

    @overload
    def using(
        self: FunctionJob[P, Coroutine[Any, Any, T]],
        *,
        connection: object = ...,
        after_commit: object = ...,
        **options: Unpack[UsingOptions],
    ) -> Using[P, T]: ...
    @overload
    def using(
        self,
        *,
        connection: object = ...,
        after_commit: object = ...,
        **options: Unpack[UsingOptions],
    ) -> Using[P, R_co]: ...
    @spelled_out(UsingOptions)
    def using(
        self,
        *,
        connection: object = NOT_GIVEN,
        after_commit: object = NOT_GIVEN,
        **options: Unpack[UsingOptions],
    ) -> Using[P, Any]:
        """Return the job with options for one enqueue.

        `wait` is a timedelta, seconds, or words such as "5m"; `wait_until` an aware
        datetime. `unique_key` is what makes this one unique; see `Unique`. A job that has
        not started `expires_in` after it was due is discarded. With `connection`
        (of a driver, SQLAlchemy or Django) the job becomes part of that connection's
        transaction; with `after_commit` it is enqueued once that connection's transaction has
        committed.
        """
        require_names("using", options, UsingOptions)
        return Using(self.with_args, options, connection, after_commit)

    def __repr__(self) -> str:
        return f"<job {self.definition.name!r}>"


@dataclass(frozen=True, slots=True)
class Using(Generic[P, R_co]):
    """A job with options for one enqueue."""

    _draft: Callable[P, Draft]
    _options: UsingOptions
    _connection: object = NOT_GIVEN
    _after_commit: object = NOT_GIVEN

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> EnqueuedJob[R_co]:
        """Enqueue the job with these options.

        After a commit that is still to come: the returned job is "pending" and has no id; both
        are filled in when it is stored. When that fails, the code that commits gets the error.

        Raises:
            ArgumentError: when the arguments cannot be stored.
            EnqueueError: when the database refuses.
            DatabaseUnreachableError: when the database cannot be reached.
        """
        drafted = with_options(self._draft(*args, **kwargs), self._options)
        enqueued: EnqueuedJob[R_co]
        if self._after_commit is NOT_GIVEN:
            enqueued = backend().enqueue(drafted, self._connection)
            return enqueued
        self._require_no_connection()
        enqueued = backend().enqueue_after_commit(drafted, self._after_commit)
        return enqueued

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> EnqueuedJob[R_co]:
        """Do what `enqueue` does, without blocking the event loop.

        `connection` and `after_commit` are asynchronous ones here.
        """
        drafted = with_options(self._draft(*args, **kwargs), self._options)
        enqueued: EnqueuedJob[R_co]
        if self._after_commit is NOT_GIVEN:
            enqueued = await backend().aenqueue(drafted, self._connection)
            return enqueued
        self._require_no_connection()
        enqueued = await backend().aenqueue_after_commit(drafted, self._after_commit)
        return enqueued

    def with_args(self, *args: P.args, **kwargs: P.kwargs) -> Draft:
        """Return the job with these options and arguments, for `enqueue_many`."""
        if self._connection is not NOT_GIVEN or self._after_commit is not NOT_GIVEN:
            raise errors.Error("give the connection to enqueue_many: it is for all its jobs")
        return with_options(self._draft(*args, **kwargs), self._options)

    def _require_no_connection(self) -> None:
        if self._connection is not NOT_GIVEN:
            raise errors.Error("give connection or after_commit, not both")


def perform_here(definition: Definition, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the author's own
    """Perform a job without the queue, as a part of the job that runs here if there is one."""
    # Here, since few programs that define jobs perform them.
    from . import middleware  # noqa: PLC0415
    from .current import CurrentJob, running  # noqa: PLC0415

    outer = running_job.get()
    if outer is not None:
        with running(outer):
            return definition.perform(*args, **kwargs)
    job = CurrentJob(0, 1, definition.queue, definition.name, None, (args, kwargs))
    with running(job):
        return middleware.perform(definition, args, kwargs)
