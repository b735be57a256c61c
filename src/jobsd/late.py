"""Dataclasses and patterns that are made, and modules that are loaded, when first needed.

A command should have ended within 100 ms, and what it loads has eighty dataclasses and a
hundred patterns, most of which it never uses.

The decorator of `dataclasses` writes six methods of a class as text and compiles them, which
takes half a millisecond or more. Here a class takes 24 µs: only `__init__` is compiled, when
it is first asked for, and so are the fields found out; the other methods are the same few
functions for all classes. A type checker sees the original, and it is used like that one.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from operator import attrgetter
from reprlib import recursive_repr
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeGuard

__all__ = ["dataclass", "fields", "modules", "pattern", "patterns_of"]


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

    def __init__(self, *given: Any, **named: Any) -> None:  # noqa: ANN401 - as `re.compile`
        self._given, self._named = given, named

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a method of it
        found = getattr(re.compile(*self._given, **self._named), name)
        setattr(self, name, found)
        return found


@contextmanager
def patterns_of(package: str) -> Generator[None]:
    """Let the patterns of a package that is loaded meanwhile be compiled when first asked.

    What other packages compile, in this thread or in another, is compiled as ever.
    """
    compile_at_once = re.compile

    def compile_late(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - as `re.compile`
        who = sys._getframe(1).f_globals.get("__name__", "")  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        late = who.startswith(f"{package}.")
        return (_Pattern if late else compile_at_once)(*given, **named)

    re.compile = compile_late
    try:
        yield
    finally:
        re.compile = compile_at_once


_Field: TypeAlias = "dataclasses.Field[Any]"


class _Late:
    """An attribute of a class: made of the class when it is first asked for."""

    __slots__ = ("_made", "_make", "_name")
    _made: Any

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __set_name__(self, made: Any, name: str) -> None:  # noqa: ANN401 - a class
        self._made, self._name = made, name

    def __get__(self, instance: object, cls: type) -> Any:  # noqa: ANN401 - any attribute
        found = self._make(self._made)
        setattr(self._made, self._name, found)
        return found.__get__(instance, cls) if hasattr(found, "__get__") else found


class _Init(_Late):
    """The `__init__` of a class, which is compiled once there are more than a few instances.

    To compile it takes a tenth of a millisecond, to do without takes 5 µs for each instance.
    """

    __slots__ = ("_left",)

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__(make)
        self._left = _FEW

    def __get__(self, instance: object, cls: type) -> Any:  # noqa: ANN401 - as above
        # The class itself, or None, comes with who wants to see what is taken.
        if not (self._left and isinstance(instance, self._made)):
            return super().__get__(instance, cls)
        self._left -= 1
        return partial(self._fill, instance, cls)

    def _fill(self, instance: Any, cls: type, /, *values: object, **named: object) -> None:  # noqa: ANN401
        found = _taken(self._made.__late_fields__, values, named)
        if found is None:  # it raises what Python says of wrong arguments
            super().__get__(instance, cls)(*values, **named)
            return
        for name, value in found.items():
            object.__setattr__(instance, name, value)
        if hasattr(instance, "__post_init__"):
            instance.__post_init__()


_FEW = 10


def _dataclass(
    cls: Any = None,  # noqa: ANN401 - a class
    /,
    *,
    frozen: bool = False,
    eq: bool = True,
    **options: bool,
) -> Any:  # noqa: ANN401
    """Do what `dataclasses.dataclass` does, and look at no field before it is asked for."""
    if cls is None:
        return partial(_dataclass, frozen=frozen, eq=eq, **options)
    written: dict[str, Any] = {**vars(cls), "__doc__": cls.__doc__ or cls.__name__}
    for name in ("__dict__", "__weakref__"):
        written.pop(name, None)
    defaults = {name: written.pop(name) for name in cls.__annotations__ if name in written}
    kw_only = options.get("kw_only", False)
    original = partial(_original, defaults, kw_only=kw_only)
    body: dict[str, Any] = {
        "__late_fields__": _Late(partial(_fields, defaults, kw_only=kw_only)),
        "__dataclass_fields__": _Late(lambda made: original(made).__dataclass_fields__),
        "__dataclass_params__": _Late(lambda made: original(made).__dataclass_params__),
        "__match_args__": _Late(_match_args),
        "__init__": _Init(partial(_init, frozen=frozen)),
        "__repr__": _repr,
        "__replace__": dataclasses.replace,  # for `copy.replace`, since 3.13
    }
    if eq:
        body |= {"__eq__": _Late(_equal), "__hash__": _Late(_hash) if frozen else None}
    if frozen:
        body |= {"__setattr__": _refuse, "__delattr__": _refuse, "__setstate__": _restore}
    if options.get("slots"):
        body["__slots__"] = _slots(cls, weakref=options.get("weakref_slot", False))
    else:
        body |= _attributes(defaults)
    body |= written
    return type(cls)(cls.__name__, cls.__bases__, body)


def _slots(cls: type, *, weakref: bool) -> tuple[str, ...]:
    taken = {name for base in cls.__mro__[1:-1] for name in vars(base).get("__slots__", ())}
    names = [name for name in cls.__annotations__ if name not in taken]
    return (*names, "__weakref__") if weakref else tuple(names)


def _is_field(value: object) -> TypeGuard[_Field]:
    return isinstance(value, dataclasses.Field)


def _attributes(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults as they stand in a class without slots."""
    values = {n: d.default if _is_field(d) else d for n, d in defaults.items()}
    return {name: each for name, each in values.items() if each is not dataclasses.MISSING}


