"""Finds the driver's connection behind the object on which a caller's transaction runs."""

from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.rows import tuple_row

from jobsd.errors import EnqueueError, Error


def connection_behind(given: object) -> tuple[Any, object]:
    """Return SQLAlchemy's Connection if this is or has one, or None; and the driver's.

    When this returns, the library counts the transaction as begun.

    Raises:
        EnqueueError: when the library refuses its connection, which is closed or whose
            transaction has failed. The cause is the library's error.
    """
    if is_django(given):
        return None, ask(_behind_django, given)
    connection = ask(_sqlalchemy_connection, given)
    if connection is None:
        return None, given
    return connection, ask(_behind_sqlalchemy, connection)


def require_one(given: object) -> None:
    """Refuse None in place of a connection: it is a mistake of the caller.

    Raises:
        Error: for None.
    """
    if given is None:
        raise Error(
            "connection is None: give the connection of your transaction, or leave it out"
        )


_PLAIN = AdaptersMap(psycopg.adapters)


class PlainCursor(psycopg.Cursor[tuple[Any, ...]]):
    """A cursor on a caller's connection that works like ours, whatever is configured there.

    Rows are tuples, the server binds the parameters, and types are adapted by psycopg's
    defaults: a caller may have registered a loader of timestamps that drops their zone.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        super().__init__(connection, row_factory=tuple_row)

    @property
    def adapters(self) -> AdaptersMap:
        """Psycopg's own ways to read and write types."""
        return _PLAIN


class PlainAsyncCursor(psycopg.AsyncCursor[tuple[Any, ...]]):
    """The same cursor for an asynchronous connection."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        super().__init__(connection, row_factory=tuple_row)

    @property
    def adapters(self) -> AdaptersMap:
        """Psycopg's own ways to read and write types."""
        return _PLAIN


def ask(question: Callable[[Any], Any], given: object) -> Any:  # noqa: ANN401 - the library's
    """Return the result of a call on a library's object.

    Raises:
        EnqueueError: when the question raises, whatever it raises.
    """
    try:
        return question(given)
    except Exception as error:
        raise EnqueueError(f"the job was not enqueued: {refusal(given, error)}") from error


def refusal(given: object, error: BaseException) -> str:
    """Return the message that a library's object refuses its connection, and why."""
    message = " ".join(str(error).split()) or type(error).__name__
    return f"{name_of(given)} refuses its connection: {message}"


def is_asynchronous(given: object) -> bool:
    """Return whether it is an asynchronous connection or session of any library."""
    if isinstance(given, psycopg.AsyncConnection) or is_asyncpg(given):
        return True
    return is_asynchronous_sqlalchemy(given)


def is_asynchronous_sqlalchemy(given: object) -> bool:
    """Return whether it is an AsyncSession or AsyncConnection, or what leads to one."""
    return is_of(given, "sqlalchemy.ext.asyncio")


def is_asyncpg(given: object) -> bool:
    """Return whether it is a connection of asyncpg, or one lent by its pool."""
    return is_of(given, "asyncpg") and hasattr(given, "fetch")


def is_of(given: object, package: str) -> bool:
    """Return whether a class of this object is defined in a package; nothing is loaded."""
    return any(f"{kind.__module__}.".startswith(f"{package}.") for kind in type(given).__mro__)


async def run_sync(given: Any, work: Callable[[Any], Any]) -> Any:  # noqa: ANN401
    """Run work for an ordinary Session or Connection on the one behind an asynchronous one."""
    if callable(registry := getattr(given, "registry", None)):
        given = registry()
    return await given.run_sync(work)


def name_of(given: object) -> str:
    """Return the full name of the object's class."""
    return f"{type(given).__module__}.{type(given).__qualname__}"


def is_django(given: object) -> bool:
    """Return whether it is a connection of Django, or the proxy that leads to one."""
    return hasattr(given, "ensure_connection") and hasattr(given, "on_commit")


def session_of(given: Any) -> Any:  # noqa: ANN401 - SQLAlchemy's
    """Return the Session of SQLAlchemy that this is, or that it gives this thread, or None."""
    if callable(registry := getattr(given, "registry", None)):
        given = registry()
    is_session = hasattr(given, "begin_nested") and callable(getattr(given, "connection", None))
    return given if is_session else None


def is_sqlalchemy(given: object) -> bool:
    """Return whether it is a Connection of SQLAlchemy."""
    return hasattr(given, "get_nested_transaction") and session_of(given) is None


def _behind_django(given: Any) -> Any:  # noqa: ANN401 - Django's wrapper, if it is one
    # Django's own cursors check the same: nothing may be written through a connection of
    # another thread, or in a broken transaction that will be rolled back.
    given.validate_thread_sharing()
    given.validate_no_broken_transaction()
    given.ensure_connection()
    return given.connection


def _sqlalchemy_connection(given: Any) -> Any:  # noqa: ANN401 - a Session or a Connection
    session = session_of(given)
    if session is not None:
        given = session.connection()
    return given if is_sqlalchemy(given) else None


def _behind_sqlalchemy(connection: Any) -> Any:  # noqa: ANN401 - a Connection
    raw = connection.connection.driver_connection
    # Without this, SQLAlchemy's `commit` would do nothing: it sees only its own statements.
    if not connection.in_transaction():
        connection.begin()
    return raw


def begin(connection: psycopg.Connection[Any]) -> None:
    """Begin the transaction that the caller's next statement would begin.

    psycopg's `transaction()` commits at its end if no transaction was open before it: its rows
    would not be part of the caller's transaction. And psycopg 3.2 never leaves such a block if
    it could not begin because the transaction had failed.

    Raises:
        EnqueueError: when the server refuses.
    """
    if has_to_begin(connection):
        ask(lambda raw: PlainCursor(raw).execute("SELECT"), connection)


def has_to_begin(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    """Return whether `begin` has something to do."""
    status = connection.info.transaction_status
    if status == psycopg.pq.TransactionStatus.INERROR:
        return True
    return status == psycopg.pq.TransactionStatus.IDLE and not connection.autocommit
