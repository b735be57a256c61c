"""How a program defines its jobs: `@job` over a function, or a class that derives from `Job`.

Either way the definition is registered under a name at import, and the thing defined can
be enqueued (`enqueue`, `using(…).enqueue`, `with_args` for many) or run here and now
(`perform_now`).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol, overload

from jobsd.arguments.signature import Signature, is_asynchronous
from jobsd.errors import Error
from jobsd.text import closest

from .default_database import NOT_GIVEN
from .draft import Draft, EnqueuedJob, Options, draft
from .enqueueable import FunctionJob, P, R, R_co, T, Using, perform_here
from .limits import Limit
from .policy import FAILURES, Backoff, Policy, exponential
from .queue_backend import backend
from .registry import Definition, check_class, check_priority, check_queue, register
from .time_limits import TimeLimit, read_expiry, read_result_ttl, read_time_limit
from .unique import Unique

Kinds = type[BaseException] | tuple[type[BaseException], ...]


DEFAULT_QUEUE = "default"

_OPTIONS = (
    "queue",
    "priority",
    "max_attempts",
    "retry_on",
    "discard_on",
    "backoff",
    "limits_concurrency",
    "kill_after",
    "timeout",
    "result_ttl",
    "unique",
    "expires_in",
)
"""The attributes of a class by which it says how it is run; `name` is near too many words."""
_SPELT = {"name", "perform"}
"""What else of a class is no misspelt option."""


class Performs(Protocol[P, R_co]):
    """What a class that is a job has."""

    def perform(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Do the work."""
        ...


