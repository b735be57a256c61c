"""Makes a plain `enqueue` of a Django project part of the open transaction.

In the database of the queue it goes through Django's own connection: into the `atomic` block
of the caller, if there is one, else it is committed at once. Where the queue has a database
of its own, it waits for the commit of the default one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.jobs import after_commit, client

from . import queue
from .library import db

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.jobs.bulk import EnqueuedJobs
    from jobsd.jobs.draft import Draft
    from jobsd.jobs.enqueue import EnqueuedJob


def place(drafted: Draft) -> EnqueuedJob | None:
    """Enqueue one job as a part of the open transaction, or behind it; None to do as usual."""
    elsewhere = queue.is_elsewhere()
    if elsewhere or queue.alias() != db.DEFAULT_DB_ALIAS:
        default = db.connections[db.DEFAULT_DB_ALIAS]
        joins = not elsewhere and queue.connection().in_atomic_block
        if default.in_atomic_block and not joins:
            return after_commit.enqueue(drafted, default, surrounded=False)
    if elsewhere:
        return None
    return client.enqueue(drafted, queue.connection(), surrounded=False)


def place_many(jobs: Iterable[Draft]) -> EnqueuedJobs | None:
    """Enqueue many jobs as a part of the transaction that is open in the queue's database."""
    return None if queue.is_elsewhere() else client.store_many(jobs, queue.connection())
