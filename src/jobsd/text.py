"""Reads shipped texts, and makes text safe for PostgreSQL, a terminal and error messages."""

import os
import re
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import cast

CAUSES_MAX = 10
"""The number of causes that are listed of an error with a plain stack."""

# Invisible characters: controls, special spaces, marks of direction, tags. A list of our own,
# the same as that of `jobsd.is_seen` in SQL: each version of Python has its own list of
# printable characters.
_UNSEEN = re.compile(
    r"[\u0001-\u001f\u007f-\u00a0\u00ad\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f"
    r"\u205f-\u206f\u3000\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)

_PERFORMING = os.path.join(os.path.dirname(__file__), "performing", "")  # noqa: PTH118, PTH120
_PLAIN_MODULES = frozenset({"builtins", "jobsd.errors", "jobsd.jobs.policy"})


def shipped_text(name: str) -> str:
    """Return the text of a file of our package, by its path in the package."""
    from pkgutil import get_data  # noqa: PLC0415 - slow to load, and few commands need it

    return (get_data("jobsd", name) or b"").decode()


def size(value: float) -> str:
    """Return a number of bytes in words."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            digits = 0 if unit == "bytes" or value >= 10 else 1
            return f"{value:.{digits}f} {unit}"
        value /= 1024
    return f"{value:,.1f} TiB"


def closest(word: str, names: Iterable[str], least: float = 0.6) -> str:
    """Return the name that `word` probably means, "" if none is similar enough."""
    if not (known := list(names)):
        return ""
    # Slow to load, and only needed to be helpful.
    from difflib import get_close_matches  # noqa: PLC0415

    return next(iter(get_close_matches(word, known, 1, least)), "")


_ON = frozenset({"1", "t", "true", "y", "yes", "on"})
_OFF = frozenset({"", "0", "f", "false", "n", "no", "off"})


def is_on(text: str) -> bool:
    """Return whether the value of a variable switches something on; an empty one does not.

    Raises:
        ValueError: it is neither true nor false.
    """
    word = text.strip().lower()
    if word not in _ON | _OFF:
        raise ValueError("must be true or false")
    return word in _ON


def is_storable(text: str) -> bool:
    """Return whether PostgreSQL can store a text: no NUL, no half of a surrogate pair."""
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def byte_size(text: str) -> int:
    """Return the number of bytes of a text in the database."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def is_seen(text: str) -> bool:
    """Return whether a name or a key may contain a text: all is visible and storable."""
    # The first test is fast, and all characters that it accepts pass the second.
    return text.isprintable() or (is_storable(text) and not _UNSEEN.search(text))


def storable(text: str) -> str:
    r"""Return a text that PostgreSQL can store: a NUL as `\0`, half a surrogate pair as `?`."""
    return text.replace("\0", "\\0").encode(errors="replace").decode()


def one_line(text: str) -> str:
    """Return a text as one line, without characters that a terminal obeys or can't encode."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in text
    )


def lines(text: str) -> str:
    """Return a text of several lines in the same way; its tabs stay, too."""
    return "\n".join(
        "\t".join(map(one_line, line.split("\t")))
        for line in text.replace("\r\n", "\n").split("\n")
    )


def facts_of(instance: object, **facts: object) -> str:
    """Return a `repr` of one line: the class, and those of these facts that are not None.

    A time is written as in the log.
    """
    known = {name: value for name, value in facts.items() if value is not None}
    for name, value in known.items():
        if isinstance(value, datetime):
            known[name] = f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
    shown = ", ".join(f"{name}={value!r}" for name, value in known.items())
    return f"<{type(instance).__name__} {shown}>"


def error_type(error: BaseException | None) -> str:
    """Return the name of an error's class, with its module unless it is builtin or ours."""
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
    """Return the last frames of an error and of its causes as Python prints them; never raises.

    Frames of jobsd that called the user's function are left out.

    Python's own formatting may raise: it calls methods of the user's classes, and it parses the
    lines that it shows, which CPython 3.11 can't always do in two threads at once (SystemError:
    AST constructor recursion depth mismatch). Then the frames are listed plainly.
    """
    try:
        # Slow to load, and most programs have no error to show.
        import traceback  # noqa: PLC0415

        found = traceback.TracebackException.from_exception(
            error, limit=-frames_max, compact=True
        )
        del found.stack[: _ours([frame.filename for frame in found.stack])]
        return "".join(found.format())
    except BaseException as broken:  # noqa: BLE001 - the original error must be reported
        why = f"<the stack of the error raised {type(broken).__name__}>"
    try:
        return "\n".join([why, *_plain_stack(error, frames_max)])
    except BaseException:  # noqa: BLE001
        return why


def _ours(files: list[str]) -> int:
    """Return how many of the first frames are those that perform jobs; 0 if all are."""
    # No generator: one that is left early hides an exception that strikes the thread then.
    for number, file in enumerate(files):
        if not file.startswith(_PERFORMING):
            return number
    return 0


def _plain_stack(error: BaseException, frames_max: int) -> Iterator[str]:
    """Yield a line for each frame of an error and of its causes, the first cause first."""
    from traceback import walk_tb  # noqa: PLC0415 - as above

    chain = [error]
    while (cause := _cause(chain[-1])) is not None and len(chain) <= CAUSES_MAX:
        chain.append(cause)
    for each in reversed(chain):
        frames = deque(walk_tb(each.__traceback__), frames_max)
        ours = _ours([frame.f_code.co_filename for frame, _ in frames])
        for frame, line in list(frames)[ours:]:
            code = frame.f_code
            yield f'  File "{code.co_filename}", line {line}, in {code.co_name}'
        yield error_type(each)


def _cause(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None or error.__suppress_context__:
        return error.__cause__
    return error.__context__


def texts_of(given: object) -> dict[str, str]:
    """Return the texts of a mapping; other values, and other objects, are left out.

    For a job's context: other programs may have written it, and no job fails by it.
    """
    if not isinstance(given, dict):
        return {}
    pairs = cast("dict[object, object]", given).items()
    return {
        key: value for key, value in pairs if isinstance(key, str) and isinstance(value, str)
    }
