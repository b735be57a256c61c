"""The URL of a database, where a configuration has one: never told when it is faulty."""

from __future__ import annotations

from jobsd.configuration.faults import Mistake
from jobsd.database.url import UrlError, read_url


def database_url(text: str) -> str:
    """Read a URL or a connection string of libpq."""
    try:
        return read_url(text)
    except UrlError as error:
        raise Mistake(error.message, error.hint, tells_value=False) from None
