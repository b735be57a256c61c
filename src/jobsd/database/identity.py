"""Compares two databases by what their URLs reach: pooler, role and hosts may differ."""

import contextlib

from psycopg import errors

from .connection import Session, Statements, Target, connect

_statements = Statements("jobsd.database", "identity.sql")


def are_one(first: Target, second: Target) -> bool:
    """Return whether two targets are the same tables; equal texts need no connection.

    Raises:
        DatabaseUnreachableError: when one of them can't be reached.
    """
    if first.schema != second.schema:
        return False
    if first.url == second.url:
        return True
    with contextlib.ExitStack() as opened:
        sessions = [
            opened.enter_context(contextlib.closing(connect(each, "jobsd comparison")))
            for each in (first, second)
        ]
        try:
            reached = {_identity(each, "identity") for each in sessions}
        except errors.InsufficientPrivilege:
            reached = {_identity(each, "identity_of_a_guest") for each in sessions}
    return len(reached) == 1


def _identity(session: Session, statement: str) -> tuple[str, ...]:
    return tuple(map(str, session.fetch(_statements[statement])[0]))
