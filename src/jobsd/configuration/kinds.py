"""The values of settings: each kind reads a node, or raises a `Mistake`.

A kind of texts is made of a reader of one text. The readers serve files, variables and flags
alike, and know none of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from jobsd.clock import parse_duration
from jobsd.database.url import UrlError, read_url
from jobsd.text import is_on, is_seen

from .faults import Mistake, Mistakes, did_you_mean, known, quoted
from .secrecy import has_password
from .source import Mapping, Node, Scalar, Sequence, is_null

if TYPE_CHECKING:
    from jobsd.schedules import ScheduleError

T = TypeVar("T")

DAY_S = 86_400.0
LONGEST_S = 36_500 * DAY_S
NAME_BYTES_MAX = 255
IDENTIFIER_BYTES_MAX = 56  # quoted and with .wake after it, it names a channel: 63

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BIND = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\w*\]|[^\s:/\[\]]*):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A reader of nodes, and the accepted values in words."""

    read: Callable[[Node], T]
    takes: str

    def __call__(self, node: Node) -> T:
        """Return the value of a node.

        Raises:
            Mistake, Mistakes: when it is invalid.
        """
        return self.read(node)


def whole(low: int, high: int) -> Kind[int]:
    """Make a kind: a whole number."""
    takes = f"a whole number from {low} to {high}"

    def read(node: Node) -> int:
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        hint = "remove the quotes" if isinstance(value, str) and value.isdecimal() else ""
        raise Mistake(f"must be {takes}", hint)

    return Kind(read, takes)


def _boolean(node: Node) -> bool:
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node.value
    raise Mistake("must be true or false")


boolean = Kind(_boolean, "true or false")


def _switch(node: Node) -> bool:
    try:
        return isinstance(node, Scalar) and is_on(node.text)
    except ValueError as error:
        raise Mistake(str(error)) from None


switch = Kind(_switch, "true or false")
"""A boolean that only a flag or a variable gives."""


def duration(low: float, high: float = LONGEST_S) -> Kind[float]:
    """Make a kind: seconds, or a number with a unit, from `low` to `high` inclusive."""

    def read(node: Node) -> float:
        try:
            seconds = parse_duration(node.value if isinstance(node, Scalar) else None)
        except (ValueError, OverflowError):
            raise Mistake(
                "must be a duration", "write seconds, or 250ms 30s 10m 2h 1d"
            ) from None
        if low <= seconds <= high:
            return seconds
        raise Mistake(f"must be from {in_units(low)} to {in_units(high)}")

    return Kind(read, f"a duration from {in_units(low)} to {in_units(high)}")


def in_units(seconds: float) -> str:
    """Write seconds as people do."""
    for unit, length in (("d", DAY_S), ("h", 3600.0), ("m", 60.0), ("s", 1.0)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds * 1000:g}ms" if seconds else "0"


def auto_or(kind: Kind[T]) -> Kind[T | None]:
    """Make a kind that takes "auto" for None."""
    takes = f"auto, or {kind.takes}"

    def read(node: Node) -> T | None:
        if isinstance(node, Scalar) and node.text.strip() == "auto":
            return None
        try:
            return kind(node)
        except Mistake:
            raise Mistake(f"must be {takes}") from None

    return Kind(read, takes)


def size(low: int, high: int = (1 << 62) - 1) -> Kind[int]:
    """Make a kind: bytes, or a number with one of the units KB MB GB TB (powers of 1,024)."""
    takes = f"at least {_in_units(low)}"
    if high < 1 << 61:
        takes = f"from {_in_units(low)} to {_in_units(high)}"

    def read(node: Node) -> int:
        given = _SIZE.fullmatch(node.text.strip()) if isinstance(node, Scalar) else None
        if given is None or len(given[1]) > 20:
            raise Mistake("must be a size", "write bytes, or 512MB 2GB")
        found = int(float(given[1]) * 1024 ** _POWERS[given[2].upper()])
        if not low <= found <= high:
            raise Mistake(f"must be {takes}")
        return found

    return Kind(read, f"a size of {takes}" if high >= 1 << 61 else f"a size {takes}")