class Job:
    """A job as a class: derive from it and write `perform`.

    Every attribute is optional. A class without a `perform` of its own is not a job; it
    holds what several jobs have in common.
    """

    queue: ClassVar[str] = DEFAULT_QUEUE
    """The queue it goes to."""
    priority: ClassVar[int] = 0
    """Smaller runs first."""
    max_attempts: ClassVar[int] = 1
    """How often it is tried in all."""
    retry_on: ClassVar[tuple[type[BaseException], ...]] = FAILURES
    """Which failures are tried again, once there is more than one attempt."""
    discard_on: ClassVar[tuple[type[BaseException], ...]] = ()
    """Which failures drop the job."""
    backoff: ClassVar[Backoff]
    """How long to wait after attempt 1, 2, …; exponential unless given."""
    limits_concurrency: ClassVar[Limit | None] = None
    """How many may run at once."""
    timeout: ClassVar[timedelta | float | str | None] = None
    """After how long it is interrupted; as the settings say unless given."""
    kill_after: ClassVar[timedelta | float | str | None] = None
    """How long after that its process ends, if it has not; as the settings say unless given."""
    result_ttl: ClassVar[timedelta | float | str | None] = None
    """For how long what it returns is kept; not at all unless given."""
    unique: ClassVar[Unique | None] = None
    """What makes a second one superfluous."""
    expires_in: ClassVar[timedelta | float | str | None] = None
    """Within how long of when it is first due it has to be begun, lest it be discarded."""
    name: ClassVar[str]
    """What it is registered as; the class's own name unless given."""
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
        given = vars(cls).get("backoff") or getattr(cls, "backoff", None)
        backoff = given.__func__ if isinstance(given, staticmethod) else given
        policy = _policy(cls.max_attempts, cls.retry_on, cls.discard_on, backoff)
        name = vars(cls).get("name", cls.__name__)
        bounds = read_time_limit(cls.timeout, cls.kill_after)
        cls._signature = takes = Signature(cls.perform, None)
        cls.definition = _define(
            name,
            cls.perform,
            cls._perform_new,
            cls.queue,
            cls.priority,
            policy,
            cls,
            bounds,
            cls.result_ttl,
            cls.limits_concurrency,
            cls.unique,
            cls.expires_in,
            takes,
        )

    @classmethod
    def _perform_new(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        return cls().perform(*args, **kwargs)

    # The annotation of `cls` is how checkers know what the `perform` of a class takes.

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

    @classmethod
    def enqueue(cls: type[Performs[P, Any]], *args: P.args, **kwargs: P.kwargs) -> EnqueuedJob:
        """Enqueue the job; it is committed when this returns."""
        enqueued: EnqueuedJob = backend().enqueue(_draft(cls, args, kwargs), NOT_GIVEN)
        return enqueued

    @classmethod
    async def aenqueue(
        cls: type[Performs[P, Any]], *args: P.args, **kwargs: P.kwargs
    ) -> EnqueuedJob:
        """Do what `enqueue` does, without blocking the event loop."""
        enqueued: EnqueuedJob = await backend().aenqueue(_draft(cls, args, kwargs), NOT_GIVEN)
        return enqueued

    @classmethod
    def with_args(cls: type[Performs[P, Any]], *args: P.args, **kwargs: P.kwargs) -> Draft:
        """Return the job with these arguments, for `enqueue_many`."""
        return _draft(cls, args, kwargs)

    @classmethod
    def using(  # noqa: PLR0913 - the options of one enqueue
        cls: type[Performs[P, Any]],
        *,
        queue: str | None = None,
        priority: int | None = None,
        wait: timedelta | float | str | None = None,
        wait_until: datetime | None = None,
        unique_key: object = None,
        expires_in: timedelta | float | str | None = None,
        connection: object = NOT_GIVEN,
        after_commit: object = NOT_GIVEN,
    ) -> Using[P]:
        """Return the job with options for one enqueue: see `FunctionJob.using`."""
        options = Options(queue, priority, wait, wait_until, unique_key, expires_in)
        drafted: Callable[P, Draft] = partial(_draft_of, cls)
        return Using(drafted, options, connection, after_commit)


@overload
def job(function: Callable[P, R], /) -> FunctionJob[P, R]: ...
@overload
def job(
    *,
    queue: str = ...,
    priority: int = ...,
    max_attempts: int = ...,
    retry_on: Kinds = ...,
    discard_on: Kinds = ...,
    backoff: Backoff | None = ...,
    limits_concurrency: Limit | None = ...,
    timeout: timedelta | float | str | None = ...,
    kill_after: timedelta | float | str | None = ...,
    result_ttl: timedelta | float | str | None = ...,
    unique: Unique | None = ...,
    expires_in: timedelta | float | str | None = ...,
    name: str | None = ...,
) -> Callable[[Callable[P, R]], FunctionJob[P, R]]: ...
def job(  # noqa: PLR0913 - the options of a job
    function: Callable[..., Any] | None = None,
    /,
    *,
    queue: str = DEFAULT_QUEUE,
    priority: int = 0,
    max_attempts: int = 1,
    retry_on: Kinds = FAILURES,
    discard_on: Kinds = (),
    backoff: Backoff | None = None,
    limits_concurrency: Limit | None = None,
    timeout: timedelta | float | str | None = None,
    kill_after: timedelta | float | str | None = None,
    result_ttl: timedelta | float | str | None = None,
    unique: Unique | None = None,
    expires_in: timedelta | float | str | None = None,
    name: str | None = None,
) -> Any:
    """Make a function a job; an invalid option, or a name that is taken, raises `Error`.

    Args:
        function: the function, when there are no options: `@job`.
        queue: the name of its queue.
        priority: smaller numbers run first.
        max_attempts: the number of attempts in all, crashes of its process included.
        retry_on: the exceptions that lead to another attempt, if one is left.
        discard_on: the exceptions that discard the job.
        backoff: a function of the attempt's number that returns seconds; see `exponential`.
        limits_concurrency: how many may run at the same time; see `Limit`.
        timeout: after how long it is interrupted; by default `jobs.timeout`.
        kill_after: how much later its process is ended; by default `jobs.kill_after`.
        result_ttl: how long its result is kept, for `EnqueuedJob.result`.
        unique: when a second enqueue is a duplicate; see `Unique`.
        expires_in: how long after it is due it may start; later it is discarded.
        name: its registered name; by default "module.function".
    """
    policy = _policy(max_attempts, retry_on, discard_on, backoff)
    rest = read_time_limit(timeout, kill_after), result_ttl, limits_concurrency, unique
    define = partial(_function_job, name, queue, priority, policy, (*rest, expires_in))
    return define if function is None else define(function)


def _function_job(  # noqa: PLR0913, PLR0917 - as `_define`
    name: str | None,
    queue: str,
    priority: int,
    policy: Policy,
    rest: Any,  # noqa: ANN401 - more fields, checked in `_define`
    target: Callable[P, R],
) -> FunctionJob[P, R]:
    facts = name, target, target, queue, priority, policy, target, *rest
    return FunctionJob(target, _define(*facts))


def _full_name(target: Callable[..., Any]) -> str:
    return f"{_module(target)}.{target.__qualname__}"


def _define(  # noqa: PLR0913, PLR0917 - the fields of a definition
    name: str | None,
    author: Callable[..., Any],
    perform: Callable[..., Any],
    queue: str,
    priority: int,
    policy: Policy,
    origin: Any,  # noqa: ANN401 - a function or a class
    time_limit: TimeLimit | None,
    result_ttl: timedelta | float | str | None,
    limit: Limit | None,
    unique: Unique | None,
    expires_in: timedelta | float | str | None,
    takes: Signature | None = None,
) -> Definition:
    source = f"{_module(origin)}.{origin.__qualname__}"
    coroutine = perform if is_asynchronous(author) else None
    takes = takes or Signature(author)
    definition = Definition(
        check_class(name or _full_name(origin)),
        _awaited(perform) if coroutine else perform,
        check_queue(queue),
        check_priority(priority),
        policy,
        source,
        _limit(limit, takes),
        takes,
        coroutine,
        time_limit,
        read_result_ttl(result_ttl),
        _unique(unique, takes),
        read_expiry(expires_in),
    )
    register(definition)
    return definition


def _policy(
    max_attempts: int,
    retry_on: Kinds,
    discard_on: Kinds,
    backoff: Backoff | None,
) -> Policy:
    # A bool is an int too, but no number that anybody means.
    if type(max_attempts) is not int or not 1 <= max_attempts < 2**31:
        raise Error(f"max_attempts: {max_attempts!r} is not a whole number of at least 1")
    if backoff is not None and not callable(backoff):  # pyright: ignore[reportUnnecessaryComparison]
        raise Error(f"backoff: {backoff!r} is not a function; constant({backoff!r}) makes one")
    kinds, drops = _several(retry_on), _several(discard_on)
    return Policy(max_attempts, kinds, drops, backoff or exponential())


def _several(kinds: Kinds) -> tuple[type[BaseException], ...]:
    return tuple(kinds) if isinstance(kinds, (tuple, list, set, frozenset)) else (kinds,)


def _limit(given: Limit | None, takes: Signature) -> Limit | None:
    if given is None or isinstance(given, Limit):  # pyright: ignore[reportUnnecessaryIsInstance]
        return given and given.on(takes)
    raise Error(f"limits_concurrency: {given!r} is not a limit; write Limit(to=1, key=…)")


def _unique(given: Unique | None, takes: Signature) -> Unique | None:
    if given is None or isinstance(given, Unique):  # pyright: ignore[reportUnnecessaryIsInstance]
        return given and given.on(takes)
    raise Error(f"unique: {given!r:.60} is not a Unique; write Unique(key=…)")


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
        if attribute.startswith("_") or attribute in _SPELT or attribute in _OPTIONS:
            continue
        if near := closest(attribute, _OPTIONS, 0.85):
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
