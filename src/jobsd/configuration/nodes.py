"""A YAML document as values with source spans.

Types are those of JSON and no others, by the rules of YAML 1.2 with the booleans of 1.1;
a date, a sexagesimal number or `.nan` stays the text it is.
"""

from __future__ import annotations

import math
from typing import TypeAlias

from jobsd.late import dataclass, pattern

from .source import SourceSpan

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {
    spelled: value
    for word, value in {
        **dict.fromkeys(("true", "yes", "on"), True),
        **dict.fromkeys(("false", "no", "off"), False),
    }.items()
    for spelled in (word, word.capitalize(), word.upper())
}
_WHOLE = pattern(r"[-+]?(?:0|[1-9](?:_?[0-9]){0,400})")
_FRACTION = pattern(
    r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+",
)


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """A text; a `plain` one was written without quotes, so that its form gives it a type.

    `variables` are the names of the variables in it. Of a `refused` one, which has a text in
    the place of a variable that is none, nobody knows what it was to be.
    """

    span: SourceSpan
    text: str
    plain: bool
    variables: tuple[str, ...] = ()
    refused: bool = False

    @property
    def value(self) -> str | float | bool | None:
        """The value, typed."""
        return _typed(self.text.strip()) if self.plain else self.text

    @property
    def is_null(self) -> bool:
        """Whether it is written as nothing."""
        return self.plain and not self.refused and self.text.strip() in _NULLS


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """A list."""

    span: SourceSpan
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A key and what it holds."""

    key: Scalar
    value: Node


@dataclass(frozen=True, slots=True, eq=False)
class Mapping:
    """Pairs by the text of their keys."""

    span: SourceSpan
    pairs: dict[str, Pair]


Node: TypeAlias = Scalar | Sequence | Mapping


def is_null(node: Node) -> bool:
    """Return whether `node` is written as nothing."""
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
