"""Loads the named statements of the `.sql` files.

A file lies beside the module that sends it. A statement begins with a comment of the form
`-- name: what it does` and ends with a semicolon. Tables are written `jobsd.name`;
`Statement.render` replaces `jobsd` by the configured schema, once for each schema, since a
`search_path` does not survive a transaction pooler.

A schema may have any name that PostgreSQL allows. So it is quoted; in a text in quotes, in a
function's body between `$$`, or beside placeholders, characters that would end these are
escaped. Comments are left unchanged.

A line that ends with `-- since 51` is for tables of version 51 and later, one that ends with
`-- before 51` for older ones: so a program works with the tables of the release before.

Parameters are sent as PostgreSQL reads them: as texts, which every driver sends alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib import import_module
from typing import Any, Literal

CHANNEL_BYTES_MAX = 63
"""PostgreSQL's limit. The channel has the schema's name in it, quoted, and six bytes more."""

_HEAD = re.compile(r"^-- ([a-z][a-z0-9_]*): ", re.MULTILINE)
_COMMENT = re.compile(r"^ *--[^\n]*\n", re.MULTILINE)
_TABLE = re.compile(r"\bjobsd\.(?=[a-z])")
# The part that begins first counts: an apostrophe in a comment opens no text.
_PARTS = re.compile(r"(?P<comment>--[^\n]*)|(?P<text>'(?:[^']|'')*')|(?P<body>\$\$)|[^-'$]+|.")
_FOR = re.compile(r"^[^\n]*-- (since|before) (\d+)(?:\n|\Z)", re.MULTILINE)
_PLACEHOLDER = re.compile(r"%(?:\((\w+)\))?[sbt%]")


_older: dict[str, int] = {}
"""The schemas with tables older than ours, found by connections so far."""


def tables_are_at(schema: str, version: int, ours: int) -> None:
    """Set the version of a schema's tables, for which statements are rendered from now on."""
    if version < ours:
        _older[schema] = version
    else:
        _older.pop(schema, None)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, or a list of common table expressions that begin one."""

    name: str
    text: str

    @property
    def has_placeholders(self) -> bool:
        """Whether it takes parameters: only then does psycopg interpret percent signs."""
        return _has_placeholders(self.text)

    def render(self, schema: str) -> bytes:
        """Return the statement for this schema."""
        return _render(self.text, schema, _older.get(schema))

    def number(self, schema: str) -> tuple[bytes, tuple[str, ...]]:
        """Return it as the server knows it, with `$1`, `$2`, …, and the parameters' names."""
        return _number(self.text, schema, _older.get(schema))

    def in_style(self, style: str, schema: str) -> tuple[str, tuple[str, ...]]:
        """Return it with placeholders of this style, and the names of these in order.

        Each parameter is sent as a text, whatever types the driver knows or was taught. `style`
        is a `paramstyle` of Python's database API, or "numeric_dollar".
        """
        return _in_style(self.text, schema, style, _older.get(schema))

    def with_(self, other: Statement) -> Statement:
        """Return one statement that does both: ours are its first table expressions."""
        # Without the comments: the driver parses texts longer than 4 KiB again each time.
        first, rest = (_COMMENT.sub("", statement.text) for statement in (self, other))
        return Statement(f"{self.name}+{other.name}", f"{first},\n{rest}")

    def followed_by(self, query: Statement) -> Statement:
        """Return these expressions with the query that uses them."""
        return Statement(f"{self.name}+{query.name}", f"{self.text}\n{query.text}")

    def after(self, words: str) -> Statement:
        """Return the statement with `words` before it."""
        return Statement(self.name, f"{words}\n{self.text}")


class Statements:
    """The statements of one file, by their names."""

    def __init__(self, package: str, filename: str) -> None:
        self.filename = filename
        room: Any = import_module(package)
        # As in `pkgutil`, which takes a millisecond of each command to load.
        text = room.__loader__.get_data(f"{room.__path__[0]}/{filename}").decode()
        self._named = {statement.name: statement for statement in _split(text)}

    def __getitem__(self, name: str) -> Statement:
        return self._named[name]

    def __iter__(self) -> Iterator[Statement]:
        return iter(self._named.values())