def _in_units(size: int) -> str:
    return f"{size >> 20}MB" if size >= 1 << 20 else f"{size >> 10}KB"


def text(reader: Callable[[str], T], takes: str = "a text") -> Kind[T]:
    """Make a kind of a reader of texts; a number without quotes is a text here."""

    def read(node: Node) -> T:
        if not isinstance(node, Scalar):
            raise Mistake("must be a text")
        if node.is_null:
            raise Mistake("must not be empty", quotes_value=False)
        return reader(node.text.strip() if node.plain else node.text)

    return Kind(read, takes)


def optional(kind: Kind[T]) -> Kind[T | None]:
    """Make a kind that accepts null as None."""
    return Kind(lambda node: None if is_null(node) else kind(node), f"{kind.takes}, or null")


def texts(
    reader: Callable[[str], T], takes: str, empty: tuple[T, ...] = ()
) -> Kind[tuple[T, ...]]:
    """Make a kind: a list of texts, which may be written as one text with commas in it.

    An empty one is `empty`. All of its mistakes are raised at once.
    """
    one = text(reader, takes)

    def read(node: Node) -> tuple[T, ...]:
        if isinstance(node, Mapping):
            raise Mistake("must be a list")
        found: list[T] = []
        mistakes: list[tuple[Node, str, Mistake]] = []
        for item, index in _items(node):
            try:
                found.append(one(item))
            except Mistake as mistake:
                mistakes.append((item, index, mistake))
        if mistakes:
            raise Mistakes(mistakes)
        return tuple(found) or empty

    return Kind(read, f"a list of {takes}, or a text with commas")


def _items(node: Node) -> Iterator[tuple[Node, str]]:
    if isinstance(node, Sequence):
        yield from ((item, f"[{i}]") for i, item in enumerate(node.items))
    elif isinstance(node, Scalar) and not node.is_null:
        for part in split_list(node.text):
            yield Scalar(node.span, part, plain=False, variables=node.variables), ""


def split_list(text: str) -> list[str]:
    """Split a list with commas; an empty text is an empty list."""
    return [part.strip() for part in text.split(",")] if text.strip() else []


def some_of(*words: str) -> Kind[frozenset[str]]:
    """Make a kind: a list of some of these words, with commas."""
    listed = f"{', '.join(words[:-1])} or {words[-1]}"

    def read(given: str) -> frozenset[str]:
        found = split_list(given)
        for word in found:
            if word not in words:
                raise Mistake(f"must list {listed}", known(word, words))
        if not found:
            raise Mistake(f"must name at least one of {', '.join(words)}")
        return frozenset(found)

    return text(read, f"a list of {listed}")


def choice(*words: str, **aliases: str) -> Kind[str]:
    """Make a kind: one of a few words, in upper or lower case; an alias stands for a word."""
    all_words = (*words, *aliases)
    takes = ", ".join(all_words[:-1]) + f" or {all_words[-1]}"

    def read(word: str) -> str:
        if word.lower() in all_words:
            return aliases.get(word.lower(), word.lower())
        raise Mistake(f"must be {takes}", did_you_mean(word, all_words))

    return text(read, takes)


def read_path(value: str) -> Path:
    """Read the path of a file."""
    if not value or "\0" in value:
        raise Mistake("must be the path of a file")
    return Path(value)


def read_prefix(path: str) -> str:
    """Read the path below which something is served; it ends without a slash."""
    if not path.startswith("/") or not path.isascii() or any(c in path for c in " ?#%\\"):
        raise Mistake("must be a path that begins with a slash", "write / or /jobs")
    return path.rstrip("/")


def read_network(address: str) -> str:
    """Read an IP address, or a network such as 10.0.0.0/8."""
    import ipaddress  # noqa: PLC0415 - no command needs it

    try:
        return str(ipaddress.ip_network(address, strict=False))
    except ValueError:
        raise Mistake(
            "must be an IP address or a network", "write 10.0.0.5 or 10.0.0.0/8"
        ) from None


def read_name(name: str) -> str:
    """Read the name of a queue, a job or a task."""
    if not 1 <= len(name.encode(errors="surrogatepass")) <= NAME_BYTES_MAX or "\0" in name:
        raise Mistake(f"must have 1 to {NAME_BYTES_MAX} bytes, and no NUL among them")
    return name


