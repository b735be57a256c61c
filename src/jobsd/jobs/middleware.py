"""The user's generators that surround every job and every enqueue.

The first registered generator is the outermost. Each begins before the job and goes on after
it: its `yield` returns the result, or raises the job's exception. Asynchronous jobs are
surrounded by both kinds of generators, plain ones by plain generators only.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from types import CoroutineType
from typing import Any, TypeVar

from jobsd.arguments import references
from jobsd.errors import Error

from .current import CurrentJob, current_job
from .draft import Draft, EnqueuedJob
from .registry import Definition

Around = TypeVar(
    "Around",
    bound=Callable[[CurrentJob], Generator[None, Any] | AsyncGenerator[None, Any]],
)

CONTEXT_MAX = 10_000
"""Bytes of a job's context: ids and names, which each claim reads."""


class _Plain(Generator[None, Any, None]):
    """A generator of the user's, whose last step gets the result."""

    def __init__(self, generator: Generator[None, Any]) -> None:
        self._generator = generator
        self._yielded = False
        self.result: Any = None

    def send(self, _: object) -> None:
        try:
            self._generator.send(self.result)
        except StopIteration:
            if not self._yielded:
                raise _never_yields(self._generator) from None
            raise
        if self._yielded:
            self._generator.close()
            raise _yields_again(self._generator)
        self._yielded = True

    def throw(self, *error: Any) -> None:  # noqa: ANN401 # pyright: ignore[reportIncompatibleMethodOverride]
        self._generator.throw(*error)
        self._generator.close()
        raise _yields_again(self._generator)


class _Asynchronous(AsyncGenerator[None, Any]):
    """The same of an asynchronous one."""

    def __init__(self, generator: AsyncGenerator[None, Any]) -> None:
        self._generator = generator
        self._yielded = False
        self.result: Any = None

    async def asend(self, _: object) -> None:
        try:
            await self._generator.asend(self.result)
        except StopAsyncIteration:
            if not self._yielded:
                raise _never_yields(self._generator) from None
            raise
        if self._yielded:
            await self._generator.aclose()
            raise _yields_again(self._generator)
        self._yielded = True

    async def athrow(self, *error: Any) -> None:  # noqa: ANN401 # pyright: ignore[reportIncompatibleMethodOverride]
        await self._generator.athrow(*error)
        await self._generator.aclose()
        raise _yields_again(self._generator)


def _never_yields(generator: object) -> Error:
    return Error(f"{_named(generator)} has ended without a `yield`: nothing was run within it")


def _yields_again(generator: object) -> Error:
    return Error(f"{_named(generator)} yields a second time: what is within it runs once")


def _named(generator: object) -> str:
    return getattr(generator, "__qualname__", repr(generator))


@contextmanager
def _entered(steps: _Plain) -> Generator[None, Any, None]:
    return steps


@asynccontextmanager
def _entered_asynchronous(steps: _Asynchronous) -> AsyncGenerator[None, Any]:
    return steps


