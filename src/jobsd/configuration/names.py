"""What a single text may be: readers that return what is meant or raise `Mistake`.

They serve files, variables and flags alike, and know of none of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jobsd.configuration.faults import Mistake, did_you_mean, quoted
from jobsd.configuration.secrecy import has_password
from jobsd.jobs.registry import is_seen
from jobsd.schedules import ScheduleError
from jobsd.schedules.zones import require_zone

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_NAME = 255  # bytes
LONGEST_IDENTIFIER = 56  # bytes; quoted and with .wake behind it, it names a channel: 63

_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BIND = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\w*\]|[^\s:/\[\]]*):(?P<port>[0-9]{1,5})")
_FALSE = frozenset({"", "0", "f", "n", "no", "false", "off"})


def one_of(*choices: str) -> Callable[[str], str]:
    """Make a reader of one of a few words, in whatever case."""

    def read(text: str) -> str:
        if text.lower() in choices:
            return text.lower()
        expected = ", ".join(choices[:-1]) + f" or {choices[-1]}"
        raise Mistake(f"must be {expected}", did_you_mean(text, choices))

    return read


def listed(text: str) -> list[str]:
    """Split a list with commas; an empty text is an empty list."""
    return [part.strip() for part in text.split(",")] if text.strip() else []


def truth(text: str) -> bool:
    """Read a variable as Rails casts it: all but a few words is true."""
    return text.strip().lower() not in _FALSE


def name(text: str) -> str:
    """Read the name of a queue, a job or a task."""
    if not 1 <= len(text.encode(errors="surrogatepass")) <= LONGEST_NAME or "\0" in text:
        raise Mistake(f"must have 1 to {LONGEST_NAME} bytes, and no NUL among them")
    return text


def queue_name(text: str) -> str:
    """Read the name of one queue to enqueue into."""
    if "," in text or "*" in text:
        raise Mistake("must be the name of one queue, without commas and stars")
    return name(_printable(text))


def queue_pattern(text: str) -> str:
    """Read the name of a queue, a prefix with a star behind it, or a star for all."""
    if "," in text:
        raise Mistake("must be one queue, without a comma", "write a list with one a line")
    if "*" in text[:-1]:
        prefix = text[: text.index("*") + 1]
        taken = "all queues" if prefix == "*" else "all queues that begin so"
        raise Mistake(
            f"may have a star only at the end of a name, unlike {quoted(text)}",
            f"{quoted(prefix)} takes {taken}",
            tells_value=False,
        )
    return name(_printable(text))


def _printable(text: str) -> str:
    """Return a text that the name of a queue may hold: no other one is ever enqueued to."""
    if is_seen(text):
        return text
    raise Mistake("must be printable text without spaces at its ends")


def module(text: str) -> str:
    """Read the name of a module to import."""
    if not _MODULE.fullmatch(text):
        hint = f"write {quoted(_dotted(text))}" if _MODULE.fullmatch(_dotted(text)) else ""
        raise Mistake("must be the dotted name of a module", hint)
    return text


def _dotted(path: str) -> str:
    return path.removesuffix(".py").strip("./").replace("/", ".")


def identifier(text: str) -> str:
    """Read the name of a schema."""
    if not _IDENTIFIER.fullmatch(text) or len(text) > LONGEST_IDENTIFIER:
        raise Mistake(
            f"must be a plain identifier of at most {LONGEST_IDENTIFIER} bytes",
            "use letters of ASCII, digits and _",
        )
    if text.startswith("pg_") or text == "information_schema":
        raise Mistake("can't be one of PostgreSQL's own schemas", tells_value=False)
    return text


def bind(text: str) -> str:
    """Read HOST:PORT; without a host all addresses are meant."""
    found = _BIND.fullmatch(text) if len(text) <= LONGEST_NAME else None
    if found and int(found["port"]) <= 65535:
        return text
    hint = "write 127.0.0.1:9394, :9394 for all addresses, or [::1]:9394 in quotes"
    raise Mistake("must be HOST:PORT", hint)


def time_zone(text: str) -> str:
    """Read the name of a zone, or an offset; return its proper name."""
    try:
        return require_zone(text)[0]
    except ScheduleError as error:
        raise refused("can't be used", text, error) from None


def refused(what: str, text: str, error: ScheduleError) -> Mistake:
    """Return the fault of a schedule or a zone; it never quotes a text that has a password.

    The error quotes the beginning of the text, and may cut a password in two: the redaction
    of whole faults does not recognise half of one.
    """
    reason = "it contains a password" if has_password(text) else error.message
    return Mistake(f"{what}: {reason}", error.hint, tells_value=False)
