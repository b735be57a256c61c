"""The connection behind whatever a caller's transaction runs on."""

from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.rows import tuple_row

from jobsd.errors import EnqueueError, Error


def connection_behind(given: object) -> tuple[Any, object]:
    """Return the Connection of SQLAlchemy that is given, or None, and that of the driver.

    What a library counts as a transaction has begun when this returns.

    Raises:
        EnqueueError: when the library doesn't give it: it is closed, or its transaction
            has failed. The cause is the library's error.
    """
    if is_django(given):
        return None, ask(_behind_django, given)
    connection = ask(_sqlalchemy_connection, given)
    if connection is None:
        return None, given
    return connection, ask(_behind_sqlalchemy, connection)


def require_one(given: object) -> None:
    """Return when a connection was given.

    Raises:
        Error: for None, which is somebody's mistake.
    """
    if given is None:
        raise Error(
            "connection is None: give the connection of your transaction, or leave it out"
        )


_PLAIN = AdaptersMap(psycopg.adapters)


class PlainCursor(psycopg.Cursor[tuple[Any, ...]]):
    """A cursor that is as ours are, whatever the caller's connection makes of its own.

    Rows are tuples, the server binds the parameters, and types are adapted as psycopg does
    it: a caller may have taught the connection to read moments without their zone.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        super().__init__(connection, row_factory=tuple_row)

    @property
    def adapters(self) -> AdaptersMap:
        """Psycopg's own ways to read and write types."""
        return _PLAIN


class PlainAsyncCursor(psycopg.AsyncCursor[tuple[Any, ...]]):
    """The same of an asynchronous connection."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        super().__init__(connection, row_factory=tuple_row)

    @property
    def adapters(self) -> AdaptersMap:
        """Psycopg's own ways to read and write types."""
        return _PLAIN


def ask(question: Callable[[Any], Any], given: object) -> Any:  # noqa: ANN401 - the library's
    """Return what a library answers of its connection.

    Raises:
        EnqueueError: when it raises, whatever it raises.
    """
    try:
        return question(given)
    except Exception as error:
        message = " ".join(str(error).split()) or type(error).__name__
        raise EnqueueError(
            f"the job was not enqueued: {name_of(given)} refuses its connection: {message}",
        ) from error


def is_asynchronous(given: object) -> bool:
    """Return whether it is an asynchronous connection or session of any library."""
    if isinstance(given, psycopg.AsyncConnection) or is_asyncpg(given):
        return True
    return is_asynchronous_sqlalchemy(given)


def is_asynchronous_sqlalchemy(given: object) -> bool:
    """Return whether it is an AsyncSession or AsyncConnection, or what leads to one."""
    return is_of(given, "sqlalchemy.ext.asyncio")


def is_asyncpg(given: object) -> bool:
    """Return whether it is a connection of asyncpg, or one that its pool has lent."""
    return is_of(given, "asyncpg") and hasattr(given, "fetch")


def is_of(given: object, package: str) -> bool:
    """Return whether a package, which need not be loaded, defines what this is."""
    return any(f"{kind.__module__}.".startswith(f"{package}.") for kind in type(given).__mro__)


async def run_sync(given: Any, work: Callable[[Any], Any]) -> Any:  # noqa: ANN401
    """Do the work of an ordinary Session or Connection with an asynchronous one."""
    if callable(registry := getattr(given, "registry", None)):
        given = registry()
    return await given.run_sync(work)


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


def _behind_django(given: Any) -> Any:  # noqa: ANN401 - Django's wrapper, if it is one
    # As its own cursors do: another thread's connection, or a transaction that is broken
    # and will be rolled back, is nothing to write through.
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
    # Else its `commit` would do nothing: it knows only of what went through itself.
    if not connection.in_transaction():
        connection.begin()
    return raw


def begin(connection: psycopg.Connection[Any]) -> None:
    """Begin the transaction that the caller's next statement would begin.

    A block of psycopg's, when it is the first thing on a connection, commits at its end:
    what is stored in one would be no part of the caller's transaction. And psycopg 3.2 never
    leaves one that could not begin since the transaction has failed.

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
