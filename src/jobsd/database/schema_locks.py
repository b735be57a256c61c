"""The tables that a step of a migration changes: locked together and at once, or not at all.

A statement that waits for the lock of a table makes all later ones wait behind it: with one
open report, no job could be enqueued. So a step locks all of its tables in one statement,
which waits for half a second; then others can use them for a while, and it tries again. Once
it has them it waits for nothing more.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from psycopg import errors, sql

from .statements import Statements

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

WAIT = "500ms"

STATEMENTS = Statements("jobsd.database", "schema_locks.sql")
_COMMENT = re.compile(r"--[^\n]*")
_BODY = re.compile(r"\$(\w*)\$.*?\$\1\$", re.DOTALL)
# A statement that changes an existing table or view, and locks out its writers.
_CHANGED = re.compile(
    r"\b(?:(?:ALTER|DROP|TRUNCATE|LOCK)\s+(?:TABLE|VIEW)"
    r"|CREATE\s+OR\s+REPLACE\s+VIEW"
    r"|(?:CREATE\s+(?:UNIQUE\s+)?INDEX|CREATE\s+(?:CONSTRAINT\s+)?TRIGGER|DROP\s+TRIGGER)\b[^;]*?\sON"
    r"|REFERENCES"
    r")\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?jobsd\.(\w+)",
)


def changed_tables(text: str) -> list[str]:
    """Return the tables and views that a step changes, each once, in its own order."""
    statements = _BODY.sub("", _COMMENT.sub("", text))
    return list(dict.fromkeys(_CHANGED.findall(statements)))


def take(connection: Connection, schema: str, tables: list[str]) -> None:
    """Lock the tables that exist, until the end of the transaction.

    Raises:
        psycopg.errors.LockNotAvailable: when another transaction holds one of them for half
            a second.
    """
    connection.execute(f"SET LOCAL lock_timeout = '{WAIT}'".encode(), prepare=False)
    facts = {"schema": schema, "tables": tables}
    rows = connection.execute(STATEMENTS["present"].render(schema), facts, prepare=False)
    if not (there := [sql.Identifier(schema, row[0]) for row in rows]):
        return
    # A limit for all waits together: each lock could take as long by itself.
    connection.execute(f"SET LOCAL statement_timeout = '{WAIT}'".encode(), prepare=False)
    named = sql.SQL(", ").join(there)
    try:
        connection.execute(sql.SQL("LOCK TABLE {}").format(named), prepare=False)
    except errors.QueryCanceled as error:
        raise errors.LockNotAvailable(str(error)) from error
    connection.execute(b"SET LOCAL statement_timeout TO DEFAULT", prepare=False)


def holder(connection: Connection, schema: str, tables: list[str]) -> str:
    """Return which transaction holds one of the tables, in words."""
    facts = {"schema": schema, "tables": tables}
    cursor = connection.execute(STATEMENTS["holders"].render(schema), facts, prepare=False)
    row = cursor.fetchone()
    if row is None:
        return "a transaction that has ended meanwhile"
    pid, name, since_s = row
    if pid is None:
        return "a prepared transaction"
    since = f", in a transaction for {since_s:.0f} s" if since_s is not None else ""
    return f"process {pid} of the server ({name}{since})"
