"""Reads the URL of a database, so strictly that no password is ever shown.

libpq accepts a URL whose password is not escaped, with its `@` or `/`, and misreads it: the
password becomes a host, a port or the name of a database, and an error about these shows it. So
this URL is refused before it is used, with no part of it in the message.
"""

import re

_URL = re.compile(r"postgres(?:ql)?(?:\+\w+)?://(?P<rest>\S*)")
_CONNINFO = re.compile(r"\w+\s*=")
_ESCAPED = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")
# Hosts, each with its port; no second @ may follow.
_HOST = r"(?:\[[0-9A-Fa-f:.%]+\w*\]|[^\s:/\[\]@,?]*)(?::[0-9]{0,5})?"
_HOSTS = re.compile(rf"{_HOST}(?:,{_HOST})*(?:/[^@?]*)?(?:\?.*)?")

# libpq accepts these without an error, and takes longer to load than a command may take.
_PARAMETER = r"(?:host|port|sslmode|connect_timeout|application_name)=[\w./-]+"
_PLAIN = re.compile(
    r"postgresql://(?:[\w.~-]+(?::[\w.~-]*)?@)?(?:[\w.-]+(?::[0-9]{1,5})?)?/[\w.-]+"
    rf"(?:\?{_PARAMETER}(?:&{_PARAMETER})*)?",
    re.ASCII,
)

_FORM = "it has the form postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
_ESCAPES = f"{_FORM}; in it an @ is written %40, a / %2F, a ? %3F, a % %25"


class UrlError(ValueError):
    """A text is not the URL of a database. Neither the message nor the hint quotes it."""

    message = "must be a URL of a PostgreSQL database"

    def __init__(self, hint: str) -> None:
        self.hint = hint
        super().__init__(f"{self.message}: {hint}")


def read_url(text: str) -> str:
    """Read a URL or a connection string of libpq.

    The name of a driver in the scheme (`postgresql+psycopg://`, as SQLAlchemy has it) is
    dropped.

    Raises:
        UrlError: if libpq would refuse it, or misread it.
    """
    if url := _URL.fullmatch(text):
        if not _is_unambiguous(url["rest"]):
            raise UrlError(_ESCAPES)
        text = f"postgresql://{url['rest']}"
    elif not _CONNINFO.match(text):
        raise UrlError(_FORM)
    if not _PLAIN.fullmatch(text) and not _is_read_by_libpq(text):
        raise UrlError(_FORM)
    return text


def passwords(url: str) -> tuple[str, ...]:
    """Return the passwords in a parsed URL, except those that are also another part's name."""
    from psycopg import conninfo  # noqa: PLC0415 - slow, as above

    parts = {key: str(value) for key, value in conninfo.conninfo_to_dict(url).items()}
    names = " ".join(parts.get(key, "") for key in ("user", "dbname", "host"))
    found = (parts.get(key, "") for key in ("password", "sslpassword"))
    return tuple(password for password in found if password and password not in names)


def _is_unambiguous(rest: str) -> bool:
    before, at, after = rest.partition("@")
    if not at or "/" in before:
        before, after = "", rest
    if "?" in before:
        # Parameters, including an @ among them, would become a user, whose name errors show.
        return False
    return bool(_ESCAPED.fullmatch(rest)) and bool(_HOSTS.fullmatch(after))


def _is_read_by_libpq(text: str) -> bool:
    import psycopg  # noqa: PLC0415 - slow, and a check without a database does without
    from psycopg import conninfo  # noqa: PLC0415 - as above

    try:
        conninfo.conninfo_to_dict(text)
    except (psycopg.Error, UnicodeError):
        return False
    return True
