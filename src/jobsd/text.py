"""Text that others take: PostgreSQL, a terminal, whoever reads about an error."""

from __future__ import annotations

import traceback

_PLAIN_MODULES = frozenset({"builtins", "jobsd.errors", "jobsd.jobs.policy"})


def is_storable(text: str) -> bool:
    """Return whether PostgreSQL can store a text: no NUL, no half of a surrogate pair."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def storable(text: str) -> str:
    r"""Return a text that PostgreSQL can store: a NUL as `\0`, half a surrogate pair as `?`."""
    return text.replace("\0", "\\0").encode(errors="replace").decode()


def one_line(text: str) -> str:
    """Return a text as one line, without what a terminal would obey or can't encode."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in text
    )


def error_type(error: BaseException | None) -> str:
    """Return the name of an error's class, with its module unless everybody knows it."""
    kind = type(error)
    name = kind.__qualname__
    return name if kind.__module__ in _PLAIN_MODULES else f"{kind.__module__}.{name}"


def error_message(error: BaseException) -> str:
    """Return the message of an error; never raises, whatever its class does."""
    try:
        return str(error)
    except BaseException as broken:  # noqa: BLE001 - an exception whose text raises
        return f"<the message of the error raised {type(broken).__name__}>"


def error_stack(error: BaseException, frames_max: int) -> str:
    """Return the last frames of an error as Python prints them; never raises."""
    try:
        found = traceback.TracebackException.from_exception(
            error, limit=-frames_max, compact=True
        )
        return "".join(found.format())
    except BaseException as broken:  # noqa: BLE001 - whatever its class does
        return f"<the stack of the error raised {type(broken).__name__}>"
