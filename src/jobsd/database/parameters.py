"""Parameters as PostgreSQL reads them: as texts, which every driver sends alike."""

from datetime import datetime, timedelta
from typing import Any

Plain = str | int | float | bool | datetime | timedelta | list[Any] | None


def as_text(value: Plain) -> str | None:
    """Return a value as PostgreSQL reads it, or None for NULL."""
    if value is None or type(value) is str:
        return value
    if isinstance(value, list):
        return f"{{{','.join(map(_quoted, value))}}}"
    if isinstance(value, timedelta):
        return f"{value.total_seconds()!r} s"
    return str(value)


def as_bytes(value: Plain) -> bytes | None:
    """Return what `as_text` does, encoded.

    Raises:
        UnicodeEncodeError: for half of a surrogate pair.
    """
    text = as_text(value)
    return None if text is None else text.encode()


def _quoted(item: object) -> str:
    """Return a value as an element of an array."""
    if item is None:
        return "NULL"
    escaped = str(item).replace("\\", r"\\").replace('"', r"\"")
    return f'"{escaped}"'