def _fields(defaults: Mapping[str, Any], made: Any, *, kw_only: bool) -> dict[str, _Field]:  # noqa: ANN401
    """Return the fields by their names, those of the bases first."""
    found: dict[str, _Field] = {}
    for base in made.__bases__:
        found |= getattr(base, "__late_fields__", {})
    for name, annotation in made.__annotations__.items():
        given = defaults.get(name, dataclasses.MISSING)
        found[name] = field = given if _is_field(given) else dataclasses.field(default=given)
        field.name, field.type = name, annotation
        if field.kw_only is dataclasses.MISSING:
            field.kw_only = kw_only
    return found


def _fields_of(found: Any) -> tuple[_Field, ...]:  # noqa: ANN401 - a class or an instance
    """Do what `dataclasses.fields` does, for the classes that are made here."""
    return tuple(found.__late_fields__.values())


def _original(defaults: Mapping[str, Any], made: Any, *, kw_only: bool) -> Any:  # noqa: ANN401
    """Return what `dataclasses` makes of the fields: in `made` slots have replaced defaults."""
    bases = tuple(base for base in made.__bases__ if hasattr(base, "__late_fields__"))
    facts = {"__module__": made.__module__, "__annotations__": made.__annotations__}
    # Without a docstring one would be made of the signature, which takes a millisecond.
    copy: Any = type(made.__name__, bases, {**facts, "__doc__": made.__doc__, **defaults})
    return dataclasses.dataclass(copy, init=False, repr=False, eq=False, kw_only=kw_only)


def _match_args(made: Any) -> tuple[str, ...]:  # noqa: ANN401
    fields: dict[str, _Field] = made.__late_fields__
    return tuple(name for name, each in fields.items() if each.init and not each.kw_only)


def _taken(
    fields: Mapping[str, _Field], values: Sequence[object], named: Mapping[str, object]
) -> dict[str, object] | None:
    """Return the values of the fields for these arguments; None when they are wrong."""
    words = [name for name, each in fields.items() if each.init and not each.kw_only]
    given = {**dict(zip(words, values, strict=False)), **named}
    if len(given) < len(values) + len(named):
        return None
    found: dict[str, object] = {}
    for name, each in fields.items():
        if each.init and name in given:
            found[name] = given.pop(name)
        elif each.default is not dataclasses.MISSING:
            found[name] = each.default
        elif each.default_factory is not dataclasses.MISSING:
            found[name] = each.default_factory()
        elif each.init:
            return None
    return None if given else found


