"""Jobs that wait for the commit of a Django connection, all of one transaction together.

`on_commit` takes one function for each job, so that Django drops those of a savepoint that
is rolled back. When a function raises, it forgets all that were to follow. So which jobs
have survived must be known before the first function runs: we stand before
`run_and_clear_commit_hooks` of this one connection until it is called.

Invariant: they are stored where the first of them stands among the other functions, at the
latest when one of those has raised.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .commit_watch import Pending

    Done = Callable[[Sequence[Pending]], None]

_RUN = "run_and_clear_commit_hooks"


class _Follower:
    """Passes on the jobs that have survived with it, which the first of them has done."""

    def __init__(self, job: Pending, done: Done) -> None:
        self.together = [job]
        self._done = done

    def __call__(self) -> None:
        jobs = self.together[:]
        self.together.clear()
        self._done(jobs)


def wait(connection: Any, job: Pending, done: Done) -> None:  # noqa: ANN401 - Django's
    """Have `done` called with a job, and with those beside it, once an atomic block commits.

    Raises:
        Exception: Django's own, where transactions are managed by hand.
    """
    connection.on_commit(_Follower(job, done))
    run = getattr(connection, _RUN)
    # A rollback runs nothing: what stood there stays for the next transaction.
    if getattr(run, "func", None) is not _run:
        setattr(connection, _RUN, functools.partial(_run, connection, run))


def _run(connection: Any, run: Callable[[], None]) -> None:  # noqa: ANN401
    connection.validate_no_atomic_block()
    # At first: the functions may have atomic blocks of their own, and jobs in these.
    delattr(connection, _RUN)
    functions = [entry[1] for entry in connection.run_on_commit]
    followers = [one for one in functions if isinstance(one, _Follower)]
    together = [job for one in followers for job in one.together]
    for one in followers:
        one.together = together
    try:
        run()
    finally:
        for one in followers[:1]:
            one()
