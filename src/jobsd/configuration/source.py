"""A configuration text, the spans of it that faults point at, and values with such spans.

Lines and columns count from 1, in characters of the file as it was written. An excerpt shows
one line and a caret below it; it is made for terminals, so it holds no control character and no
password.

Types of values are those of JSON and no others, by the rules of YAML 1.2 with the booleans of
1.1; a date, a sexagesimal number or `.nan` stays a text.
"""

from __future__ import annotations

import math
import os
import re
import stat
from bisect import bisect_right
from codecs import BOM_UTF8
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from unicodedata import combining, east_asian_width

from jobsd.errors import Fault

from .secrecy import Secrets

FILE_BYTES_MAX = 1 << 20

_WIDTH = 100
_BEFORE = 60
_FAR = 2000


class UnreadableError(Exception):
    """A file exists and can't be used; `fault` has the reason."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Source:
    """One file's text under its name for people.

    A flag or a variable is a source without a text: a fault names only the source.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.secrets = Secrets(text)
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def position(self, index: int) -> tuple[int, int]:
        """Return line and column of the character at `index`."""
        line = bisect_right(self._starts, index)
        return line, index - self._starts[line - 1] + 1

    def line(self, number: int) -> tuple[int, int]:
        """Return the beginning of a line and its end, without the line end."""
        start = self._starts[number - 1]
        end = self.text.find("\n", start)
        return start, end if end >= 0 else len(self.text)


@dataclass(frozen=True, slots=True)
class SourceSpan:
    """The characters of a source from `start` up to `end`."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        """The line in which it begins."""
        return self.source.position(self.start)[0]

    @property
    def name(self) -> str:
        """FILE:LINE:COLUMN of its beginning; without a text the name of the source."""
        if not self.source.text:
            return self.source.name
        line, column = self.source.position(self.start)
        return f"{self.source.name}:{line}:{column}"

    @property
    def is_secret(self) -> bool:
        """Whether a part of it is secret."""
        return bool(self.source.secrets.within(self.start, self.end))

    def fault(self, message: str, hint: str = "") -> Fault:
        """Return a fault at this span."""
        return Fault(message, self.name, _excerpt(self) if self.source.text else "", hint)


NOWHERE = SourceSpan(Source("the defaults", ""), 0, 0)
"""The span of values that are written nowhere."""


def read_source(root: Path, name: str) -> Source | None:
    """Return the text of the file with this name; None when there is none.

    Raises:
        UnreadableError: when it is not a file, too big, or not UTF-8.
    """
    try:
        content = _content(root / name)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableError(Fault(f"{name} can't be read: {reason}", name)) from None
    if content is None:
        raise UnreadableError(Fault(f"{name} is not a regular file", name))
    if len(content) > FILE_BYTES_MAX:
        raise UnreadableError(Fault(f"{name} is bigger than 1 MiB", name))
    return Source(name, _decoded(name, content))


def _content(path: Path) -> bytes | None:
    """Return at most a byte more than allowed; None if it isn't a regular file.

    Opened without waiting: a pipe without a writer would block the start for ever.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        with open(file, "rb", closefd=False) as opened:
            return opened.read(FILE_BYTES_MAX + 1)
    finally:
        os.close(file)


def _decoded(name: str, content: bytes) -> str:
    """Return the text with a line feed as its only line end, and without a byte order mark."""
    content = content.removeprefix(BOM_UTF8)
    try:
        return _with_newlines(content.decode())
    except UnicodeDecodeError as error:
        at = len(_with_newlines(content[: error.start].decode()))
        source = Source(name, _with_newlines(content.decode(errors="replace")))
        hint = "save the file as UTF-8"
        fault = SourceSpan(source, at, at + 1).fault("this is not UTF-8", hint)
        raise UnreadableError(fault) from None


def _with_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _excerpt(span: SourceSpan) -> str:
    line = span.line
    start, end = span.source.line(line)
    # A line may be the whole file, so text far from the caret is cut off first.
    start, end = max(start, span.start - _FAR), min(end, span.start + _FAR)
    shown = span.source.secrets.starred(start, end)
    first = max(0, span.start - start - _BEFORE)
    shown = "".join(map(_printable, shown[first : first + _WIDTH]))
    at = span.start - start - first
    marked = shown[at : at + max(1, span.end - span.start)].rstrip()
    caret = " " * _columns(shown[:at]) + "^" * max(1, _columns(marked))
    return f"{line:6} | {shown}".rstrip() + f"\n       | {caret}"


def _printable(character: str) -> str:
    if character == "\t":
        return " "
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"


def _columns(text: str) -> int:
    """Return how many columns of a terminal `text` takes."""
    return sum(
        0 if combining(character) else 2 if east_asian_width(character) in "WF" else 1
        for character in text
    )


_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {
    spelled: value
    for word, value in {
        **dict.fromkeys(("true", "yes", "on"), True),
        **dict.fromkeys(("false", "no", "off"), False),
    }.items()
    for spelled in (word, word.capitalize(), word.upper())
}
_WHOLE = re.compile(r"[-+]?(?:0|[1-9](?:_?[0-9]){0,400})")
_FRACTION = re.compile(
    r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+",
)


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """A text; a `plain` one was written without quotes, so that its form gives it a type.

    `variables` are the names of the variables in it, and `unset` the unset ones. A `refused`
    scalar has an invalid variable; its type is unknown.
    """

    span: SourceSpan
    text: str
    plain: bool
    variables: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    refused: bool = False

    @property
    def value(self) -> str | float | bool | None:
        """The value, typed."""
        return _typed(self.text.strip()) if self.plain else self.text

    @property
    def is_null(self) -> bool:
        """Whether it is written as null."""
        return self.plain and not self.refused and self.text.strip() in _NULLS


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """A list."""

    span: SourceSpan
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A key and its value."""

    key: Scalar
    value: Node


@dataclass(frozen=True, slots=True, eq=False)
class Mapping:
    """Pairs by the text of their keys."""

    span: SourceSpan
    pairs: dict[str, Pair]


Node: TypeAlias = Scalar | Sequence | Mapping


def is_null(node: Node) -> bool:
    """Return whether `node` is written as null."""
    return isinstance(node, Scalar) and node.is_null


def literal(node: Node) -> object:
    """Return the plain Python value of a node."""
    match node:
        case Scalar():
            return node.value
        case Sequence(items=items):
            return [literal(item) for item in items]
        case Mapping(pairs=pairs):
            return {key: literal(pair.value) for key, pair in pairs.items()}


def _typed(text: str) -> str | float | bool | None:
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _FRACTION.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text
