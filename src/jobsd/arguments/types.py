"""The enumerations and dataclasses that arguments may hold: by registered name only."""

from __future__ import annotations

import dataclasses
import enum
import inspect
from typing import Any, TypeVar

from jobsd.errors import ArgumentError
from jobsd.text import is_storable

_T = TypeVar("_T")
_types: dict[str, type[Any]] = {}
_names: dict[type[Any], str] = {}


def argument_type(kind: type[_T], *, name: str | None = None) -> type[_T]:
    """Register an enumeration or a dataclass as a type of arguments; a decorator.

    `name` is the stored name; default: the module and name of the class.

    Raises:
        ArgumentError: for any other class, for a class that can't be made from its fields
            alone, and for a name that another class has or that can't be stored.
    """
    allowed = issubclass(kind, enum.Enum) or dataclasses.is_dataclass(kind)
    if not allowed:
        raise ArgumentError(f"{kind.__qualname__} is neither an enumeration nor a dataclass")
    if needed := _not_kept(kind):
        raise ArgumentError(f"{kind.__qualname__} can't be made from its fields: {needed}")
    name = name or f"{kind.__module__}.{kind.__qualname__}"
    if not is_storable(name):
        raise ArgumentError(f"{name!r} holds a character that can't be stored")
    known = _types.get(name, kind)
    if (known.__module__, known.__qualname__) != (kind.__module__, kind.__qualname__):
        raise ArgumentError(f"{name!r} is registered for {known!r} already")
    _types[name], _names[kind] = kind, name
    return kind


def name_of(kind: type[Any]) -> str | None:
    """Return the name under which a class is registered, or None."""
    return _names.get(kind)


def of_name(name: str) -> type[Any] | None:
    """Return the class that is registered under a name, or None."""
    return _types.get(name)


def _not_kept(kind: type[Any]) -> str:
    """Return the arguments that a dataclass requires although they are no fields of it."""
    if not dataclasses.is_dataclass(kind):
        return ""
    kept = {field.name for field in dataclasses.fields(kind) if field.init}
    return ", ".join(
        f"{name!r} is needed"
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
        and name not in kept
    )
