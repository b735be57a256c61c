"""Jobs that wait for the commit of a Django connection, which its `on_commit` reports.

`on_commit` takes one function for each enqueue: Django drops the functions of a savepoint that
is rolled back. The others it calls one by one, and when one raises it drops all that follow.
So the first of ours that is called enqueues all jobs that have survived: only Django's own
list of functions shows which.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from .awaiting_commit import Pending, settle
from .connections import ask

_numbers = itertools.count()
_held: WeakKeyDictionary[Any, WeakValueDictionary[int, _Hook]] = WeakKeyDictionary()
"""By connection, the functions that Django holds, in the order in which it got them."""


def wait(given: Any, jobs: Sequence[Pending]) -> bool:  # noqa: ANN401 - Django's
    """Let jobs wait for the commit of the atomic block; return False when there is none.

    Raises:
        EnqueueError: when the block has failed already, or transactions are managed by hand.
    """
    if not given.in_atomic_block and given.get_autocommit():
        return False
    # Of the proxy that stands for it in each thread.
    connection = given.on_commit.__self__
    if connection.vendor == "postgresql":
        jobs[0].ask_transaction(lambda sql: _value(connection, sql), given)
        for job in jobs:
            job.transaction = jobs[0].transaction
    hook = _Hook(connection, jobs)
    ask(lambda _: connection.on_commit(hook), given)
    _held.setdefault(connection, WeakValueDictionary())[next(_numbers)] = hook
    return True


def settle_ended(connection: Any) -> None:  # noqa: ANN401 - Django's
    """Enqueue the jobs of blocks that have ended, in a test that never commits."""
    held = _held.get(connection.on_commit.__self__)
    for hook in [] if held is None else list(held.values()):
        hook()


def at_rollback(connection: Any, undo: Callable[[], None]) -> None:  # noqa: ANN401 - Django's
    """Call `undo` when the open block is rolled back; its commit forgets it.

    Django drops what waits for the commit of a block that it rolls back, without a word.
    """
    if connection.in_atomic_block:
        hook = _Forgotten()
        hook.end = weakref.finalize(hook, undo)
        hook.end.atexit = False
        connection.on_commit(hook)


class _Forgotten:
    """What Django calls at a commit, and drops at a rollback."""

    end: weakref.finalize[..., Any]

    def __call__(self) -> None:
        self.end.detach()


class _Hook:
    """What Django calls at the commit, for the jobs of one enqueue."""

    def __init__(self, connection: Any, jobs: Sequence[Pending]) -> None:  # noqa: ANN401 - Django's
        self._connection = connection
        self._jobs = jobs

    def __call__(self) -> None:
        connection = self._connection
        if connection.in_atomic_block:
            # Nothing is committed yet: a test calls the functions that it has captured.
            jobs = self.take()
            for job in jobs:
                job.transaction = None
        else:
            jobs = [job for hook in _held[connection].values() for job in hook.take()]
        settle(jobs, lambda sql: _value(connection, sql))

    def take(self) -> Sequence[Pending]:
        """Return the jobs, once."""
        jobs, self._jobs = self._jobs, ()
        return jobs


def _value(connection: Any, sql: str) -> Any:  # noqa: ANN401
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]
