"""Makes a plain `enqueue` of a Django project part of the open transaction.

In the database of the queue it goes through Django's own connection: into the `atomic` block
of the caller, if there is one, else it is committed at once. Where the queue has a database
of its own, it waits for the commit of the default one.
"""

from collections.abc import Awaitable, Iterable
from functools import partial
from importlib import import_module
from typing import Any

from jobsd.jobs import after_commit, client, django_commit
from jobsd.jobs.bulk import EnqueuedJobs, PendingJobs
from jobsd.jobs.draft import Draft
from jobsd.jobs.enqueue import EnqueuedJob
from jobsd.jobs.pending import Pending

from . import queue
from .library import db

asgiref: Any = import_module("asgiref.sync")


class InTransactions:
    """Where enqueues go in a project of Django."""

    def enqueue(self, drafted: Draft, *, waits: bool) -> EnqueuedJob | None:
        """Enqueue one job as a part of the open transaction, or behind it."""
        if waits and (awaited := _awaited()) is not None:
            return after_commit.enqueue(drafted, awaited, surrounded=False)
        if queue.is_elsewhere():
            return None
        return client.enqueue(drafted, queue.connection(), surrounded=False)

    def enqueue_many(self, jobs: Iterable[Draft], *, waits: bool) -> EnqueuedJobs | None:
        """Enqueue many jobs as a part of the open transaction, or behind it."""
        if waits and (awaited := _awaited()) is not None:
            pending = [Pending(each, EnqueuedJob(None, "pending")) for each in jobs]
            if pending:
                django_commit.wait(awaited, pending)
            return PendingJobs([each.handle for each in pending])
        return None if queue.is_elsewhere() else client.store_many(jobs, queue.connection())

    def aenqueue(self, drafted: Draft) -> Awaitable[EnqueuedJob] | None:
        """In a test, enqueue where its queries are: a TestCase rolls them back."""
        if not queue.is_in_test():
            return None
        one: Any = asgiref.sync_to_async(partial(client.enqueue, surrounded=False))(drafted)
        return one  # type: ignore[no-any-return]

    def aenqueue_many(self, jobs: Iterable[Draft]) -> Awaitable[EnqueuedJobs] | None:
        """In a test, enqueue where its queries are."""
        if not queue.is_in_test():
            return None
        many: Any = asgiref.sync_to_async(client.store_many)(jobs)
        return many  # type: ignore[no-any-return]

    def is_in_test(self) -> bool:
        """Return whether this is Django's test environment."""
        return queue.is_in_test()


def _awaited() -> Any:  # noqa: ANN401 - Django's
    """Return the connection for whose commit an enqueue waits, None if for none."""
    elsewhere = queue.is_elsewhere()
    if not elsewhere and queue.alias() == db.DEFAULT_DB_ALIAS:
        return None
    default = db.connections[db.DEFAULT_DB_ALIAS]
    joins = not elsewhere and queue.connection().in_atomic_block
    return default if default.in_atomic_block and not joins else None
