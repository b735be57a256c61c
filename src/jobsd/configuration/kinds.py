"""What a field may hold: functions from a node to its value that raise `Mistake`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from jobsd.clock import parse_duration
from jobsd.configuration.faults import Mistake
from jobsd.configuration.nodes import Node, Scalar, is_null

T = TypeVar("T")
Kind: TypeAlias = Callable[[Node], T]

DAY_S = 86_400.0
LONGEST_S = 36_500 * DAY_S

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def whole(low: int, high: int) -> Kind[int]:
    """Make a kind: a whole number."""

    def read(node: Node) -> int:
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        hint = "remove the quotes" if isinstance(value, str) and value.isdecimal() else ""
        raise Mistake(f"must be a whole number from {low} to {high}", hint)

    return read


def boolean(node: Node) -> bool:
    """Read true or false."""
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node.value
    raise Mistake("must be true or false")


def duration(low: float, high: float = LONGEST_S) -> Kind[float]:
    """Make a kind: seconds, or a number with a unit; `low` itself is allowed."""

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

    return read


def in_units(seconds: float) -> str:
    """Write seconds as people do."""
    for unit, length in (("d", DAY_S), ("h", 3600.0), ("m", 60.0), ("s", 1.0)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds * 1000:g}ms" if seconds else "0"


def size(low: int) -> Kind[int]:
    """Make a kind: bytes, or a number with one of the units KB MB GB TB (powers of 1,024)."""

    def read(node: Node) -> int:
        given = _SIZE.fullmatch(node.text.strip()) if isinstance(node, Scalar) else None
        if given is None or len(given[1]) > 20:
            raise Mistake("must be a size", "write bytes, or 512MB 2GB")
        found = int(float(given[1]) * 1024 ** _POWERS[given[2].upper()])
        if not low <= found < 1 << 62:
            raise Mistake(f"must be at least {low >> 20}MB")
        return found

    return read


def text(kind: Callable[[str], T]) -> Kind[T]:
    """Make a kind of a reader of texts; what looks like a number is a text here."""

    def read(node: Node) -> T:
        if not isinstance(node, Scalar):
            raise Mistake("must be a text")
        if node.is_null:
            raise Mistake("must not be empty", tells_value=False)
        return kind(node.text.strip() if node.plain else node.text)

    return read


def optional(kind: Kind[T]) -> Kind[T | None]:
    """Make a kind that takes nothing for None."""

    def read(node: Node) -> T | None:
        return None if is_null(node) else kind(node)

    return read
