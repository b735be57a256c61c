"""How a program defines its jobs: `@job` over a function, or a class that derives from `Job`.

Either way the definition is registered under a name at import, and the thing defined can
be enqueued (`enqueue`, `using(…).enqueue`, `with_args` for many) or run here and now
(`perform_now`).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol, Unpack, overload

from jobsd.arguments.signature import Signature, is_asynchronous
from jobsd.errors import Error
from jobsd.text import closest

from . import job_options
from .default_database import NOT_GIVEN
from .draft import Draft, EnqueuedJob, draft
from .enqueueable import FunctionJob, P, R, R_co, T, Using, perform_here
from .job_options import OPTIONS, JobOptions, UsingOptions, spelled_out
from .job_schedule import job_schedule
from .limits import Limit
from .policy import Backoff, Policy
from .queue_backend import backend
from .registry import Definition, check_class, register
from .unique import Unique

_SPELT = {"name", "perform"}
"""Other attributes that are no misspelt options; `name` is near too many words."""


class Performs(Protocol[P, R_co]):
    """The attributes of a class that is a job."""

    def perform(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Do the work."""
        ...


class Job:
    """A job as a class: derive from it and write `perform`.

    Every attribute is optional. A class without a `perform` of its own is not a job; it
    holds what several jobs have in common.
    """

    queue: ClassVar[str]
    priority: ClassVar[int]
    max_attempts: ClassVar[int]
    retry_on: ClassVar[tuple[type[BaseException], ...]]
    discard_on: ClassVar[tuple[type[BaseException], ...]]
    backoff: ClassVar[Backoff]
    limits_concurrency: ClassVar[Limit | None]
    timeout: ClassVar[timedelta | float | str | None]
    kill_after: ClassVar[timedelta | float | str | None]
    result_ttl: ClassVar[timedelta | float | str | None]
    unique: ClassVar[Unique | None]
    expires_in: ClassVar[timedelta | float | str | None]
    tags: ClassVar[Sequence[str]]
    schedule: ClassVar[str | None]
    schedule_args: ClassVar[object]
    schedule_key: ClassVar[str | None]
    name: ClassVar[str]
    definition: ClassVar[Definition]
    _signature: ClassVar[Signature]

    def perform(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the author's own
        """Do the work."""
        raise NotImplementedError

    def __init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init_subclass__(**kwargs)
        if hasattr(cls, "queue_as"):
            raise Error(f"{cls.__qualname__}: write `queue = …` for `queue_as`")
        _check_spelling(cls)
        if cls.perform is Job.perform:
            return
        given = {name: getattr(cls, name) for name in OPTIONS if hasattr(cls, name)}
        given["name"] = vars(cls).get("name", cls.__name__)
        cls._signature = takes = Signature(cls.perform, None)
        cls.definition = _define(given, cls.perform, cls._perform_new, cls, takes)

    @classmethod
    def _perform_new(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        return cls().perform(*args, **kwargs)

    # By the annotation of `cls`, checkers know the parameters of a class's `perform`.

    @overload
    @classmethod
    def perform_now(
        cls: type[Performs[P, Coroutine[Any, Any, T]]], *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    @classmethod
    def perform_now(
        cls: type[Performs[P, R_co]], *args: P.args, **kwargs: P.kwargs
    ) -> R_co: ...
    @classmethod
    def perform_now(cls: type[Performs[P, Any]], *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the job in this thread, without the queue."""
        return perform_here(_definition_of(cls), args, kwargs)

    @overload
    @classmethod
    def enqueue(
        cls: type[Performs[P, Coroutine[Any, Any, T]]], *args: P.args, **kwargs: P.kwargs
    ) -> EnqueuedJob[T]: ...
    @overload
    @classmethod
    def enqueue(
        cls: type[Performs[P, R_co]], *args: P.args, **kwargs: P.kwargs
    ) -> EnqueuedJob[R_co]: ...
    @classmethod
    def enqueue(
        cls: type[Performs[P, Any]], *args: P.args, **kwargs: P.kwargs
    ) -> EnqueuedJob[Any]:
        """Enqueue the job; it is committed when this returns."""
        enqueued: EnqueuedJob[Any] = backend().enqueue(_draft(cls, args, kwargs), NOT_GIVEN)
        return enqueued

    @overload
    @classmethod
    async def aenqueue(
        cls: type[Performs[P, Coroutine[Any, Any, T]]], *args: P.args, **kwargs: P.kwargs
    ) -> EnqueuedJob[T]: ...
    @overload
    @classmethod
    async def aenqueue(
        cls: type[Performs[P, R_co]], *args: P.args, **kwargs: P.kwargs
    ) -> EnqueuedJob[R_co]: ...
    @classmethod
    async def aenqueue(
        cls: type[Performs[P, Any]], *args: P.args, **kwargs: P.kwargs
    ) -> EnqueuedJob[Any]:
        """Do what `enqueue` does, without blocking the event loop."""
        drafted = _draft(cls, args, kwargs)
        enqueued: EnqueuedJob[Any] = await backend().aenqueue(drafted, NOT_GIVEN)
        return enqueued

    @classmethod
    def with_args(cls: type[Performs[P, Any]], *args: P.args, **kwargs: P.kwargs) -> Draft:
        """Return the job with these arguments, for `enqueue_many`."""
        return _draft(cls, args, kwargs)

    @overload
    @classmethod
    def using(
        cls: type[Performs[P, Coroutine[Any, Any, T]]],
        *,
        connection: object = ...,
        after_commit: object = ...,
        **options: Unpack[UsingOptions],
    ) -> Using[P, T]: ...
    @overload
    @classmethod
    def using(
        cls: type[Performs[P, R_co]],
        *,
        connection: object = ...,
        after_commit: object = ...,
        **options: Unpack[UsingOptions],
    ) -> Using[P, R_co]: ...
    @classmethod
    @spelled_out(UsingOptions)
    def using(
        cls: type[Performs[P, Any]],
        *,
        connection: object = NOT_GIVEN,
        after_commit: object = NOT_GIVEN,
        **options: Unpack[UsingOptions],
    ) -> Using[P, Any]:
        """Return the job with options for one enqueue: see `FunctionJob.using`."""
        job_options.require_names("using", options, UsingOptions)
        drafted: Callable[P, Draft] = partial(_draft_of, cls)
        return Using(drafted, options, connection, after_commit)


for _name, _row in OPTIONS.items():
    if _name not in {"name", "backoff"}:  # A class has its own name, and `backoff` is a method.
        setattr(Job, _name, _row.default)


@overload
def job(function: Callable[P, R], /) -> FunctionJob[P, R]: ...
@overload
def job(
    **options: Unpack[JobOptions],
) -> Callable[[Callable[P, R]], FunctionJob[P, R]]: ...
@spelled_out(JobOptions)
def job(function: Callable[..., Any] | None = None, /, **options: Unpack[JobOptions]) -> Any:
    """Make a function a job; an invalid option, or a name that is taken, raises `Error`.

    Args:
        function: the function, when there are no options: `@job`.
    """
    job_options.require_names("job", options, JobOptions)
    job_options.read(options)  # so that a wrong one is refused where it is written
    define = partial(_function_job, options)
    return define if function is None else define(function)


job.__doc__ = f"{(job.__doc__ or '').rstrip()}\n{job_options.sentences()}"


def _function_job(options: JobOptions, target: Callable[P, R]) -> FunctionJob[P, R]:
    return FunctionJob(target, _define(options, target, target, target))


def _full_name(target: Callable[..., Any]) -> str:
    return f"{_module(target)}.{target.__qualname__}"


def _define(
    given: Mapping[str, Any],
    author: Callable[..., Any],
    perform: Callable[..., Any],
    origin: Any,  # noqa: ANN401 - a function or a class
    takes: Signature | None = None,
) -> Definition:
    options = job_options.read(given)
    coroutine = perform if is_asynchronous(author) else None
    takes = takes or Signature(author)
    limit, unique = options["limits_concurrency"], options["unique"]
    name = check_class(options["name"] or _full_name(origin))
    definition = Definition(
        name,
        _awaited(perform) if coroutine else perform,
        options["queue"],
        options["priority"],
        Policy(*(options[name] for name in _POLICY)),
        f"{_module(origin)}.{origin.__qualname__}",
        limit and limit.on(takes),
        takes,
        coroutine,
        job_options.read_time_limit(given.get("timeout"), given.get("kill_after")),
        options["result_ttl"],
        unique and unique.on(takes),
        options["expires_in"],
        options["tags"],
        job_schedule(options, name, takes, origin, author),
    )
    register(definition)
    return definition


_POLICY = ("max_attempts", "retry_on", "discard_on", "backoff")


def _awaited(perform: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that runs what `perform` returns to its end, in a loop of its own."""

    def run(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the author's own
        # Here, since most programs need no event loop.
        import asyncio  # noqa: PLC0415

        # A decorator may have run it already.
        begun = perform(*args, **kwargs)
        return asyncio.run(begun) if inspect.iscoroutine(begun) else begun

    return run


def _check_spelling(cls: type[Job]) -> None:
    """Let no option be misspelt: the class would silently go without it."""
    for attribute in vars(cls):
        if attribute.startswith("_") or attribute in _SPELT or attribute in OPTIONS:
            continue
        if near := closest(attribute, OPTIONS.keys() - {"name"}, 0.85):
            raise Error(
                f"{cls.__qualname__}: {attribute!r} is not an option of a job; write {near!r},"
                f" or '_{attribute}' for something of your own"
            )


def _definition_of(cls: type[Any]) -> Definition:
    if not hasattr(cls, "definition"):
        raise Error(f"{cls.__qualname__} has no `perform`, so it is no job")
    found: Definition = cls.definition
    return found


def _draft(cls: type[Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Draft:
    definition = _definition_of(cls)
    cls._signature.check(args, kwargs)
    return draft(definition, args, kwargs)


def _draft_of(cls: type[Any], *args: Any, **kwargs: Any) -> Draft:  # noqa: ANN401
    return _draft(cls, args, kwargs)


def _module(origin: Any) -> str:  # noqa: ANN401
    """Return the module's name, also that of a file which is run as a script."""
    if origin.__module__ != "__main__":
        return str(origin.__module__)
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    return Path(getattr(main, "__file__", None) or "__main__").stem