class Surroundings:
    """The functions that surround one kind of thing, in the order of their registration."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.functions: list[Callable[[CurrentJob], Any]] = []

    def __bool__(self) -> bool:
        return bool(self.functions)

    def add(self, function: Callable[[CurrentJob], Any]) -> None:
        """Register a function.

        Raises:
            Error: when it is not a generator function.
        """
        if not inspect.isgeneratorfunction(function) and not _is_asynchronous(function):
            raise Error(
                f"{self._name}: {function!r} is not a generator function; write `def …(job):`"
                " with one `yield`, at which the job runs"
            )
        if function not in self.functions:
            self.functions.append(function)

    def forget(self) -> None:
        """Surround nothing any more."""
        self.functions.clear()

    def call(self, job: CurrentJob, body: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Call `body` within all that are plain; return its result, None when that was lost."""
        result: Any = None
        with ExitStack() as stack:
            steps = [_Plain(each(job)) for each in self.functions if not _is_asynchronous(each)]
            for each in steps:
                stack.enter_context(_entered(each))
            result = body()
            for each in steps:
                each.result = result
        return result

    async def await_(self, job: CurrentJob, body: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Call `body` and await its result, within all generators."""
        result: Any = None
        async with AsyncExitStack() as stack:
            steps: list[_Plain | _Asynchronous] = []
            for function in self.functions:
                made = function(job)
                if _is_asynchronous(function):
                    steps.append(each := _Asynchronous(made))
                    await stack.enter_async_context(_entered_asynchronous(each))
                else:
                    steps.append(plain := _Plain(made))
                    stack.enter_context(_entered(plain))
            result = body()
            if inspect.isawaitable(result):
                result = await result
            for step in steps:
                step.result = result
        return result


JOBS = Surroundings("around_job")
ENQUEUES = Surroundings("around_enqueue")


def around_job(function: Around) -> Around:
    """Surround every job that this process performs with a generator; a decorator.

    The generator gets the value of `current_job()`, and runs in the context of the job. At its
    `yield` the job runs: `yield` returns the job's result, or raises the job's exception. An
    exception that the generator raises, too, is the job's; if it raises none, the job has
    succeeded. The first that is registered is the outermost. An asynchronous generator
    surrounds `async def` jobs only, a plain one all of them.

    A `perform_now` is surrounded unless it is a part of another job; a plain call is not.

    Raises:
        Error: when the function is not a generator function.
    """
    JOBS.add(function)
    return function


def around_enqueue(function: Around) -> Around:
    """Surround every enqueue of this process with a generator; a decorator.

    The generator gets the job, whose `id` and `attempt` are 0, and may put small JSON into
    `job.context`: each attempt finds it in `current_job().context`. At its `yield` the job is
    enqueued: `yield` returns the `EnqueuedJob`, or raises the error. With `after_commit`, and
    for each job of `enqueue_many`, that is "pending" and has no id.

    An asynchronous generator surrounds enqueues that are awaited only. What SQL enqueues, and
    the scheduler, is not surrounded.

    Raises:
        Error: when the function is not a generator function.
    """
    ENQUEUES.add(function)
    return function


def perform(definition: Definition, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Perform the job that is the current one, within what surrounds all jobs."""
    if not JOBS.functions:
        return definition.perform(*args, **kwargs)
    job = current_job()
    if definition.coroutine is None:
        return JOBS.call(job, partial(_call, definition.perform, args, kwargs))
    # Here, since most programs need no event loop.
    import asyncio  # noqa: PLC0415

    return asyncio.run(JOBS.await_(job, partial(_await, definition.coroutine, args, kwargs)))


def begin_asynchronous(
    definition: Definition, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Awaitable[Any]:
    """Begin an asynchronous job as the current one; the returned awaitable performs it."""
    make = definition.coroutine or definition.perform
    if JOBS.functions:  # as above
        return JOBS.await_(current_job(), partial(_await, make, args, kwargs))
    begun = make(*args, **kwargs)
    # Most are known by their class: a third of the time. A decorator may have run it already.
    awaited: bool = begun.__class__ is CoroutineType or inspect.isawaitable(begun)
    return begun if awaited else _ended(begun)


async def _ended(result: object) -> object:
    return result


def _call(perform: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Perform a job with the objects to which its arguments refer: a framework's, if any."""
    args, kwargs = references.found(args, kwargs)
    return perform(*args, **kwargs)


async def _await(
    make: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:  # noqa: ANN401
    args, kwargs = await references.found_soon(args, kwargs)
    begun = make(*args, **kwargs)
    return await begun if inspect.isawaitable(begun) else begun


def enqueue(drafted: Draft, store: Callable[[Draft], EnqueuedJob]) -> EnqueuedJob:
    """Store a job within what surrounds all enqueues.

    An error can't be lost: there is no job to return.

    Raises:
        Error: when a context can't be stored; and all that `store` raises.
    """
    outgoing = _Outgoing(drafted)
    handle = ENQUEUES.call(outgoing.job, lambda: outgoing.stored(store))
    return outgoing.checked(handle)


async def aenqueue(
    drafted: Draft, store: Callable[[Draft], Awaitable[EnqueuedJob]]
) -> EnqueuedJob:
    """Store a job within what surrounds all enqueues, asynchronous ones among them."""
    outgoing = _Outgoing(drafted)
    handle = await ENQUEUES.await_(outgoing.job, lambda: outgoing.stored_soon(store))
    return outgoing.checked(handle)


def enqueue_later(drafted: Draft) -> Draft:
    """Return a job with its context, as if it had been enqueued: it will be, with others."""
    if not isinstance(drafted, Draft):  # pyright: ignore[reportUnnecessaryIsInstance]
        return drafted
    ready: list[Draft] = []

    def keep(job: Draft) -> EnqueuedJob:
        ready.append(job)
        return EnqueuedJob(None, "pending")

    enqueue(drafted, keep)
    return ready[0]


class _Outgoing:
    """A job during its enqueue, its context, and the reason why it was not stored."""

    def __init__(self, drafted: Draft) -> None:
        carried: dict[str, Any] = json.loads(drafted.context) if drafted.context else {}
        facts = 0, 0, drafted.queue_name, drafted.class_name, None, drafted.arguments
        self.job = CurrentJob(*facts, carried)
        self._drafted = drafted
        self._error: BaseException | None = None

    def stored(self, store: Callable[[Draft], EnqueuedJob]) -> EnqueuedJob:
        try:
            return store(self._with_context())
        except BaseException as error:
            self._error = error
            raise

    async def stored_soon(
        self, store: Callable[[Draft], Awaitable[EnqueuedJob]]
    ) -> EnqueuedJob:
        try:
            return await store(self._with_context())
        except BaseException as error:
            self._error = error
            raise

    def checked(self, handle: EnqueuedJob | None) -> EnqueuedJob:
        if self._error is not None:
            raise self._error
        if handle is None:
            raise Error(
                "a function of around_enqueue has suppressed an error: nothing was enqueued"
            )
        return handle

    def _with_context(self) -> Draft:
        if not self.job.context:
            return self._drafted
        return replace(self._drafted, context=_written(self.job.context))


def _written(context: dict[str, Any]) -> str:
    try:
        text = json.dumps(context, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise Error(f"the context of a job can't be written as JSON: {error}") from error
    if len(text) > CONTEXT_MAX:
        given, most = f"{len(text):,}", f"{CONTEXT_MAX:,}"
        raise Error(f"the context of a job takes {given} bytes; at most {most} are stored")
    return text


def _is_asynchronous(function: Callable[..., Any]) -> bool:
    return inspect.isasyncgenfunction(function)
