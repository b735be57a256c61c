"""Dataclasses and patterns that are made, and modules that are loaded, when first needed.

A command should have ended within 100 ms, and what it loads has eighty dataclasses and a
hundred patterns, most of which it never uses.

The decorator of `dataclasses` writes six methods of a class as text and compiles them, which
takes half a millisecond. Here only `__init__` is compiled, for the first instance; the other
methods are the same few functions for all classes. A type checker sees the original, and it is
used like that one. What programs of users make themselves (`Limit`, `Retry`) is left to the
original: its `__init__` shows them from the start what it takes.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from operator import attrgetter
from reprlib import recursive_repr
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

__all__ = ["dataclass", "modules", "pattern"]


def modules(package: str, names: Sequence[str]) -> Callable[[str], ModuleType]:
    """Return the `__getattr__` of a package: it loads one of these modules when first asked.

    So a command names at its top the rooms that it uses, and its help loads nothing of them.
    """

    def load(name: str) -> ModuleType:
        if name not in names:
            # `from package import other` asks for it before it looks for the module.
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return import_module(f"{package}.{name}")

    return load


class _Pattern:
    """A pattern of `re` that is compiled when one of its methods is first asked for."""

    def __init__(self, *given: Any) -> None:  # noqa: ANN401 - what `re.compile` takes
        self._given = given

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a method of it
        found = getattr(re.compile(*self._given), name)
        setattr(self, name, found)
        return found


def _dataclass(
    cls: Any = None,  # noqa: ANN401 - a class
    /,
    *,
    frozen: bool = False,
    eq: bool = True,
    **options: Any,  # noqa: ANN401 - those of `dataclasses`
) -> Any:  # noqa: ANN401
    """Do what `dataclasses.dataclass` does, and write nothing before the first instance."""
    if cls is None:
        return partial(_dataclass, frozen=frozen, eq=eq, **options)
    # Else one is made of the signature, which takes a millisecond.
    cls.__doc__ = cls.__doc__ or cls.__name__
    made: Any = dataclasses.dataclass(cls, init=False, repr=False, eq=False, **options)
    methods = {"__init__": _first_init(made, frozen=frozen), "__repr__": _repr}
    if eq:
        methods |= _comparison(made, hashes=frozen)
    if frozen:
        methods |= {"__setattr__": _refuse, "__delattr__": _refuse}
        if options.get("slots"):
            methods["__setstate__"] = _restore
    for name, method in methods.items():
        if name not in vars(cls):
            setattr(made, name, method)
    return made


def _first_init(made: Any, *, frozen: bool) -> Callable[..., None]:  # noqa: ANN401 - a class
    """Return an `__init__` that puts the right one into its place, and calls that."""

    def __init__(self: object, *values: object, **named: object) -> None:  # noqa: N807
        made.__init__ = _init(made, frozen=frozen)
        made.__init__(self, *values, **named)

    return __init__


def _init(made: Any, *, frozen: bool) -> Callable[..., None]:  # noqa: ANN401
    """Compile the `__init__` that `dataclasses` would have made."""
    fields = dataclasses.fields(made)
    words = list(_parameters(fields, named_only=False))
    named = list(_parameters(fields, named_only=True))
    lines = [f"def __init__({', '.join(['self', *words, *(['*', *named] if named else [])])}):"]
    lines += [_assignment(field, frozen=frozen) for field in fields if _is_set(field)]
    lines.append("self.__post_init__()" if hasattr(made, "__post_init__") else "pass")
    scope: dict[str, Any] = {"_set": object.__setattr__, "_made": _MADE}
    scope |= {f"_of_{field.name}": _default(field) for field in fields}
    exec("\n ".join(lines), scope)  # noqa: S102 - made of names that are in our classes
    init: Callable[..., None] = scope["__init__"]
    init.__qualname__ = f"{made.__qualname__}.__init__"
    return init


_MADE = object()
"""Stands for what a `default_factory` makes."""


def _parameters(
    fields: tuple[dataclasses.Field[Any], ...], *, named_only: bool
) -> Iterator[str]:
    for field in fields:
        if field.init and field.kw_only is named_only:
            if field.default is not dataclasses.MISSING:
                yield f"{field.name}=_of_{field.name}"
            elif field.default_factory is not dataclasses.MISSING:
                yield f"{field.name}=_made"
            else:
                yield field.name


def _is_set(field: dataclasses.Field[Any]) -> bool:
    return field.init or _default(field) is not dataclasses.MISSING


def _default(field: dataclasses.Field[Any]) -> Any:  # noqa: ANN401
    """Return the default of a field, or what makes it."""
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory


def _assignment(field: dataclasses.Field[Any], *, frozen: bool) -> str:
    name = field.name
    value = name if field.init else f"_of_{name}"
    if field.default_factory is not dataclasses.MISSING:
        value = f"_of_{name}() if {name} is _made else {name}" if field.init else f"{value}()"
    return f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}"


def _comparison(made: type, *, hashes: bool) -> dict[str, Any]:
    """Return the methods by which instances are equal when their fields are."""
    names = [field.name for field in dataclasses.fields(made) if field.compare]
    values: Callable[[object], Any] = attrgetter(*names) if names else _nothing

    def __eq__(self: object, other: object) -> bool:  # noqa: N807
        if other.__class__ is not self.__class__:
            return NotImplemented
        return bool(values(self) == values(other))

    def __hash__(self: object) -> int:  # noqa: N807
        return hash(values(self))

    return {"__eq__": __eq__, "__hash__": __hash__ if hashes else None}


def _nothing(_: object) -> tuple[()]:
    return ()


@recursive_repr()
def _repr(self: Any) -> str:  # noqa: ANN401
    shown = [field.name for field in dataclasses.fields(self) if field.repr]
    values = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
    return f"{self.__class__.__qualname__}({values})"


def _refuse(self: object, name: str, *_value: object) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot change {name!r} of {self!r:.100}")


if TYPE_CHECKING:
    from dataclasses import dataclass
    from re import compile as pattern
else:
    dataclass, pattern = _dataclass, _Pattern


def _restore(self: object, state: tuple[None, dict[str, object]]) -> None:
    """Fill a copy: `copy` and `pickle` would set each slot, which is refused."""
    for name, value in state[1].items():
        object.__setattr__(self, name, value)
