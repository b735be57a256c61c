"""Arguments that refer to objects of a framework, which are loaded again for each attempt.

A worker loads the objects when it performs the job, within the middleware: by then the
framework's connections are good, and an error is the job's own.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Reference:
    """A stored argument whose object is not loaded yet."""

    tag: str
    held: Any

    def __repr__(self) -> str:
        kind = _kinds.get(self.tag)
        return f"{self.tag} {self.held}" if kind is None else kind.show(self.held)


class Kind(Protocol):
    """A kind of object: how it is written as JSON with a tag, and loaded again."""

    tag: str
    base: type[Any]

    def write(self, value: Any) -> Any:  # noqa: ANN401 - the framework's
        """Return JSON that finds the object again."""

    def find(self, held: Any) -> Any:  # noqa: ANN401
        """Return the object of this JSON."""

    async def find_soon(self, held: Any) -> Any:  # noqa: ANN401
        """Do the same without blocking the event loop."""

    def show(self, held: Any) -> str:  # noqa: ANN401
        """Return a name of the object for people, without loading it."""
        ...


_kinds: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Register a kind, so that arguments may hold its objects."""
    _kinds[kind.tag] = kind


def written(value: Any) -> dict[str, Any] | None:  # noqa: ANN401
    """Return the stored form of an object; None for an object of no registered kind."""
    if type(value) is Reference:
        return {value.tag: value.held}
    for kind in _kinds.values():
        if isinstance(value, kind.base):
            return {kind.tag: kind.write(value)}
    return None


def referred(value: Any) -> Any:  # noqa: ANN401
    """Return a value with references for its objects of registered kinds, as `load` has it."""
    kind: type[Any] = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind is dict:
        return {key: referred(item) for key, item in value.items()}
    if kind in {list, tuple}:
        made: Any = kind(map(referred, value))  # pyright: ignore[reportUnknownVariableType]
        return made
    if kind is Reference or (stored := written(value)) is None:
        return value
    ((tag, held),) = stored.items()
    return Reference(tag, json.loads(json.dumps(held)))


def read(tag: str, held: Any) -> Reference | None:  # noqa: ANN401
    """Return the reference of a tag; None for a tag of no registered kind."""
    return Reference(tag, held) if tag in _kinds else None


def found(
    args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Return arguments with the objects to which they refer."""
    if not _kinds or not (asked := _references([*args, *kwargs.values()])):
        return args, kwargs
    objects = {id(each): _kinds[each.tag].find(each.held) for each in asked}
    return _with(list(args), objects), _with(dict(kwargs), objects)


async def found_soon(
    args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Do the same in a coroutine."""
    if not _kinds or not (asked := _references([*args, *kwargs.values()])):
        return args, kwargs
    objects = {id(each): await _kinds[each.tag].find_soon(each.held) for each in asked}
    return _with(list(args), objects), _with(dict(kwargs), objects)


def _references(value: Any) -> list[Reference]:  # noqa: ANN401
    """Return all references in lists, tuples and dictionaries."""
    kind: type[Any] = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind is Reference:
        return [value]
    if kind is dict:
        return _references([*value.values()])
    if kind in {list, tuple}:
        return [each for item in value for each in _references(item)]
    return []


def _with(value: Any, objects: Mapping[int, Any]) -> Any:  # noqa: ANN401
    kind: type[Any] = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind is Reference:
        return objects[id(value)]
    if kind is dict:
        return {key: _with(item, objects) for key, item in value.items()}
    if kind in {list, tuple}:
        made: Any = kind([_with(item, objects) for item in value])  # pyright: ignore[reportUnknownVariableType]
        return made
    return value
