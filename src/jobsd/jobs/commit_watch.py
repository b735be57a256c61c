"""How a transaction of a plain psycopg connection ended, which psycopg tells nobody.

PostgreSQL keeps the book itself: a setting changes with the transaction that sets it, and
falls back with a savepoint that is rolled back. Each job that waits writes its number into
`jobsd.after_commit` and remembers the number it found there. When the transaction is over,
the setting is read once more: its number, the one that this job had found, and so on back
are the jobs that have survived; all others were rolled back.

When it is over we learn at the connection's `wait`, through which everything goes that
psycopg asks of the server: `commit()`, blocks, `COMMIT` as a statement. It is ours only
while jobs wait.

Known limits: a transaction that is prepared for two phases counts as committed then, and
`RESET ALL` within one as a rollback. A pooler may give the session away at the commit, so it
is refused. A chain (`COMMIT AND CHAIN`, "COMMIT; BEGIN" in one string) is one transaction to
us, since `wait` sees no command tags: its jobs are stored when it ends, and nothing is when
it ends with the connection, closed or lost. To ask after each statement costs a round trip.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.pq import ExecStatus, PipelineStatus, TransactionStatus

from jobsd.errors import AfterCommitError, EnqueueError, Error

from .connections import PlainCursor
from .enqueue import EnqueuedJob, told

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGconn

    from .draft import Draft

R = TypeVar("R")

Pending = tuple["Draft", EnqueuedJob]
"""A job that waits, and what its caller was given for it."""

_ENTER = """
WITH before AS MATERIALIZED (SELECT current_setting('jobsd.after_commit', true) AS number)
SELECT coalesce(number, ''), set_config('jobsd.after_commit', %s, false)
FROM before
WHERE pg_backend_pid() = %s
"""
_LEAVE = b"""
WITH before AS MATERIALIZED (SELECT current_setting('jobsd.after_commit', true) AS number)
SELECT number, set_config('jobsd.after_commit', '', false)
FROM before
"""
_numbers = itertools.count(1)


def in_transaction(connection: psycopg.Connection[Any]) -> bool:
    """Return whether a transaction is open, be it a failed one."""
    if connection.pgconn.pipeline_status != PipelineStatus.OFF:
        # What is still under way may have begun one.
        with connection.pipeline() as pipeline:
            pipeline.sync()
    return connection.info.transaction_status != TransactionStatus.IDLE


class Watch:
    """The jobs that wait for the end of one connection's transaction.

    `done` is given what has survived, in its order, in the thread that has committed; what
    it raises, that thread gets.
    """

    def __init__(
        self, connection: psycopg.Connection[Any], done: Callable[[Sequence[Pending]], None]
    ) -> None:
        self._connection = weakref.ref(connection)
        self._wait_before: Any = vars(connection).get("wait")
        self._done = done
        self._waiting: dict[str, tuple[Pending, str]] = {}
        vars(connection)["wait"] = self.wait

    @classmethod
    def of(
        cls, connection: psycopg.Connection[Any], done: Callable[[Sequence[Pending]], None]
    ) -> Watch:
        """Return the watch over a connection, set up when there is none."""
        with connection.lock:
            there = getattr(vars(connection).get("wait"), "__self__", None)
            return there if isinstance(there, Watch) else cls(connection, done)

    def add(self, connection: psycopg.Connection[Any], waiting: Pending) -> None:
        """Let a job wait for the commit of the transaction that is open.

        Raises:
            EnqueueError: when the transaction has failed; the cause is the driver's error.
            Error: when a pooler stands between.
        """
        number = str(next(_numbers))
        try:
            parameters = (number, connection.info.backend_pid)
            row = PlainCursor(connection).execute(_ENTER, parameters).fetchone()
        except psycopg.Error as error:
            self._remove_if_idle(connection)
            raise EnqueueError(told(error)) from error
        if row is None:
            self._remove_if_idle(connection)
            raise Error(
                "after_commit: a pooler stands between this connection and the server, so"
                " how its transaction ends can't be told; enqueue after the commit",
            )
        self._waiting[number] = (waiting, row[0])

    def wait(self, gen: PQGen[R], *args: Any, **kwargs: Any) -> R:  # noqa: ANN401 - psycopg's
        """Do what the connection's `wait` does; then look whether the transaction is over."""
        connection = self._connection()
        assert connection is not None  # noqa: S101 - it has called
        inner = self._wait_before or functools.partial(type(connection).wait, connection)
        try:
            waited: R = inner(gen, *args, **kwargs)
            return waited
        finally:
            self._look(connection)

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        status = connection.pgconn.transaction_status
        if not self._waiting or status not in {
            TransactionStatus.IDLE,
            TransactionStatus.UNKNOWN,
        }:
            return
        with _unpiped(connection.pgconn) as alone:
            if not alone:
                return
            waiting, self._waiting = self._waiting, {}
            self._remove_if_idle(connection)
            # A connection that is lost has rolled back; whether it was lost with the answer
            # to a commit only psycopg's error tells, which is on its way.
            lost = status == TransactionStatus.UNKNOWN
            survived = [] if lost else _survivors(connection.pgconn, waiting)
        self._done(survived)

    def _remove_if_idle(self, connection: psycopg.Connection[Any]) -> None:
        if self._waiting or vars(connection).get("wait") != self.wait:
            return
        if self._wait_before is None:
            del vars(connection)["wait"]
        else:
            vars(connection)["wait"] = self._wait_before


def _survivors(pgconn: PGconn, waiting: dict[str, tuple[Pending, str]]) -> list[Pending]:
    result = pgconn.exec_(_LEAVE)
    if result.status != ExecStatus.TUPLES_OK:
        cause = psycopg.OperationalError(pgconn.get_error_message())
        drafts = [drafted for (drafted, _), _ in waiting.values()]
        told_by_server = " ".join(str(cause).split())
        reason = f"the server can't be asked how it ended: {told_by_server}"
        raise AfterCommitError(drafts, reason, known=False) from cause
    number = (result.get_value(0, 0) or b"").decode()
    survived: list[Pending] = []
    while number in waiting:
        one, number = waiting[number]
        survived.append(one)
    return survived[::-1]


@contextlib.contextmanager
def _unpiped(pgconn: PGconn) -> Generator[bool]:
    """Leave the pipeline mode for a moment; gives False when something is still under way."""
    if pgconn.pipeline_status == PipelineStatus.OFF:
        yield True
        return
    try:
        pgconn.exit_pipeline_mode()
    except psycopg.Error:
        yield False
        return
    try:
        yield True
    finally:
        pgconn.enter_pipeline_mode()
