"""Sends our statements through a caller's connection, and reads the errors of its driver.

Psycopg 3 takes them as our own connections do. Every other driver gets each parameter as a
text, which the statement casts, and answers with numbers, truth values and texts: so the types
that it knows do not matter. No library is imported: a program that passes a connection has
imported its library.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

import psycopg
from psycopg.abc import PQGen
from psycopg.copy import LibpqWriter
from psycopg.errors import error_from_result
from psycopg.generators import fetch_many
from psycopg.pq import ExecStatus, PipelineStatus
from psycopg.pq.abc import PGconn
from psycopg.waiting import Wait

from jobsd.database.statements import Statement, as_text
from jobsd.errors import Error

from . import connections

Parameters = Mapping[str, Any]
Rows = Sequence[Sequence[Any]]
NO_PARAMETERS: Parameters = {}

_IDLE = psycopg.pq.TransactionStatus.IDLE

_LOST = {"OperationalError", "InterfaceError", "DeadlineError"}
"""Names of errors, since drivers are not imported; the last one is ours."""

WANTED = (
    "give a connection of psycopg, psycopg2 or pg8000, a SQLAlchemy Session or Connection,"
    " or a Django connection, to PostgreSQL"
)


class Driver(Protocol):
    """A caller's connection, as the statements of an enqueue need it."""

    schema: str

    def fetch(self, statement: Statement, parameters: Parameters) -> Rows:
        """Run one statement and return its rows."""
        ...


def driver_of(given: object, schema: str) -> Driver:
    """Return what sends statements through a connection or session of any library.

    What its library counts as a transaction has begun when this returns.

    Raises:
        Error: when there is no connection to PostgreSQL behind it, or an asynchronous one.
        EnqueueError: when the library doesn't give it: it is closed, or its transaction
            has failed. The cause is the library's error.
    """
    if isinstance(given, psycopg.Connection):
        return PsycopgDriver(given, schema)  # pyright: ignore[reportUnknownArgumentType]
    connections.require_one(given)
    if connections.is_asynchronous(given):
        raise Error(
            f"{connections.name_of(given)} is asynchronous: await"
            " job.using(connection=…).aenqueue(…), or aenqueue_many(…, connection=…)"
        )
    connection, raw = connections.connection_behind(given)
    if isinstance(raw, psycopg.Connection):
        return PsycopgDriver(raw, schema)  # pyright: ignore[reportUnknownArgumentType]
    if connection is not None and connection.dialect.name == "postgresql":
        return SqlalchemyDriver(connection, schema)
    if connections.is_of(raw, "psycopg2") and hasattr(raw, "cursor"):
        return Psycopg2Driver(raw, schema)
    if connections.is_of(raw, "pg8000") and (hasattr(raw, "cursor") or hasattr(raw, "run")):
        return Pg8000Driver(raw, schema)
    raise Error(f"{connections.name_of(given)} leads to no connection to PostgreSQL: {WANTED}")


def commits_itself(driver: object) -> bool:
    """Return whether a statement is committed by itself, as no transaction is open."""
    try:
        return _commits_itself(getattr(driver, "connection", None))
    except Exception:  # noqa: BLE001 - whatever a closed connection raises: nothing is sent
        return False


def _commits_itself(raw: Any) -> bool:  # noqa: ANN401 - any driver's connection
    if isinstance(raw, psycopg.Connection | psycopg.AsyncConnection):
        return bool(raw.autocommit and raw.pgconn.transaction_status == _IDLE)
    if connections.is_sqlalchemy(raw):
        raw = raw.connection.dbapi_connection
    elif connections.is_asyncpg(raw):
        return not raw.is_closed() and not raw.is_in_transaction()
    elif connections.is_of(raw, "psycopg2"):
        return bool(raw.autocommit and raw.get_transaction_status() == _IDLE.value)
    # The own interface of pg8000 has no autocommit mode: each statement commits.
    return getattr(raw, "autocommit", connections.is_of(raw, "pg8000")) is True


class PsycopgDriver:
    """Psycopg 3: rows, parameters and types as on our own connections."""

    def __init__(self, connection: psycopg.Connection[Any], schema: str) -> None:
        self.connection = connection
        self.schema = schema

    def fetch(self, statement: Statement, parameters: Parameters = NO_PARAMETERS) -> Rows:
        """Run one statement and return its rows."""
        given = parameters if statement.has_placeholders else None
        cursor = connections.PlainCursor(self.connection)
        cursor.execute(statement.render(self.schema), given)
        # In a pipeline a cursor knows only when it fetches whether there are rows.
        has_rows = cursor.description is not None or self._is_in_pipeline()
        return cursor.fetchall() if has_rows else ()

    def _is_in_pipeline(self) -> bool:
        return self.connection.info.pipeline_status != PipelineStatus.OFF

    def copy(self, statement: Statement, pieces: Iterator[str]) -> None:
        """Run a COPY of each piece; the next one is drawn while the server stores it.

        The server stores the last thousand rows of a COPY at its end, and until then it would
        mostly wait for us; after that we would wait for it.
        """
        query = statement.render(self.schema)
        piece = next(pieces, "")
        while piece:
            cursor = connections.PlainCursor(self.connection)
            writer = _WriterAhead(cursor, pieces)
            with cursor.copy(query, writer=writer) as copy:
                copy.write(piece)
            piece = writer.drawn


