"""The functions of this room that load the driver when they are called, and not before.

As a module it is the backend that `jobsd.jobs.queue_backend` describes. `lent` and
`replaceable` are for rooms above.
"""

# ruff: noqa: ANN401, PLC0414, PLC0415

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.jobs.draft import Draft, EnqueuedJob, Timeout
    from jobsd.jobs.progress import JobProgress

    # The checkers' re-export of what `__getattr__` returns.
    from .client import aenqueue as aenqueue
    from .client import enqueue as enqueue

P = ParamSpec("P")
T = TypeVar("T")


def __getattr__(name: str) -> Any:
    """Return the client's `enqueue` or `aenqueue`: without a call of ours in between."""
    if name not in {"enqueue", "aenqueue"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import client

    return getattr(client, name)


def enqueue_after_commit(drafted: Draft, transaction_of: object) -> EnqueuedJob:
    """Store one job once the transaction of a connection has committed."""
    from . import after_commit

    return after_commit.enqueue(drafted, transaction_of)


async def aenqueue_after_commit(drafted: Draft, transaction_of: object) -> EnqueuedJob:
    """Do what `enqueue_after_commit` does, without blocking the event loop."""
    from . import after_commit

    return await after_commit.aenqueue(drafted, transaction_of)


def wait(job: EnqueuedJob, timeout: Timeout) -> str:
    """Wait until a job has ended; return its state."""
    from . import waiting

    return str(waiting.wait(job, timeout).state)


def result(job: EnqueuedJob, timeout: Timeout) -> Any:
    """Wait until a job has ended; return its result."""
    from . import return_values, waiting

    return_values.require_result(job)
    return return_values.value_of(waiting.wait(job, timeout))


async def aresult(job: EnqueuedJob, timeout: Timeout) -> Any:  # noqa: ASYNC109
    """Do what `result` does, without blocking the event loop."""
    from . import return_values, waiting

    return_values.require_result(job)
    return return_values.value_of(await waiting.await_(job, timeout))


def aprogress(job: EnqueuedJob) -> AsyncGenerator[JobProgress, None]:
    """Yield the progress of a job until it has ended."""
    from . import waiting

    return waiting.stream(job)


def complete(job: Any, connection: object, result: object) -> None:
    """Record in the transaction of a connection that the running job has succeeded."""
    from . import completion

    completion.complete(job, connection, result)


def completing(job: Any, connection: object, result: object) -> AbstractContextManager[None]:
    """Return a block at the end of which the running job completes."""
    from . import completion

    return completion.completing(job, connection, result)


def lent(session: Session | None = None) -> AbstractContextManager[Session]:
    """Lend the given session, or one to the database of the program."""
    if session is not None:
        return nullcontext(session)
    from . import client

    return client.default_client().session()


def replaceable(function: Callable[P, T]) -> Callable[P, T]:
    """Let the stand-in of a test answer instead, by its function of this name.

    A function that is given a session answers itself.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if kwargs.get("session") is not None:
            return function(*args, **kwargs)
        from . import backend

        if backend.active is None:
            return function(*args, **kwargs)
        own = {name: value for name, value in kwargs.items() if name != "session"}
        return cast("T", getattr(backend.active.acts, function.__name__)(*args, **own))

    # For who asks for the signature without following wrappers, as a check of commands does.
    call.__signature__ = signature(function)  # type: ignore[attr-defined]
    return call
