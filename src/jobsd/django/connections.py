"""Handles Django's connections in jobs as Django does in requests.

Before and after each job, connections that are broken or older than `CONN_MAX_AGE` are closed.
A coroutine gets a thread of its own for its queries, whose connections are closed at its end.
"""

from collections.abc import AsyncGenerator, Generator
from importlib import import_module
from typing import Any

from jobsd.jobs.current import CurrentJob

from .library import db

asgiref: Any = import_module("asgiref.sync")


def as_a_request_does(job: CurrentJob) -> Generator[None, Any]:
    """Close old connections of the job's thread, before and after the job."""
    del job
    db.reset_queries()
    _close_old()
    try:
        yield
    finally:
        _close_old()


def _close_old() -> None:
    """Close old connections, except those in a transaction (of a test, or around a job)."""
    for connection in db.connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


async def as_an_asynchronous_request_does(job: CurrentJob) -> AsyncGenerator[None, Any]:
    """Give a coroutine a thread of its own for its queries, and close its connections."""
    del job
    async with asgiref.ThreadSensitiveContext():
        try:
            yield
        finally:
            await asgiref.sync_to_async(db.connections.close_all)()
