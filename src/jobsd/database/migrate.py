"""Migrates the tables to the version of this program.

The steps are numbered SQL files. They are applied one after the other, each in its own
transaction, by one program at a time (an advisory lock that ends with the transaction, so that
it holds through a transaction pooler too). A step locks all the tables that it changes at once
or none (`schema_locks`), so that no enqueue waits behind it for long. It keeps the advisory
lock between two tries: otherwise the waiting programs would try in turn, and other transactions
would hardly get the tables.
"""

from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import errors, sql

from jobsd.errors import SchemaError

from . import grants, other_build, schema_locks, steps
from .connection import VERSION, Session, Target
from .schema_locks import Patience

Report = Callable[[str], None]


def version(session: Session) -> int:
    """Return the version of the tables in the database, 0 if there are none.

    Raises:
        SchemaError: if the role may not read the table of versions.
    """
    try:
        return int(session.fetch(VERSION)[0][0])
    except (errors.UndefinedTable, errors.InvalidSchemaName):
        return 0
    except errors.InsufficientPrivilege as error:
        message = f"the tables can't be read: {_first_line(error)}: {grants.REMEDY}"
        raise SchemaError(message, remedy="") from error


def require(session: Session) -> None:
    """Check that this program can work with the tables: its own, the next, or older ones.

    Raises:
        SchemaError: if the tables are missing, outdated, too new or of another build.
    """
    found = version(session)
    refuse_foreign(session, found)
    if found < steps.oldest_supported():
        raise SchemaError(_outdated(session.target.schema, found))


def recognize(session: Session) -> None:
    """Check that a running process may use the tables, whatever newer version they have.

    Raises:
        SchemaError: if the tables are missing, or older than any that it works with.
        OtherBuildError: if another build has made them.
    """
    schema = session.target.schema
    try:
        applied = other_build.applied_steps(session)
    except (errors.UndefinedTable, errors.InvalidSchemaName):
        applied = {}
    if (found := max(applied, default=0)) < steps.oldest_supported():
        raise SchemaError(_outdated(schema, found))
    other_build.refuse(schema, applied)


def refuse_foreign(session: Session, found: int) -> None:
    """Refuse tables of version `found` that this program can't know.

    Raises:
        SchemaError: if they are too old or too new.
        OtherBuildError: if another build has made them.
    """
    schema = session.target.schema
    if 0 < found < steps.first_version():
        message = (
            f"the tables in schema {schema!r} are at version {found}, from before the first"
            f" release, and this program begins with version {steps.first_version()}: let the"
            " program that made them end its jobs, then drop the schema and run `db migrate`,"
            " or set `database.schema` to the name of a new one"
        )
        raise SchemaError(message, remedy="")
    if found > steps.newest_supported():
        known = f"{steps.oldest_supported()} to {steps.newest_supported()}"
        message = (
            f"the tables in schema {schema!r} are at version {found}, and this program works"
            f" with versions {known}: install a newer jobsd"
        )
        raise SchemaError(message, remedy="")
    if found:
        other_build.refuse(schema, other_build.applied_steps(session))


def missing(session: Session) -> list[str]:
    """Return the names of the missing steps, in order; changes nothing."""
    found = version(session)
    return [step.title for step in steps.migrations() if step.version > found]


def _ignore(_message: str) -> None:
    pass


def migrate(target: Target, report: Report = _ignore) -> list[str]:
    """Apply the missing steps and return their names.

    `report` is called once with a sentence about the transaction that keeps a step waiting.

    Raises:
        psycopg.errors.LockNotAvailable: naming the process that held a table of a step when
            we had waited for a minute.
        SchemaError: if the tables are too new, too old or of another build, or they are
            outdated and this role may not change them, or the database can't hold every text.
        psycopg.OperationalError: if the database can't be reached.
    """
    session = Session(target, "jobsd migrate", deadline_s=600.0)
    try:
        found = version(session)
        refuse_foreign(session, found)
        if found >= steps.latest_version():
            return []
        _require_unicode(session)
        applied = _apply_all(session, found, Patience(report))
        # A program of another build may have migrated meanwhile.
        other_build.refuse(target.schema, other_build.applied_steps(session))
        return applied
    finally:
        session.close()


def bring_up(target: Target, report: Report = _ignore) -> list[str]:
    """Migrate for a program that starts, which also works with the release before's tables.

    If this role may not migrate, and the tables are older ones that this program knows, that is
    reported, and they stay unchanged.
    """
    try:
        return migrate(target, report)
    except SchemaError as error:
        session = Session(target, "jobsd migrate")
        try:
            require(session)
        except SchemaError:
            raise error from None
        finally:
            session.close()
        report(str(error))
        return []


def _require_unicode(session: Session) -> None:
    """Check that the database can hold every text: arguments and errors may have any."""
    encoding = session.connection.info.parameter_status("server_encoding")
    if encoding not in {"UTF8", None}:
        raise SchemaError(
            f"the database stores text as {encoding}, in which not every text can be written:"
            " use a database that was created with ENCODING 'UTF8'"
        )


def _apply_all(session: Session, found: int, patience: Patience) -> list[str]:
    try:
        return [
            step.title
            for step in steps.migrations()
            if step.version > found and _apply(session, step, patience)
        ]
    except errors.InsufficientPrivilege as error:
        message = _outdated(session.target.schema, found)
        raise SchemaError(f"{message} This role may not: {_first_line(error)}") from error


def _apply(session: Session, step: steps.Migration, patience: Patience) -> bool:
    """Apply a step in a transaction, unless another program has applied it meanwhile."""
    connection, schema = session.connection, session.target.schema
    with connection.transaction():
        schema_locks.be_alone(connection, schema, patience)
        if version_within(connection, schema) >= step.version:
            return False
        if step.version == steps.first_version():
            connection.execute(steps.bookkeeping(schema).encode(), prepare=False)
        tables = schema_locks.changed_tables(step.text)
        schema_locks.take(connection, schema, tables, patience)
        connection.execute(steps.body(step, schema).encode(), prepare=False)
    return True


def version_within(connection: psycopg.Connection[tuple[Any, ...]], schema: str) -> int:
    """Return the version, 0 without an error if there is no table: inside a transaction."""
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
        f"the tables in schema {schema!r} {state}, version {steps.latest_version()} is needed:"
        " run `db migrate` with a role that may create them."
    )


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0]
