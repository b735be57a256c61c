"""Reads mappings field by field: each field has a name, a kind and a default.

    with Entry(node, "workers[0]", span, faults) as entry:
        threads = entry.read("threads", whole(1, 256), 3)

A kind returns the value of a node or raises `Mistake`; `read` makes a fault of that, at the
span of the value, and goes on with the default. A key that was never read is unknown: leaving
the block adds a fault of it, with the nearest name.
"""

from __future__ import annotations

from typing import Self, TypeVar

from . import kinds, source
from .faults import Faults, Mistake, Mistakes, known, nearest, quoted
from .source import Mapping, Node, Scalar, Sequence, is_null

T = TypeVar("T")


class Entry:
    """One mapping while it is read; `node` None: all values are defaults."""

    def __init__(
        self, node: Mapping | None, path: str, span: source.SourceSpan, faults: Faults
    ) -> None:
        self.span = span
        self.path = path
        self._pairs = node.pairs if node else {}
        self._faults = faults
        self._asked: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for key in () if self._faults.full else self.unknown():
            where = f" in {self.path}" if self.path else ""
            message = f"unknown key {quoted(key)}{where}"
            self._faults.add(self._pairs[key].key.span, message, known(key, self._asked))

    def unknown(self) -> list[str]:
        """Return the keys that were not read so far."""
        return [key for key in self._pairs if key not in self._asked]

    def has(self, key: str) -> bool:
        """Return whether the mapping has the key, with any value."""
        return key in self._pairs

    def is_given(self, key: str) -> bool:
        """Return whether the mapping has the key, with a value other than null."""
        return self.node(key) is not None

    def node(self, key: str) -> Node | None:
        """Return the value of a key; None when that is null."""
        self._asked.add(key)
        pair = self._pairs.get(key)
        return None if pair is None or is_null(pair.value) else pair.value

    def read(self, key: str, kind: kinds.Kind[T], default: T) -> T:
        """Return the field's value; the default when it is missing or faulty."""
        self._asked.add(key)
        if (pair := self._pairs.get(key)) is None:
            return default
        return take(pair.value, kind, self.path_of(key), self._faults, default=default)

    def mapping(self, key: str) -> Entry:
        """Return the mapping under a key, to be read in its turn."""
        return self.inner(key, self.node(key))

    def mappings(self, key: str) -> tuple[Entry, ...] | None:
        """Return the list of mappings under a key; None when it is missing."""
        node = self.node(key)
        if node is None:
            return None
        if not isinstance(node, Sequence):
            hint = "put a dash before the first key" if isinstance(node, Mapping) else ""
            refuse(node, self.path_of(key), Mistake("must be a list", hint), self._faults)
            return ()
        return tuple(self.inner(f"{key}[{i}]", item) for i, item in enumerate(node.items))

    def inner(self, key: str, node: Node | None) -> Entry:
        """Return an entry for a node below this one."""
        if node is None or isinstance(node, Mapping) or is_null(node):
            mapping = node if isinstance(node, Mapping) else None
        else:
            mapping = None
            refuse(node, self.path_of(key), Mistake("must be a mapping"), self._faults)
        span = self.span if node is None else node.span
        return Entry(mapping, self.path_of(key), span, self._faults)

    def missing(self, hint: str, *keys: str) -> None:
        """Add a fault for keys none of which is given, unless a misspelt one explains it."""
        if any(nearest(key, self._asked.union(keys)) in keys for key in self.unknown()):
            return
        neither = f"{self.path} has neither {' nor '.join(keys)}"
        message = f"{self.path_of(keys[0])} is missing" if len(keys) == 1 else neither
        self._faults.add(self.span, message, hint)

    def wrong(self, key: str, message: str, hint: str = "") -> None:
        """Add a fault of a field that is valid by itself and conflicts with others."""
        self._faults.add(self.span_of(key), f"{self.path_of(key)} {message}", hint)

    def span_of(self, key: str) -> source.SourceSpan:
        """Return the span of a field's value; if it is missing, the span of the mapping."""
        pair = self._pairs.get(key)
        return pair.value.span if pair else self.span

    def path_of(self, key: str) -> str:
        """Return the name of a field in messages."""
        return f"{self.path}.{key}" if self.path else key


def take(node: Node, kind: kinds.Kind[T], path: str, faults: Faults, *, default: T) -> T:
    """Return the value of a node; the default, and its faults, when it is invalid."""
    try:
        return kind(node)
    except Mistake as mistake:
        refuse(node, path, mistake, faults)
    except Mistakes as several:
        for item, index, each in several.found:
            refuse(item, f"{path}{index}", each, faults)
    return default


def refuse(node: Node, path: str, mistake: Mistake, faults: Faults) -> None:
    """Add the fault of one value, unless it has one already."""
    if isinstance(node, Scalar) and node.refused:
        return
    quotes_value = mistake.quotes_value and not node.span.is_secret
    given = f", not {shown(node)}" if quotes_value else ""
    origin = ""
    if isinstance(node, Scalar) and node.variables:
        if node.text.strip():
            origin = f"the value comes from {', '.join(node.variables)}"
        else:
            given = f"; {_without_value(node)}"
    hint = "; ".join(filter(None, (mistake.hint, origin)))
    faults.add(node.span, f"{path} {mistake.message}{given}", hint)


def shown(node: Node) -> str:
    """Return the given value in the words of a fault."""
    match node:
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list"
        case Scalar() if node.is_null:
            return "an empty value"
        case Scalar() if node.plain and not isinstance(node.value, str):
            return node.text.strip()[:40]
        case _:
            return quoted(node.text)


def _without_value(node: Scalar) -> str:
    """Return why each of the variables in an empty value is empty."""
    return ", ".join(
        f"{name} is {'not set' if name in node.unset else 'set but has no value'}"
        for name in node.variables
    )