def quote_identifier(name: str) -> str:
    """Return the name as SQL writes it, whatever characters it has."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


Topic = Literal["wake", "due", "task", "kill", "done"]
"""A notification wakes all listeners of its channel, so each kind of process has a channel:
workers, dispatchers, schedulers, monitors, and clients that wait for a job. No topic is longer
than four letters: the longest schema that is allowed leaves no room for more."""


def channel(schema: str, topic: Topic = "wake") -> str:
    """Return the notification channel of a topic, of the queue in this schema.

    Raises:
        ValueError: if PostgreSQL does not allow the schema, or the channel.
    """
    name = f"{quote_identifier(schema)}.{topic}"
    if not schema or "\0" in schema or len(name.encode()) > CHANNEL_BYTES_MAX:
        raise ValueError(f"{schema!r} can't be the schema: it is empty, too long, or has a NUL")
    return name


def _split(text: str) -> Iterator[Statement]:
    heads = list(_HEAD.finditer(text))
    # Only the first comment line of a statement names it: a comment line that follows another
    # or lies inside a statement is prose.
    starts = [head for head in heads if _opens(text, head.start())]
    ends = [head.start() for head in starts[1:]] + [len(text)]
    for head, end in zip(starts, ends, strict=True):
        yield Statement(head[1], text[head.start() : end].strip().removesuffix(";"))


def _opens(text: str, position: int) -> bool:
    before = text[:position].rstrip()
    return before == "" or before.endswith(";")


def _for_tables(text: str, version: int | None) -> str:
    """Return a statement without the lines for other versions; None is the current version."""

    def keep(line: re.Match[str]) -> str:
        newer = version is None or version >= int(line[2])
        return line[0] if newer == (line[1] == "since") else ""

    return _FOR.sub(keep, text) if "-- since " in text or "-- before " in text else text


@cache
def _has_placeholders(text: str) -> bool:
    return _PLACEHOLDER.search(text) is not None


@cache
def _render(text: str, schema: str, version: int | None) -> bytes:
    channel(schema)  # raises an error for an invalid schema
    text = _for_tables(text, version)
    quoted = quote_identifier(schema)
    if _has_placeholders(text):
        quoted = quoted.replace("%", "%%")
    delimiter = _delimiter(schema)

    def put_in(part: re.Match[str]) -> str:
        if part["comment"]:
            return part[0]
        if part["body"]:
            return delimiter
        name = quoted.replace("'", "''") if part["text"] else quoted
        return _TABLE.sub(lambda _: f"{name}.", part[0])

    return _PARTS.sub(put_in, text).encode()


@cache
def _number(text: str, schema: str, version: int | None) -> tuple[bytes, tuple[str, ...]]:
    rendered = _render(text, schema, version)
    if not _has_placeholders(text):
        # A percent sign in the schema's name is literal then.
        return rendered, ()
    names: dict[str, str] = {}

    def number(placeholder: re.Match[str]) -> str:
        name = placeholder[1]
        return names.setdefault(name, f"${len(names) + 1}") if name else "%"

    numbered = _PLACEHOLDER.sub(number, rendered.decode())
    return numbered.encode(), tuple(names)


_STYLES = {
    "format": "%s",
    "named": ":{name}",
    "numeric": ":{number}",
    "numeric_dollar": "${number}",
    "pyformat": "%({name})s",
    "qmark": "?",
}
_ONE_FOR_EACH = ("format", "qmark")
"""The styles in which a parameter that is used twice is sent twice."""


@cache
def _in_style(
    text: str, schema: str, style: str, version: int | None
) -> tuple[str, tuple[str, ...]]:
    # Without the comments, whose apostrophes some drivers take for quotes.
    rendered = _render(_COMMENT.sub("", text), schema, version).decode()
    if not _has_placeholders(text):
        return rendered, ()
    names: list[str] = []

    def put_in(placeholder: re.Match[str]) -> str:
        name = placeholder[1]
        if name is None:
            return "%%" if "format" in style else "%"
        if style in _ONE_FOR_EACH or name not in names:
            names.append(name)
        place = _STYLES[style].format(name=name, number=names.index(name) + 1)
        return f"{place}::text"

    styled = _PLACEHOLDER.sub(put_in, rendered)
    return styled, tuple(names)


def _delimiter(schema: str) -> str:
    """Return the delimiter of a function's body that contains the schema's name."""
    names = ("$body$", *(f"$body{number}$" for number in range(len(schema))))
    return next(name for name in names if name not in schema)


Plain = str | int | float | bool | datetime | timedelta | list[Any] | None


def as_text(value: Plain) -> str | None:
    """Return a value as PostgreSQL reads it, or None for NULL."""
    if value is None or type(value) is str:
        return value
    if isinstance(value, list):
        return _array(value)
    if isinstance(value, timedelta):
        return f"{value.total_seconds()!r} s"
    return str(value)


def as_bytes(value: Plain) -> bytes | None:
    """Return the encoded result of `as_text`.

    Raises:
        UnicodeEncodeError: for half of a surrogate pair.
    """
    text = as_text(value)
    return None if text is None else text.encode()


def _array(items: list[Any]) -> str:
    """Return a list as psycopg writes it."""
    from psycopg.adapt import PyFormat, Transformer  # noqa: PLC0415 - not for commands' help

    return bytes(Transformer().get_dumper(items, PyFormat.TEXT).dump(items) or b"").decode()


@dataclass(slots=True)
class Bound:
    """A statement with its encoded parameters: made ahead, to be sent quickly."""

    text: bytes
    names: tuple[str, ...]
    values: list[bytes | None]

    def put(self, name: str, number: float) -> None:
        """Replace the value of a parameter."""
        self.values[self.names.index(name)] = repr(number).encode()
