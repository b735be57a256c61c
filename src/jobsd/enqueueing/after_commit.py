"""Enqueueing once another transaction has committed: where the queue has its own database.

Until then a job is in the memory of this program only. A transaction that is rolled back takes
its jobs with it, and so does a savepoint. The jobs that survive are enqueued through a
connection of ours, all jobs of one transaction together.

Django's `on_commit` (`django_commit`) and the events of a SQLAlchemy Session
(`session_commit`) report the commit. Both are believed as far as the server confirms it
(`awaiting_commit`). A connection of psycopg or SQLAlchemy does not report the end of its
transaction.

Invariant: the jobs of a commit that the library reports and the server confirms are enqueued,
or the code that commits gets `AfterCommitError`.
"""

from typing import Any

import psycopg

from jobsd.errors import Error
from jobsd.jobs import middleware
from jobsd.jobs.draft import Draft, EnqueuedJob

from . import client, connections, django_commit, session_commit
from .awaiting_commit import Pending

_TAKEN = "a SQLAlchemy Session or AsyncSession bound to an engine, or a Django connection"


def enqueue(drafted: Draft, given: object, *, surrounded: bool = True) -> EnqueuedJob:
    """Enqueue a job once the transaction of `given` has committed; at once if there is none.

    With autocommit there is no transaction. A Session begins one, as its first statement
    would, and the jobs await its commit.

    Returns a job that is "pending" and has no id; both are filled in when it is enqueued.
    A job whose transaction was rolled back stays as it is.

    Raises:
        Error: when `given` does not tell how its transaction ends.
        EnqueueError: when its transaction has failed already.
    """
    if not surrounded or not middleware.ENQUEUES:
        return _enqueue(drafted, given)
    return middleware.enqueue(drafted, lambda job: _enqueue(job, given))


def _enqueue(drafted: Draft, given: object) -> EnqueuedJob:
    return _pending(drafted, given) or client.enqueue(drafted, surrounded=False)


def _pending(drafted: Draft, given: object) -> EnqueuedJob | None:
    """Let a job wait for the commit; return None when there is nothing to wait for."""
    pending = Pending(drafted, EnqueuedJob(None, "pending", drafted.class_name))
    return pending.handle if _wait(given, pending) else None


async def aenqueue(drafted: Draft, given: object) -> EnqueuedJob:
    """Enqueue as `enqueue` does, for an AsyncSession, whose commit then awaits the enqueue.

    Raises:
        Error: when `given` is no AsyncSession that is bound to an engine.
        EnqueueError: when its transaction has failed already.
    """
    from . import async_client  # noqa: PLC0415 - most programs need no event loop

    connections.require_one(given)
    if not connections.is_asynchronous_sqlalchemy(given):
        reported = "is not asynchronous: aenqueue takes an AsyncSession as after_commit"
        raise Error(f"{connections.name_of(given)} {reported}; call enqueue, which waits")

    async def enqueue_soon(job: Draft) -> EnqueuedJob:
        waits: EnqueuedJob | None = await connections.run_sync(
            given, lambda inner: _pending(job, inner)
        )
        return waits or await async_client.store(job)

    if not middleware.ENQUEUES:
        return await enqueue_soon(drafted)
    return await middleware.aenqueue(drafted, enqueue_soon)


def _is_driver(given: object) -> bool:
    kinds = (psycopg.Connection, psycopg.AsyncConnection)
    return isinstance(given, kinds) or any(
        connections.is_of(given, package) for package in ("psycopg2", "pg8000", "asyncpg")
    )


def _wait(given: Any, job: Pending) -> bool:  # noqa: ANN401 - one of two libraries'
    """Let a job wait for the commit; return False when there is nothing to wait for."""
    connections.require_one(given)
    name = connections.name_of(given)
    if connections.is_asynchronous_sqlalchemy(given):
        raise Error(f"{name} is asynchronous: await job.using(after_commit=…).aenqueue(…)")
    if connections.is_django(given):
        return django_commit.wait(given, [job])
    if (session := connections.session_of(given)) is not None:
        return session_commit.wait(session, job)
    if _is_driver(given) or connections.is_sqlalchemy(given):
        reported = "does not tell how its transaction ends"
        raise Error(f"after_commit: {name} {reported}: {session_commit.INSTEAD}")
    raise Error(f"after_commit takes {_TAKEN}, not {name}")
