"""The psycopg connection behind whatever a caller's transaction runs on."""

from __future__ import annotations

from typing import Any, TypeGuard

import psycopg

from jobsd.errors import Error


def psycopg_connection(given: object) -> psycopg.Connection[Any]:
    """Return the psycopg connection of a psycopg, SQLAlchemy or Django connection or session.

    Neither library is imported: who passes such an object has done so.

    Raises:
        Error: when there is no psycopg 3 connection behind it.
    """
    for raw in (given, _behind_django(given), _behind_sqlalchemy(given)):
        if _is_psycopg(raw):
            return raw
    raise Error(
        f"connection: {type(given).__module__}.{type(given).__qualname__} leads to no"
        " psycopg 3 connection; give a psycopg connection, a SQLAlchemy Session or"
        " Connection, or a Django connection, over psycopg 3 and not asynchronous",
    )


def _is_psycopg(given: object) -> TypeGuard[psycopg.Connection[Any]]:
    return isinstance(given, psycopg.Connection)


def _behind_django(given: Any) -> Any:  # noqa: ANN401 - Django's wrapper, if it is one
    ensure = getattr(given, "ensure_connection", None)
    if ensure is None:
        return None
    ensure()
    return given.connection


def _behind_sqlalchemy(given: Any) -> Any:  # noqa: ANN401 - a Session or a Connection
    session_connection = getattr(given, "connection", None)
    if callable(session_connection):
        given = session_connection()
    return getattr(getattr(given, "connection", None), "driver_connection", None)