def _init(made: Any, *, frozen: bool) -> Callable[..., None]:  # noqa: ANN401
    """Compile the `__init__` that `dataclasses` would have made."""
    fields: dict[str, _Field] = made.__late_fields__
    words = list(_parameters(fields, named_only=False))
    named = list(_parameters(fields, named_only=True))
    lines = [f"def __init__({', '.join(['self', *words, *(['*', *named] if named else [])])}):"]
    lines += [_assignment(field, frozen=frozen) for field in fields.values() if _is_set(field)]
    lines.append("self.__post_init__()" if hasattr(made, "__post_init__") else "pass")
    scope: dict[str, Any] = {"_set": object.__setattr__, "_made": _MADE}
    scope |= {f"_of_{name}": _default(field) for name, field in fields.items()}
    exec("\n ".join(lines), scope)  # noqa: S102 - made of names that are in our classes
    init: Callable[..., None] = scope["__init__"]
    init.__qualname__ = f"{made.__qualname__}.__init__"
    init.__annotations__ = {name: each.type for name, each in fields.items() if each.init}
    init.__annotations__["return"] = None
    return init


_MADE = object()
"""Stands for what a `default_factory` makes."""


def _parameters(fields: Mapping[str, _Field], *, named_only: bool) -> Iterator[str]:
    for field in fields.values():
        if field.init and field.kw_only is named_only:
            if field.default is not dataclasses.MISSING:
                yield f"{field.name}=_of_{field.name}"
            elif field.default_factory is not dataclasses.MISSING:
                yield f"{field.name}=_made"
            else:
                yield field.name


def _is_set(field: _Field) -> bool:
    return field.init or _default(field) is not dataclasses.MISSING


def _default(field: _Field) -> Any:  # noqa: ANN401
    """Return the default of a field, or what makes it."""
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory


def _assignment(field: _Field, *, frozen: bool) -> str:
    name = field.name
    value = name if field.init else f"_of_{name}"
    if field.default_factory is not dataclasses.MISSING:
        value = f"_of_{name}() if {name} is _made else {name}" if field.init else f"{value}()"
    return f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}"


def _equal(made: Any) -> Callable[[object, object], bool]:  # noqa: ANN401
    values = _compared(made)

    def __eq__(self: object, other: object) -> bool:  # noqa: N807
        if other.__class__ is not self.__class__:
            return NotImplemented
        return bool(values(self) == values(other))

    return __eq__


def _hash(made: Any) -> Callable[[object], int]:  # noqa: ANN401
    values = _compared(made)

    def __hash__(self: object) -> int:  # noqa: N807
        return hash(values(self))

    return __hash__


def _compared(made: Any) -> Callable[[object], Any]:  # noqa: ANN401
    """Return what gives the values of an instance by which it is equal to another."""
    names = [name for name, field in made.__late_fields__.items() if field.compare]
    return attrgetter(*names) if names else _nothing


def _nothing(_: object) -> tuple[()]:
    return ()


@recursive_repr()
def _repr(self: Any) -> str:  # noqa: ANN401
    shown = [name for name, field in self.__late_fields__.items() if field.repr]
    values = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
    return f"{self.__class__.__qualname__}({values})"


def _refuse(self: object, name: str, *_value: object) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot change {name!r} of {self!r:.100}")


if TYPE_CHECKING:
    from dataclasses import dataclass, fields
    from re import compile as pattern
else:
    dataclass, fields, pattern = _dataclass, _fields_of, _Pattern


def _restore(self: object, state: tuple[None, dict[str, object]]) -> None:
    """Fill a copy: `copy` and `pickle` would set each slot, which is refused."""
    for name, value in state[1].items():
        object.__setattr__(self, name, value)
