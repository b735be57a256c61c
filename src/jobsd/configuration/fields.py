"""Reads mappings field by field: each field has a name, a kind and a default.

    with Entry(node, "workers[0]", place, faults) as entry:
        threads = entry.read("threads", whole(1, 256), 3)

A kind is a function from a node to its value that raises `Mistake`; `read` makes a fault
of that, at the value's place, and goes on with the default. What was never read is an
unknown key: leaving the block tells so, with the nearest name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from jobsd.configuration.faults import Mistake, known, nearest, quoted
from jobsd.configuration.kinds import text
from jobsd.configuration.names import listed
from jobsd.configuration.nodes import Mapping, Scalar, Sequence, is_null

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from jobsd.configuration.faults import Faults
    from jobsd.configuration.kinds import Kind
    from jobsd.configuration.nodes import Node
    from jobsd.configuration.source import Place

T = TypeVar("T")


class Entry:
    """One mapping while it is read; `node` None: nothing is given, all is default."""

    def __init__(self, node: Mapping | None, path: str, place: Place, faults: Faults) -> None:
        self.place = place
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
            self._faults.add(self._pairs[key].key.place, message, known(key, self._asked))

    def unknown(self) -> list[str]:
        """Return the keys that nobody has asked for so far."""
        return [key for key in self._pairs if key not in self._asked]

    def has(self, key: str) -> bool:
        """Return whether the key stands there, whatever it holds."""
        return key in self._pairs

    def is_given(self, key: str) -> bool:
        """Return whether the key stands there and holds something."""
        return self.node(key) is not None

    def node(self, key: str) -> Node | None:
        """Return what a key holds; None when that is nothing."""
        self._asked.add(key)
        pair = self._pairs.get(key)
        return None if pair is None or is_null(pair.value) else pair.value

    def read(self, key: str, kind: Kind[T], default: T) -> T:
        """Return the field's value; the default when it is missing or faulty."""
        self._asked.add(key)
        if (pair := self._pairs.get(key)) is None:
            return default
        try:
            return kind(pair.value)
        except Mistake as mistake:
            self.refuse(pair.value, self.path_of(key), mistake)
            return default

    def texts(
        self, key: str, kind: Callable[[str], T], default: tuple[T, ...]
    ) -> tuple[T, ...]:
        """Return a list of texts, which may be written as one text with commas in it."""
        node = self.node(key)
        if isinstance(node, Mapping):
            self.refuse(node, self.path_of(key), Mistake("must be a list"))
        found: list[T] = []
        for path, item in _items(self.path_of(key), node):
            try:
                found.append(text(kind)(item))
            except Mistake as mistake:
                self.refuse(item, path, mistake)
        return tuple(found) or default

    def mapping(self, key: str) -> Entry:
        """Return the mapping that a key holds, to be read in its turn."""
        return self.inner(key, self.node(key))

    def mappings(self, key: str) -> tuple[Entry, ...] | None:
        """Return the list of mappings that a key holds; None when it is missing."""
        node = self.node(key)
        if node is None:
            return None
        if not isinstance(node, Sequence):
            hint = "put a dash before the first key" if isinstance(node, Mapping) else ""
            self.refuse(node, self.path_of(key), Mistake("must be a list", hint))
            return ()
        return tuple(self.inner(f"{key}[{i}]", item) for i, item in enumerate(node.items))

    def inner(self, key: str, node: Node | None) -> Entry:
        """Return an entry for a node below this one."""
        if node is None or isinstance(node, Mapping) or is_null(node):
            mapping = node if isinstance(node, Mapping) else None
        else:
            mapping = None
            self.refuse(node, self.path_of(key), Mistake("must be a mapping"))
        place = self.place if node is None else node.place
        return Entry(mapping, self.path_of(key), place, self._faults)

    def missing(self, what: str, keys: set[str], hint: str) -> None:
        """Add a fault of what is not given, unless a misspelt key explains it."""
        if not any(nearest(key, self._asked | keys) in keys for key in self.unknown()):
            self._faults.add(self.place, f"{self.path_of(what)} is missing", hint)

    def wrong(self, key: str, message: str, hint: str = "") -> None:
        """Add a fault of a field that is good by itself and bad among the others."""
        self._faults.add(self.place_of(key), f"{self.path_of(key)} {message}", hint)

    def refuse(self, node: Node, path: str, mistake: Mistake) -> None:
        """Add a fault of one value."""
        tells_value = mistake.tells_value and not node.place.is_secret
        given = f", not {shown(node)}" if tells_value else ""
        origin = f"the value comes from {variables(node)}" if variables(node) else ""
        hint = "; ".join(filter(None, (mistake.hint, origin)))
        self._faults.add(node.place, f"{path} {mistake.message}{given}", hint)

    def place_of(self, key: str) -> Place:
        """Return where a field's value stands; where it is missing, the mapping's place."""
        pair = self._pairs.get(key)
        return pair.value.place if pair else self.place

    def path_of(self, key: str) -> str:
        """Return the name of a field as people are told it."""
        return f"{self.path}.{key}" if self.path else key


def shown(node: Node) -> str:
    """Return how a fault calls what was given."""
    match node:
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list"
        case Scalar() if node.is_null:
            return "nothing"
        case Scalar() if node.plain and not isinstance(node.value, str):
            return node.text.strip()[:40]
        case _:
            return quoted(node.text)


def _items(path: str, node: Node | None) -> Iterator[tuple[str, Node]]:
    match node:
        case Sequence(items=items):
            for i, item in enumerate(items):
                yield f"{path}[{i}]", item
        case Scalar():
            for part in listed(node.text):
                yield path, Scalar(node.place, part, plain=False, variables=node.variables)
        case _:
            return


def variables(node: Node) -> str:
    """Return the names of the variables that a value came from."""
    return ", ".join(node.variables) if isinstance(node, Scalar) else ""
