"""Jobs that wait for a commit, and their enqueue once their library reports it.

The report proves nothing: PostgreSQL answers the COMMIT of a transaction in which a statement
has failed with ROLLBACK, no driver raises, and the libraries take it for a commit. So in a
transaction of PostgreSQL, its id is read when the job is accepted, and the outcome of that id
before the job is enqueued.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jobsd.errors import AfterCommitError, EnqueueError, Error
from jobsd.jobs.draft import Draft, EnqueuedJob

from . import client
from .connections import ask

Query = Callable[[str], Any]
"""Sends a statement to the server of the transaction; returns the one value it answers."""

Put = Callable[[Sequence[Draft]], Iterable[EnqueuedJob]]
"""Enqueues all jobs or none."""

# No newer functions (pg_current_xact_id): the caller's server may be older than ours.
_ASK_ID = "SELECT CASE WHEN NOT pg_is_in_recovery() THEN txid_current() END"
_ASK_END = "SELECT txid_status({})"


@dataclass(slots=True, weakref_slot=True, eq=False)
class Pending:
    """A job that waits for a commit, and what its caller was given for it.

    `transaction` is the id of its transaction, None if that is not one of PostgreSQL.
    """

    draft: Draft
    handle: EnqueuedJob
    transaction: int | None = None

    def ask_transaction(self, query: Query, given: object) -> None:
        """Ask in the transaction of `given` which one it is.

        Raises:
            EnqueueError: when it has failed already; the cause is the library's error.
            Error: on a standby, which commits nothing.
        """
        self.transaction = ask(lambda _: query(_ASK_ID), given)
        if self.transaction is None:
            raise Error("after_commit: this server is a standby, which commits nothing")


def store(drafts: Sequence[Draft]) -> Iterable[EnqueuedJob]:
    """Enqueue all of them or none."""
    if len(drafts) > 1:
        return client.store_many(drafts, waits=False)
    return [client.enqueue(drafts[0], surrounded=False, waits=False)]


def settle(jobs: Sequence[Pending], query: Query, put: Put = store) -> None:
    """Enqueue together the jobs whose transaction the server has committed.

    `query` must not run in that transaction any more; `put` enqueues the jobs. A job whose
    transaction was rolled back stays as it is.

    Raises:
        AfterCommitError: holding all of them, when the server or the queue can't be asked.
    """
    try:
        committed = _committed({job.transaction for job in jobs}, query)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise AfterCommitError(_drafts(jobs), reason, doubt="commit") from error
    if survivors := [job for job in jobs if job.transaction in committed]:
        _enqueue(survivors, put)


def _committed(transactions: set[int | None], query: Query) -> set[int | None]:
    """Return the committed ids, and None if given: without an id the library is believed.

    Raises:
        Error: when the server does not know, or not yet.
    """
    committed: set[int | None] = {None}
    for transaction in transactions - {None}:
        end = query(_ASK_END.format(transaction))
        if end == "committed":
            committed.add(transaction)
        elif end != "aborted":
            raise Error(f"the server says of transaction {transaction}: {end or 'unknown'}")
    return committed


def _enqueue(jobs: Sequence[Pending], put: Put) -> None:
    drafts = _drafts(jobs)
    try:
        done = put(drafts)
    except Error as error:
        known = not isinstance(error, EnqueueError) or error.known
        doubt: Literal["", "jobs"] = "" if known else "jobs"
        raise AfterCommitError(drafts, str(error), doubt=doubt) from error
    for job, one in zip(jobs, done, strict=True):
        job.handle.id, job.handle.state = one.id, one.state
        job.handle.created_at = one.created_at


def _drafts(jobs: Sequence[Pending]) -> list[Draft]:
    return [job.draft for job in jobs]
