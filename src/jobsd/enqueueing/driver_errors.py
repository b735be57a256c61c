"""Reads the errors of all drivers without importing any of them."""

from typing import Any, cast

_LOST = {"OperationalError", "InterfaceError", "DeadlineError"}
"""The last one is ours."""


def sqlstate(error: BaseException) -> str | None:
    """Return PostgreSQL's code of an error, or None if it is not the server's."""
    origin = _origin(error)
    for name in ("sqlstate", "pgcode"):
        if isinstance(code := getattr(origin, name, None), str):
            return code
    return _fields(origin).get("C")


def is_lost(error: BaseException) -> bool:
    """Return whether the connection is lost, and with it the answer of the server."""
    origin = _origin(error)
    if (code := sqlstate(origin)) is not None:
        return code.startswith("08")
    return type(origin).__name__ in _LOST or isinstance(origin, OSError)


def said_by(error: BaseException) -> str:
    """Return the message of an error, without the additions of its library."""
    origin = _origin(error)
    return _fields(origin).get("M") or str(origin)


def _origin(error: BaseException) -> BaseException:
    """Return the driver's error below that of SQLAlchemy, or the error itself."""
    origin = getattr(error, "orig", None)
    return origin if isinstance(origin, BaseException) else error


def _fields(error: BaseException) -> dict[str, str]:
    """Return the fields of the server's message, as pg8000 keeps them."""
    first: Any = error.args[0] if error.args else None
    return cast("dict[str, str]", first) if isinstance(first, dict) else {}
