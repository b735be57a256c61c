"""Reads the URL of a database, so strictly that no password ends up where it may be shown.

libpq reads a URL in which a password stands as it is, with its `@` or `/`, in its own way:
the password becomes a host, a port or the name of a database, and an error about these
names it. So such a URL is refused before anybody uses it, without saying what it was.
"""

from __future__ import annotations

import re

from jobsd.configuration.faults import Mistake

_URL = re.compile(r"postgres(?:ql)?(?:\+\w+)?://(?P<rest>\S*)")
_CONNINFO = re.compile(r"\w+\s*=")
_ESCAPED = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")
# Hosts, each with its port; what they stand in must have no second @.
_HOST = r"(?:\[[0-9A-Fa-f:.%]+\w*\]|[^\s:/\[\]@,?]*)(?::[0-9]{0,5})?"
_PLACE = re.compile(rf"{_HOST}(?:,{_HOST})*(?:/[^@?]*)?(?:\?.*)?")

_FORM = "it has the form postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
_ESCAPES = f"{_FORM}; in it an @ is written %40, a / %2F, a ? %3F, a % %25"


def database_url(text: str) -> str:
    """Read a URL or a connection string of libpq.

    The name of a driver in the scheme (`postgresql+psycopg://`, as SQLAlchemy has it) is
    dropped. Passwords may stand in it: it is never told what was given.
    """
    if url := _URL.fullmatch(text):
        if not _is_unambiguous(url["rest"]):
            raise _mistake(_ESCAPES)
        text = f"postgresql://{url['rest']}"
    elif not _CONNINFO.match(text):
        raise _mistake(_FORM)
    if not _is_read_by_libpq(text):
        raise _mistake(_FORM)
    return text


def _is_unambiguous(rest: str) -> bool:
    before, at, behind = rest.partition("@")
    if not at or "/" in before:
        before, behind = "", rest
    return bool(_ESCAPED.fullmatch(rest)) and bool(_PLACE.fullmatch(behind))


def _is_read_by_libpq(text: str) -> bool:
    import psycopg  # noqa: PLC0415 - slow, and a check without a database does without
    from psycopg import conninfo  # noqa: PLC0415 - as above

    try:
        conninfo.conninfo_to_dict(text)
    except (psycopg.Error, UnicodeDecodeError):
        return False
    return True


def _mistake(hint: str) -> Mistake:
    return Mistake("must be a URL of a PostgreSQL database", hint, tells_value=False)
