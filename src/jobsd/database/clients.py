"""Counts the other clients of a server."""

import contextlib

import psycopg

from jobsd.errors import DatabaseUnreachableError

from .connection import Session, Statements, Target, redact

_statements = Statements("jobsd.database", "clients.sql")


def other_clients(url: str) -> int:
    """Connect to the server and return the number of its other clients.

    Raises:
        DatabaseUnreachableError: if the server refuses the connection, or does not answer.
    """
    with contextlib.closing(Session(Target(url), "jobsd embedded")) as session:
        try:
            return int(session.fetch(_statements["other_clients"])[0][0])
        except psycopg.Error as error:
            raise DatabaseUnreachableError(redact(str(error)).strip()) from error
