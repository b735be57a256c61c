"""The locks of a migration step: the right to migrate, and the tables that it changes.

A statement that waits for the lock of a table makes all later ones wait behind it: with one
open report, no job could be enqueued. So a step locks all of its tables in one statement, or
none, and waits only briefly; then others can use them for a while, and it tries again. Once it
has them it waits no more.
"""

import re
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import psycopg
from psycopg import errors, sql

from jobsd.clock import monotonic

from .statements import Statements

Connection = psycopg.Connection[tuple[Any, ...]]

WAIT_S = 0.2
"""How long a step waits for its tables, with all later statements behind it. The server checks
for deadlocks only after a second, so no wait of ours ends another transaction."""
TURN_S = 1.0
"""How long a program waits for another one that migrates before it reports that."""
LOCKED_RETRY_S = 60.0
"""How long a migration is retried while another transaction holds its locks."""
PAUSE_S = 1.0
PAUSE_MAX_S = 5.0
"""The pause between two tries, in which others can use the tables."""

_LOCK = 0x6A6F6273640001  # "jobsd", 1

STATEMENTS = Statements("jobsd.database", "schema_locks.sql")
_COMMENT = re.compile(r"--[^\n]*")
_BODY = re.compile(r"\$(\w*)\$.*?\$\1\$", re.DOTALL)


@cache  # not compiled at once: every command that asks the database loads this module
def _changed() -> re.Pattern[str]:
    """Match a statement that changes an existing table or view, and locks out its writers."""
    return re.compile(
        r"\b(?:(?:ALTER|DROP|TRUNCATE|LOCK)\s+(?:TABLE|VIEW)"
        r"|CREATE\s+OR\s+REPLACE\s+VIEW"
        r"|(?:CREATE\s+(?:UNIQUE\s+)?INDEX|CREATE\s+(?:CONSTRAINT\s+)?TRIGGER|DROP\s+TRIGGER)\b[^;]*?\sON"
        r"|REFERENCES"
        r")\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?jobsd\.(\w+)",
    )


def changed_tables(text: str) -> list[str]:
    """Return the tables and views that a step changes, each once, in its own order."""
    statements = _BODY.sub("", _COMMENT.sub("", text))
    return list(dict.fromkeys(_changed().findall(statements)))


class Patience:
    """The time that a migration waits for other transactions; reports the first one."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._end = monotonic() + LOCKED_RETRY_S
        self._reported = False
        self._pause_s = PAUSE_S

    def go_on(self, cause: str, error: Exception) -> None:
        """Report the cause once.

        Raises:
            psycopg.errors.LockNotAvailable: with the cause, once the time is over.
        """
        if monotonic() >= self._end:
            raise errors.LockNotAvailable(cause) from error
        if not self._reported:
            self._report(cause)
        self._reported = True

    def pause(self) -> None:
        """Let others use the tables, each time for longer."""
        time.sleep(self._pause_s)
        self._pause_s = min(PAUSE_MAX_S, self._pause_s * 2)


def be_alone(connection: Connection, schema: str, patience: Patience) -> None:
    """Be the only program that migrates, until the end of the transaction.

    Raises:
        psycopg.errors.LockNotAvailable: if another one has been migrating for too long.
    """
    # We pause in the transaction: a role's setting must not end it then.
    connection.execute(b"SET LOCAL idle_in_transaction_session_timeout = 0", prepare=False)
    while True:
        try:
            with connection.transaction():
                _wait_at_most(connection, "lock_timeout", TURN_S)
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,), prepare=False)
        except errors.LockNotAvailable as error:
            facts = {"high": _LOCK >> 32, "low": _LOCK & 0xFFFFFFFF}
            who = _process(connection, "migrating", schema, facts)
            patience.go_on(f"the tables are being migrated: {who} is migrating them", error)
        else:
            return


def take(connection: Connection, schema: str, tables: list[str], patience: Patience) -> None:
    """Lock the tables that exist, until the end of the transaction.

    Raises:
        psycopg.errors.LockNotAvailable: if another transaction has held one of them for too
            long.
    """
    while True:
        try:
            with connection.transaction():
                _take_at_once(connection, schema, tables)
        except errors.LockNotAvailable as error:
            facts = {"schema": schema, "tables": tables}
            who = _process(connection, "holders", schema, facts)
            patience.go_on(f"the tables can't be migrated: {who} holds them", error)
            patience.pause()
        else:
            return


def _take_at_once(connection: Connection, schema: str, tables: list[str]) -> None:
    _wait_at_most(connection, "lock_timeout", WAIT_S)
    facts = {"schema": schema, "tables": tables}
    rows = connection.execute(STATEMENTS["present"].render(schema), facts, prepare=False)
    if not (there := [sql.Identifier(schema, row[0]) for row in rows]):
        return
    # A limit for all waits together: each lock could take as long by itself.
    _wait_at_most(connection, "statement_timeout", WAIT_S)
    named = sql.SQL(", ").join(there)
    try:
        connection.execute(sql.SQL("LOCK TABLE {}").format(named), prepare=False)
    except errors.QueryCanceled as error:
        raise errors.LockNotAvailable(str(error)) from error
    connection.execute(b"SET LOCAL statement_timeout TO DEFAULT", prepare=False)


def _wait_at_most(connection: Connection, setting: str, seconds: float) -> None:
    connection.execute(f"SET LOCAL {setting} = {seconds * 1000:.0f}".encode(), prepare=False)


def _process(connection: Connection, name: str, schema: str, facts: dict[str, Any]) -> str:
    """Describe the process that holds the lock that we wait for."""
    cursor = connection.execute(STATEMENTS[name].render(schema), facts, prepare=False)
    row = cursor.fetchone()
    if row is None:
        return "a transaction that has ended meanwhile"
    pid, name, since_s = row
    if pid is None:
        return "a prepared transaction"
    since = f", in a transaction for {since_s:.0f} s" if since_s is not None else ""
    return f"process {pid} of the server ({name}{since})"
