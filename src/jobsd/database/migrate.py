"""Brings the tables to the version that this program speaks.

The steps are numbered SQL files. They are applied one after the other, each in its own
transaction, by one program at a time (an advisory lock that ends with the transaction,
so that it holds through a transaction pooler too). A step locks all the tables that it changes
at once or none (`schema_locks`), so that no enqueue waits behind it for long.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors, sql

from jobsd.clock import monotonic
from jobsd.errors import SchemaError

from . import schema_locks
from .connection import Session
from .grants import REMEDY
from .statements import Statement
from .steps import Migration, body, bookkeeping, latest_version, migrations, newest_supported

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connection import Target

    Report = Callable[[str], None]

LOCKED_RETRY_S = 60.0
"""How long a step is tried again while another transaction holds what it changes."""
PAUSE_S = 1.0
PAUSE_MAX_S = 5.0
"""The pause between two tries, in which others can use the tables."""

_LOCK = 0x6A6F6273640001  # "jobsd", 1


def version(session: Session) -> int:
    """Return the version of the tables in the database, 0 when there are none.

    Raises:
        SchemaError: when the role may not read the table of versions.
    """
    statement = Statement(
        "version", "SELECT coalesce(max(version), 0) FROM jobsd.schema_migrations"
    )
    try:
        return int(session.fetch(statement)[0][0])
    except (errors.UndefinedTable, errors.InvalidSchemaName):
        return 0
    except errors.InsufficientPrivilege as error:
        message = f"the tables can't be read: {_first_line(error)}: {REMEDY}"
        raise SchemaError(message, remedy="") from error


def require(session: Session) -> None:
    """Return when this program can work with the tables: its own, or those of the next one.

    Raises:
        SchemaError: when the tables are missing, outdated or too new.
    """
    found = version(session)
    refuse_too_new(session.target.schema, found)
    if found < latest_version():
        raise SchemaError(_outdated(session.target.schema, found))


def refuse_too_new(schema: str, found: int) -> None:
    """Return unless the tables are newer than those that this program can know.

    Raises:
        SchemaError: when they are.
    """
    if found > newest_supported():
        message = (
            f"the tables in schema {schema!r} are at version {found}, and this program works"
            f" with versions {latest_version()} to {newest_supported()}: install a newer jobsd"
        )
        raise SchemaError(message, remedy="")


def missing(session: Session) -> list[str]:
    """Return the names of the steps that the tables lack, in order; changes nothing."""
    found = version(session)
    return [f"{step.version:04d}_{step.name}" for step in migrations() if step.version > found]


def _ignore(_message: str) -> None:
    pass


def migrate(target: Target, report: Report = _ignore) -> list[str]:
    """Apply the steps that are missing and return their names; none when none is missing.

    `report` is called once with a sentence about the transaction that keeps a step waiting.

    Raises:
        psycopg.errors.LockNotAvailable: naming the process that has held for a minute what a
            step changes.
        SchemaError: when the schema is too new, or it is outdated and this role may not
            change it, or the database can't hold every text.
        psycopg.OperationalError: when the database can't be reached.
    """
    session = Session(target, "jobsd migrate", deadline_s=600.0)
    try:
        found = version(session)
        refuse_too_new(target.schema, found)
        if found >= latest_version():
            return []
        _require_unicode(session)
        return _apply_all(session, found, report)
    finally:
        session.close()


def _require_unicode(session: Session) -> None:
    """Return when the database can hold every text: arguments and errors may have any."""
    encoding = session.connection.info.parameter_status("server_encoding")
    if encoding not in {"UTF8", None}:
        raise SchemaError(
            f"the database stores text as {encoding}, in which not every text can be written:"
            " use a database that was created with ENCODING 'UTF8'"
        )


def _apply_all(session: Session, found: int, report: Report) -> list[str]:
    try:
        return [
            f"{step.version:04d}_{step.name}"
            for step in migrations()
            if step.version > found and _apply(session, step, report)
        ]
    except errors.InsufficientPrivilege as error:
        message = _outdated(session.target.schema, found)
        raise SchemaError(f"{message} This role may not: {_first_line(error)}") from error


def _apply(session: Session, step: Migration, report: Report) -> bool:
    """Apply a step, and try again while another transaction holds what it changes."""
    end, pause_s = monotonic() + LOCKED_RETRY_S, PAUSE_S
    while True:
        try:
            return _try(session, step)
        except errors.LockNotAvailable as error:
            tables = schema_locks.changed_tables(step.text)
            holder = schema_locks.holder(session.connection, session.target.schema, tables)
            message = f"step {step.version:04d} can't change the tables: {holder} holds them"
            if monotonic() >= end:
                raise errors.LockNotAvailable(message) from error
        report(message)
        report = _ignore
        time.sleep(pause_s)
        pause_s = min(PAUSE_MAX_S, pause_s * 2)


def _try(session: Session, step: Migration) -> bool:
    connection, schema = session.connection, session.target.schema
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,), prepare=False)
        # Another program may have applied it while we waited for the lock.
        if version_within(connection, schema) >= step.version:
            return False
        if step.version == 1:
            connection.execute(bookkeeping(schema).encode(), prepare=False)
        schema_locks.take(connection, schema, schema_locks.changed_tables(step.text))
        connection.execute(body(step, schema).encode(), prepare=False)
    return True


def version_within(connection: psycopg.Connection[tuple[Any, ...]], schema: str) -> int:
    """Return the version without an error when there is no table: inside a transaction."""
    table = sql.Identifier(schema, "schema_migrations").as_string(None)
    there = connection.execute("SELECT to_regclass(%s)", (table,), prepare=False).fetchone()
    if there is None or there[0] is None:
        return 0
    query = sql.SQL("SELECT coalesce(max(version), 0) FROM {}").format(
        sql.Identifier(schema, "schema_migrations"),
    )
    row = connection.execute(query, prepare=False).fetchone()
    return 0 if row is None else int(row[0])


def _outdated(schema: str, found: int) -> str:
    state = f"are at version {found}" if found else "are missing"
    return (
        f"the tables in schema {schema!r} {state}, version {latest_version()} is needed:"
        " run `db migrate` with a role that may create them."
    )


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0]
