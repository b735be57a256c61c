"""The psycopg connection behind whatever a caller's transaction runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.rows import tuple_row

from jobsd.errors import EnqueueError, Error

if TYPE_CHECKING:
    from collections.abc import Callable

_WANTED = (
    "give a psycopg connection, a SQLAlchemy Session or Connection, or a Django connection,"
    " over psycopg 3 and not asynchronous"
)


NOT_GIVEN: object = ...
"""What `connection` and `after_commit` are where nobody gives them: None is a mistake."""


def psycopg_connection(given: object) -> psycopg.Connection[Any]:
    """Return the psycopg connection of a psycopg, SQLAlchemy or Django connection or session.

    Neither library is imported: who passes such an object has done so. What its library
    counts as a transaction has begun when this returns.

    Raises:
        Error: when there is no psycopg 3 connection behind it.
        EnqueueError: when the library doesn't give it: it is closed, or its transaction
            has failed. The cause is the library's error.
    """
    require_one(given)
    if not is_asynchronous(given):
        for find in (_itself, _behind_django, _behind_sqlalchemy):
            raw = ask(find, given)
            if _is_psycopg(raw):
                return raw
            if is_asynchronous(raw):
                break
        else:
            raise Error(f"{name_of(given)} leads to no psycopg 3 connection: {_WANTED}")
    raise Error(f"{name_of(given)} is asynchronous: {_WANTED}")


def require_one(given: object) -> None:
    """Return when a connection was given.

    Raises:
        Error: for None, which is somebody's mistake.
    """
    if given is None:
        raise Error(
            "the connection given is None: give that of your transaction, or leave it out"
        )


class PlainCursor(psycopg.Cursor[tuple[Any, ...]]):
    """A cursor that is as ours are, whatever the caller's connection makes of its own.

    Rows are tuples, the server binds the parameters, and types are adapted as psycopg does
    it: a caller may have taught the connection to read moments without their zone.
    """

    _plain = AdaptersMap(psycopg.adapters)

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        super().__init__(connection, row_factory=tuple_row)

    @property
    def adapters(self) -> AdaptersMap:
        """Psycopg's own ways to read and write types."""
        return self._plain


def ask(question: Callable[[Any], Any], given: object) -> Any:  # noqa: ANN401 - the library's
    """Return what a library answers of its connection.

    Raises:
        EnqueueError: when it raises, whatever it raises.
    """
    try:
        return question(given)
    except Exception as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise EnqueueError(
            f"the job was not enqueued: {name_of(given)} refuses its connection: {told}",
        ) from error


def is_asynchronous(given: object) -> bool:
    """Return whether it is an asynchronous connection or session of psycopg or SQLAlchemy."""
    if isinstance(given, psycopg.AsyncConnection):
        return True
    return any(
        kind.__module__.startswith("sqlalchemy.ext.asyncio") for kind in type(given).__mro__
    )


def name_of(given: object) -> str:
    """Return what kind of object it is."""
    return f"{type(given).__module__}.{type(given).__qualname__}"


def is_django(given: object) -> bool:
    """Return whether it is a connection of Django, or the proxy that leads to one."""
    return hasattr(given, "ensure_connection") and hasattr(given, "on_commit")


def session_of(given: Any) -> Any:  # noqa: ANN401 - SQLAlchemy's
    """Return the SQLAlchemy Session that it is, or leads to in this thread, or None."""
    if callable(registry := getattr(given, "registry", None)):
        given = registry()
    is_session = hasattr(given, "begin_nested") and callable(getattr(given, "connection", None))
    return given if is_session else None


def is_sqlalchemy(given: object) -> bool:
    """Return whether it is a Connection of SQLAlchemy."""
    return hasattr(given, "get_nested_transaction") and session_of(given) is None


def _itself(given: object) -> object:
    return given


def _is_psycopg(given: object) -> TypeGuard[psycopg.Connection[Any]]:
    return isinstance(given, psycopg.Connection)


def _behind_django(given: Any) -> Any:  # noqa: ANN401 - Django's wrapper, if it is one
    if not is_django(given):
        return None
    # As its own cursors do: another thread's connection, or a transaction that is broken
    # and will be rolled back, is nothing to write through.
    given.validate_thread_sharing()
    given.validate_no_broken_transaction()
    given.ensure_connection()
    return given.connection


def _behind_sqlalchemy(given: Any) -> Any:  # noqa: ANN401 - a Session or a Connection
    session = session_of(given)
    if session is not None:
        given = session.connection()
    if not is_sqlalchemy(given):
        return None
    raw = given.connection.driver_connection
    # Else its `commit` would do nothing: it knows only of what went through itself.
    if not given.in_transaction():
        given.begin()
    return raw


def begin(connection: psycopg.Connection[Any]) -> None:
    """Begin the transaction that the caller's next statement would begin.

    A block of psycopg's, when it is the first thing on a connection, commits at its end:
    what is stored in one would be no part of the caller's transaction. And psycopg 3.2 never
    leaves one that could not begin since the transaction has failed.

    Raises:
        EnqueueError: when the server refuses.
    """
    status = connection.info.transaction_status
    idle = status == psycopg.pq.TransactionStatus.IDLE
    failed = status == psycopg.pq.TransactionStatus.INERROR
    if failed or (idle and not connection.autocommit):
        ask(lambda raw: PlainCursor(raw).execute("SELECT"), connection)
