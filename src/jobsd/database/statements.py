"""The `.sql` files: one statement after the other, each under its name.

A file lies beside the module that speaks it. A statement begins with a comment of the
form `-- name: what it does` and ends with a semicolon. Tables are written `jobsd.name`;
`Statement.render` puts the configured schema in its place, once for each schema, since a
`search_path` does not survive a transaction pooler.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA_BYTES_MAX = 48
"""Longer names would not leave room for the channel's name, whose limit is 63 bytes."""

_HEAD = re.compile(r"^-- ([a-z][a-z0-9_]*): ", re.MULTILINE)
_TABLE = re.compile(r"\bjobsd\.(?=[a-z])")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, or a list of common table expressions that begin one."""

    name: str
    text: str

    def render(self, schema: str) -> bytes:
        """Return the statement for this schema."""
        return _render(self.text, schema)

    def with_(self, other: Statement) -> Statement:
        """Return one statement that does both: ours are its first table expressions."""
        return Statement(f"{self.name}+{other.name}", f"{self.text},\n{other.text}")

    def after(self, words: str) -> Statement:
        """Return the statement with `words` before it."""
        return Statement(self.name, f"{words}\n{self.text}")


class Statements:
    """The statements of one file, by their names."""

    def __init__(self, package: str, filename: str) -> None:
        self.filename = filename
        text = (files(package) / filename).read_text(encoding="utf-8")
        self._named = {statement.name: statement for statement in _split(text)}

    def __getitem__(self, name: str) -> Statement:
        return self._named[name]

    def __iter__(self) -> Iterator[Statement]:
        return iter(self._named.values())


def quote_identifier(name: str) -> str:
    """Return the name as SQL writes it, whatever it holds."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def channel(schema: str) -> str:
    """Return the notification channel of the queue that lives in this schema."""
    return _render("jobsd.wake", schema).decode()


def _split(text: str) -> Iterator[Statement]:
    heads = list(_HEAD.finditer(text))
    # Only the first comment line of a statement names it: one that follows another
    # comment or stands inside a statement is prose.
    starts = [head for head in heads if _opens(text, head.start())]
    ends = [head.start() for head in starts[1:]] + [len(text)]
    for head, end in zip(starts, ends, strict=True):
        yield Statement(head[1], text[head.start() : end].strip().removesuffix(";"))


def _opens(text: str, position: int) -> bool:
    before = text[:position].rstrip()
    return before == "" or before.endswith(";")


@cache
def _render(text: str, schema: str) -> bytes:
    quoted = quote_identifier(schema)
    return _TABLE.sub(lambda _: f"{quoted}.", text).encode()
