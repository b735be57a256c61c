"""Enqueueing once another transaction has committed: where the queue has its own database.

Until then a job is in the memory of this program only. A transaction that is rolled back
takes its jobs with it, and so does a savepoint. What has survived is stored through a
connection of ours, all jobs of one transaction together where its library lets us.

Who knows how a transaction ended: Django's `on_commit` (see `django_commit`), the events of
a SQLAlchemy Session, and for psycopg, which has neither, the server (see `commit_watch`). A
SQLAlchemy Connection is watched through the psycopg connection below it, and so is a
Session upon a Connection, since the commit that counts may be that of the Connection.

Invariant: what was committed is stored, or the one who committed gets `AfterCommitError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsd.errors import AfterCommitError, Error

from . import client, django_commit
from .commit_watch import Pending, Watch, in_transaction
from .connections import (
    ask,
    begin,
    is_asynchronous,
    is_django,
    is_sqlalchemy,
    name_of,
    psycopg_connection,
    session_of,
)
from .enqueue import EnqueuedJob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .draft import Draft

_LEDGER = "jobsd.after_commit"


def enqueue(drafted: Draft, given: object) -> EnqueuedJob:
    """Store a job once the transaction of `given` has committed; at once if there is none.

    There is none where each statement commits by itself (autocommit). Elsewhere the first
    statement begins one, and so do we: its commit is the one that is meant.

    Returns a job that is "pending" and has no id; both are filled in when it is stored.
    A job whose transaction was rolled back stays as it is.

    Raises:
        Error: when `given` can't be asked how its transaction ends.
        EnqueueError: when its transaction has failed already.
    """
    if is_asynchronous(given):
        raise Error(f"{name_of(given)} is asynchronous: after_commit wants one that is not")
    pending = EnqueuedJob(None, "pending")
    if not _wait(given, (drafted, pending)):
        return client.enqueue(drafted)
    return pending


def store(jobs: Sequence[Pending]) -> None:
    """Store jobs whose transaction has committed.

    Raises:
        AfterCommitError: holding all of them, when they can't be stored.
    """
    if not jobs:
        return
    drafts = [drafted for drafted, _ in jobs]
    try:
        several = len(jobs) > 1
        stored = client.enqueue_many(drafts) if several else [client.enqueue(drafts[0])]
    except Error as error:
        raise AfterCommitError(drafts, str(error)) from error
    for (_, pending), one in zip(jobs, stored, strict=True):
        pending.id, pending.state = one.id, one.state


def _wait(given: Any, job: Pending) -> bool:  # noqa: ANN401 - one of three libraries'
    """Let a job wait for the commit; return False when there is nothing to wait for."""
    if is_django(given):
        if not (given.in_atomic_block or not given.get_autocommit()):
            return False
        ask(lambda django: django_commit.wait(django, job, store), given)
        return True
    session = session_of(given)
    if session is not None and not _is_joined(session):
        return _SessionLedger.of(session).add(session, job)
    raw = psycopg_connection(given)
    begin(raw)
    if not in_transaction(raw):
        return False
    Watch.of(raw, store).add(raw, job)
    return True


def _is_joined(session: Any) -> bool:  # noqa: ANN401 - SQLAlchemy's
    """Return whether the transaction may be that of a psycopg connection given to a Session.

    One for two phases never is, and its commit only the Session knows.
    """
    begins = session.autobegin or session.in_transaction()
    given = session.bind
    if not begins or session.twophase or not is_sqlalchemy(given):
        return False
    return given.dialect.driver == "psycopg" and not given.dialect.is_async


class _SessionLedger:
    """The jobs that wait for the transactions and savepoints of one SQLAlchemy Session."""

    def __init__(self, session: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
        # Who passes a Session has loaded it.
        from sqlalchemy import event  # noqa: PLC0415

        self._waiting: dict[object, list[Pending]] = {}
        self._committed: object = None
        event.listen(session, "after_commit", self._on_commit)
        event.listen(session, "after_transaction_end", self._on_end)

    @classmethod
    def of(cls, session: Any) -> _SessionLedger:  # noqa: ANN401
        """Return the ledger of a session, made when it is first asked for."""
        ledger: _SessionLedger | None = session.info.get(_LEDGER)
        if ledger is None:
            ledger = session.info[_LEDGER] = cls(session)
        return ledger

    def add(self, session: Any, job: Pending) -> bool:  # noqa: ANN401
        """Let a job wait for the innermost savepoint, or the transaction, if there is one."""
        if _innermost(session) is None and session.autobegin:
            ask(lambda given: given.begin(), session)
        innermost = _innermost(session)
        if innermost is None:
            return False
        self._waiting.setdefault(innermost, []).append(job)
        return True

    def _on_commit(self, session: Any) -> None:  # noqa: ANN401
        self._committed = _innermost(session)

    def _on_end(self, session: Any, transaction: object) -> None:  # noqa: ANN401
        # Here and not at the commit: the session is free again now, whatever we raise.
        jobs = self._waiting.pop(transaction, [])
        committed, self._committed = self._committed is transaction, None
        if not committed:
            return
        outer = _innermost(session)
        if outer is not None:
            self._waiting.setdefault(outer, []).extend(jobs)
        elif jobs and is_sqlalchemy(session.bind) and session.bind.in_transaction():
            raise AfterCommitError(
                [drafted for drafted, _ in jobs],
                "the Session has joined a transaction that is still open, and that is not"
                " one of psycopg's",
                known=False,
            )
        else:
            store(jobs)


def _innermost(session: Any) -> object:  # noqa: ANN401
    return session.get_nested_transaction() or session.get_transaction()
