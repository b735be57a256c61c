"""Jobs that wait for the commit of a SQLAlchemy Session, reason by the events of that Session.

The Session must be bound to an engine: upon a Connection it may have joined a transaction that
other code commits, and a Connection reports no commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from jobsd.errors import Error
from jobsd.jobs.draft import Draft, EnqueuedJob

from .awaiting_commit import Pending, settle, store
from .connections import ask, is_sqlalchemy

INSTEAD = (
    "call enqueue behind the `with` block that commits, or give it as connection=,"
    " which makes the job a part of its transaction"
)
_LEDGER = "jobsd.after_commit"


def wait(session: Any, job: Pending) -> bool:  # noqa: ANN401 - SQLAlchemy's
    """Let a job wait for the innermost savepoint, or the transaction; False if there is none.

    Raises:
        Error: when the Session is not bound to an engine.
        EnqueueError: when its transaction has failed already.
    """
    engine = ask(lambda given: given.get_bind(), session)
    if is_sqlalchemy(engine):
        reason = "is bound to a Connection, whose transaction others may commit"
        raise Error(f"after_commit: this Session {reason}: {INSTEAD}")
    if _innermost(session) is None and session.autobegin:
        ask(lambda given: given.begin(), session)
    if _innermost(session) is None:
        return False
    if engine.dialect.name == "postgresql":
        if _commits_itself(session):
            return False
        job.ask_transaction(lambda sql: _value(session.connection(), sql), session)
    _Ledger.of(session, engine).add(session, job)
    return True


class _Ledger:
    """The jobs that wait for the transactions and savepoints of one Session."""

    def __init__(self, session: Any, engine: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
        # A program that passes a Session has loaded it.
        from sqlalchemy import event  # noqa: PLC0415

        self._engine = engine
        self._waiting: dict[object, list[Pending]] = {}
        self._committed: object = None
        # First: when another listener raises, those after it are not called.
        event.listen(session, "after_commit", self._on_commit, insert=True)
        event.listen(session, "after_transaction_end", self._on_end)

    @classmethod
    def of(cls, session: Any, engine: Any) -> _Ledger:  # noqa: ANN401
        """Return the ledger of a session, made when it is first asked for."""
        ledger: _Ledger | None = session.info.get(_LEDGER)
        if ledger is None:
            ledger = session.info[_LEDGER] = cls(session, engine)
        return ledger

    def add(self, session: Any, job: Pending) -> None:  # noqa: ANN401
        """Let a job wait for the innermost savepoint, or the transaction."""
        self._waiting.setdefault(_innermost(session), []).append(job)

    def _on_commit(self, session: Any) -> None:  # noqa: ANN401
        self._committed = _innermost(session)

    def _on_end(self, session: Any, transaction: object) -> None:  # noqa: ANN401
        # Here and not at the commit: the session is free again now, whatever we raise, and
        # its connection is back in the pool.
        jobs = self._waiting.pop(transaction, [])
        committed, self._committed = self._committed is transaction, None
        if not committed or not jobs:
            return
        if (outer := _innermost(session)) is not None:
            self._waiting.setdefault(outer, []).extend(jobs)
        else:
            put = _await_store if self._engine.dialect.is_async else store
            settle(jobs, self._ask, put)

    def _ask(self, sql: str) -> Any:  # noqa: ANN401 - whatever the column holds
        with self._engine.connect() as connection:
            return _value(connection, sql)


def _await_store(drafts: Sequence[Draft]) -> Iterable[EnqueuedJob]:
    """Do what `store` does where the commit of an AsyncSession is awaited."""
    # A program that passes an AsyncSession has loaded its dependencies.
    from sqlalchemy.util import await_only  # noqa: PLC0415

    from . import async_client  # noqa: PLC0415

    if len(drafts) > 1:
        return await_only(async_client.store_many(drafts))
    return [await_only(async_client.store(drafts[0]))]


def _value(connection: Any, sql: str) -> Any:  # noqa: ANN401
    return connection.exec_driver_sql(sql).scalar_one()


def _commits_itself(session: Any) -> bool:  # noqa: ANN401
    """Return whether each statement is committed by itself: a rollback takes nothing back."""
    raw = ask(lambda given: given.connection().connection.dbapi_connection, session)
    return getattr(raw, "autocommit", None) is True


def _innermost(session: Any) -> object:  # noqa: ANN401
    return session.get_nested_transaction() or session.get_transaction()