class _WriterAhead(LibpqWriter):
    """Ends a COPY, and draws the next piece before it waits for the server's answer."""

    def __init__(self, cursor: psycopg.Cursor[Any], pieces: Iterator[str]) -> None:
        super().__init__(cursor)
        self._pieces = pieces
        self.drawn = ""

    def finish(self, exc: BaseException | None = None) -> None:
        if exc is not None:
            super().finish(exc)
            return
        connection = self.cursor.connection
        connection.wait(_copy_end(connection.pgconn))
        try:
            self.drawn = next(self._pieces, "")
        finally:
            (result,) = connection.wait(fetch_many(connection.pgconn))
        if result.status != ExecStatus.COMMAND_OK:
            raise error_from_result(result, connection.info.encoding)


def _copy_end(pgconn: PGconn) -> PQGen[None]:
    while pgconn.put_copy_end() == 0:
        yield Wait.W
    while pgconn.flush():
        yield Wait.W


class ForeignDriver:
    """The common part of all drivers but psycopg 3: texts go in, by the style of the driver."""

    def __init__(self, connection: Any, schema: str, style: str) -> None:  # noqa: ANN401
        self.connection = connection
        self.schema = schema
        self._style = style

    def prepare(self, statement: Statement, parameters: Parameters) -> tuple[str, Any]:
        """Return the statement, and its parameters as a dict or a tuple, as the style wants."""
        text, names = statement.in_style(self._style, self.schema)
        values = [as_text(parameters[name]) for name in names]
        if self._style in {"named", "pyformat"}:
            return text, dict(zip(names, values, strict=True))
        return text, tuple(values)


class Psycopg2Driver(ForeignDriver):
    """Psycopg 2, by a cursor that is none of the caller's kinds."""

    def __init__(self, connection: Any, schema: str) -> None:  # noqa: ANN401
        super().__init__(connection, schema, "pyformat")
        if connection.async_:
            raise Error(f"the connection of psycopg2 was opened with async_=True: {WANTED}")

    def fetch(self, statement: Statement, parameters: Parameters) -> Rows:
        """Run one statement and return its rows."""
        text, values = self.prepare(statement, parameters)
        plain = sys.modules["psycopg2.extensions"].cursor
        with self.connection.cursor(cursor_factory=plain) as cursor:
            cursor.execute(text, values or None)
            return cursor.fetchall() if cursor.description else ()


class Pg8000Driver(ForeignDriver):
    """The driver pg8000, by its own interface or by that of Python's databases."""

    def __init__(self, connection: Any, schema: str) -> None:  # noqa: ANN401
        self._native = not hasattr(connection, "cursor")
        # A user may have set another one: it is a variable of the module.
        module = sys.modules[type(connection).__module__]
        style = "named" if self._native else module.paramstyle
        super().__init__(connection, schema, style)

    def fetch(self, statement: Statement, parameters: Parameters) -> Rows:
        """Run one statement and return its rows."""
        text, values = self.prepare(statement, parameters)
        if self._native:
            return self.connection.run(text, **dict(values)) or ()
        cursor = self.connection.cursor()
        cursor.execute(text, values)
        return cursor.fetchall() if cursor.description else ()


class SqlalchemyDriver(ForeignDriver):
    """A Connection of SQLAlchemy, over whichever driver; in a greenlet, an asynchronous one."""

    def __init__(self, connection: Any, schema: str) -> None:  # noqa: ANN401
        super().__init__(connection, schema, connection.dialect.paramstyle)

    def fetch(self, statement: Statement, parameters: Parameters) -> Rows:
        """Run one statement and return its rows."""
        text, values = self.prepare(statement, parameters)
        result = self.connection.exec_driver_sql(text, values or None)
        return result.fetchall() if result.returns_rows else ()


def sqlstate(error: BaseException) -> str | None:
    """Return PostgreSQL's code of an error, or None if it is not the server's."""
    origin = _origin(error)
    for name in ("sqlstate", "pgcode"):
        if isinstance(code := getattr(origin, name, None), str):
            return code
    return _fields(origin).get("C")


def is_lost(error: BaseException) -> bool:
    """Return whether the connection is lost, and with it the answer of the server."""
    origin = _origin(error)
    if (code := sqlstate(origin)) is not None:
        return code.startswith("08")
    return type(origin).__name__ in _LOST or isinstance(origin, OSError)


def said_by(error: BaseException) -> str:
    """Return the message of an error, without the additions of its library."""
    origin = _origin(error)
    return _fields(origin).get("M") or str(origin)


def _origin(error: BaseException) -> BaseException:
    """Return the driver's error below that of SQLAlchemy, or the error itself."""
    origin = getattr(error, "orig", None)
    return origin if isinstance(origin, BaseException) else error


def _fields(error: BaseException) -> dict[str, str]:
    """Return the fields of the server's message, as pg8000 keeps them."""
    first: Any = error.args[0] if error.args else None
    return cast("dict[str, str]", first) if isinstance(first, dict) else {}