def read_queue(name: str) -> str:
    """Read the name of one queue to enqueue into."""
    if "," in name or "*" in name:
        raise Mistake("must be the name of one queue, without commas and stars")
    return read_name(_printable(name))


def read_queue_pattern(pattern: str) -> str:
    """Read the name of a queue, a prefix with a star after it, or a star for all."""
    if "," in pattern:
        raise Mistake(
            "must be one queue, without a comma", "write a list with one queue per line"
        )
    if "*" in pattern[:-1]:
        prefix = pattern[: pattern.index("*") + 1]
        taken = "all queues" if prefix == "*" else "all queues whose names begin so"
        raise Mistake(
            f"may have a star only at the end of a name, unlike {quoted(pattern)}",
            f"{quoted(prefix)} takes {taken}",
            quotes_value=False,
        )
    return read_name(_printable(pattern))


def _printable(name: str) -> str:
    """Return a name if a queue may have it: no job is enqueued to any other."""
    if is_seen(name) and name == name.strip(" "):
        return name
    raise Mistake("must be printable text without spaces at its ends")


def read_module(name: str) -> str:
    """Read the name of a module to import."""
    if not _MODULE.fullmatch(name):
        dotted = name.removesuffix(".py").strip("./").replace("/", ".")
        raise Mistake(
            "must be the dotted name of a module",
            f"write {quoted(dotted)}" if _MODULE.fullmatch(dotted) else "",
        )
    return name


def read_identifier(name: str) -> str:
    """Read the name of a schema."""
    if not _IDENTIFIER.fullmatch(name) or len(name) > IDENTIFIER_BYTES_MAX:
        raise Mistake(
            f"must be a plain identifier of at most {IDENTIFIER_BYTES_MAX} bytes",
            "use letters of ASCII, digits and _",
        )
    if name.startswith("pg_") or name == "information_schema":
        raise Mistake("can't be one of PostgreSQL's own schemas", quotes_value=False)
    return name


def read_bind(address: str) -> str | None:
    """Read HOST:PORT, or "off"; without a host it stands for all addresses."""
    if address.lower() in {"off", "false"}:
        return None
    found = _BIND.fullmatch(address) if len(address) <= NAME_BYTES_MAX else None
    if found and int(found["port"]) <= 65535:
        return address
    hint = "write 127.0.0.1:9394, :9394 for all addresses, or [::1]:9394 in quotes"
    raise Mistake("must be HOST:PORT", hint)


def read_place(number: str) -> int:
    """Read the number of an entry in a list: the first is 1."""
    if number.isascii() and number.isdecimal() and len(number) < 4 and int(number):
        return int(number)
    raise Mistake("must be a whole number from 1")


def read_database_url(url: str) -> str:
    """Read a URL or a connection string of libpq; a faulty one is never quoted."""
    try:
        return read_url(url)
    except UrlError as error:
        raise Mistake(error.message, error.hint, quotes_value=False) from None


def read_time_zone(name: str) -> str:
    """Read the name of a zone, or an offset; return its proper name."""
    if name == "UTC":
        return name
    # Slow to load, and the help of a command does without.
    from jobsd.schedules import ScheduleError, require_zone  # noqa: PLC0415

    try:
        return require_zone(name)[0]
    except ScheduleError as error:
        raise refused("can't be used", name, error) from None


def refused(what: str, given: str, error: ScheduleError) -> Mistake:
    """Return the mistake of a schedule or a zone; it never quotes a text with a password.

    The error quotes the beginning of the text, and may cut a password in two: the redaction
    of whole faults does not recognise half of one.
    """
    reason = "it contains a password" if has_password(given) else error.message
    return Mistake(f"{what}: {reason}", error.hint, quotes_value=False)


IDENTIFIER = text(read_identifier, "a plain identifier")
TEXT = text(str)
PATH = text(read_path, "a path")
URL = optional(text(read_database_url, "a URL of a PostgreSQL database"))
TIME_ZONE = text(read_time_zone, "a time zone")
