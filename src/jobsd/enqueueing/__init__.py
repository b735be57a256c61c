"""Enqueues: the client, bulk, each driver, asynchronous ones, after a commit; and waits.

The jobs that are enqueued are defined in `jobs`; `complete()` lies here since it shares the
caller's transaction.
"""

from jobsd.jobs import queue_backend

from . import on_demand

queue_backend.register(on_demand)
