"""Writes arguments as JSON, and reads them again.

A value is written by its exact type, or by a base class of it. Only JSON written here can be
read; any other is refused.
"""

import dataclasses
import enum
import math
import re
import sys
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Any, TypeVar
from uuid import UUID

from jobsd.errors import ArgumentError
from jobsd.text import is_storable

from . import references
from .json_kinds import is_list, is_object
from .types import name_of, of_name

DEPTH_MAX = 100
INT_BITS_MAX = 14_000
"""Python parses no longer numbers from text by default, to limit the time for one number."""

_SMALL = 2**63

Where = int | str | tuple["Where", object]
"""The position of a value: an argument, by its number or as text, or a step into its container.
"""


def write(value: Any, where: Where, depth: int = 0) -> Any:  # noqa: ANN401 - any argument
    """Return a value as JSON.

    Raises:
        ArgumentError: with the position (`where`) of the value that can't be written.
    """
    if value is None or value is True or value is False:
        return value
    kind = _kind(value)
    if kind is int and -_SMALL < value < _SMALL:
        return value
    if depth > DEPTH_MAX:
        raise ArgumentError(
            f"{_outermost(where)} is nested deeper than {DEPTH_MAX} levels, or in itself"
        )
    writer = _WRITERS.get(kind) or _inherited_writer(value)
    if writer is None:
        raise ArgumentError(
            f"{path_of(where)} is of type {kind.__qualname__}, which can't be stored as JSON"
        )
    return writer(value, where, depth)


def _kind(value: object) -> type[Any]:
    return type(value)


class Attribute(str):
    """A step into an object, as opposed to one into a list or a dictionary."""

    __slots__ = ()


def path_of(where: Where) -> str:
    """Return the position of a value in Python's syntax: argument 1['a'][3].x."""
    if not isinstance(where, tuple):
        return where if isinstance(where, str) else f"argument {where}"
    outer, step = where
    return (
        f"{path_of(outer)}.{step}"
        if isinstance(step, Attribute)
        else (f"{path_of(outer)}[{step!r:.60}]")
    )


def _outermost(where: Where) -> str:
    while isinstance(where, tuple):
        where = where[0]
    return path_of(where)


def _inherited_writer(value: object) -> Callable[[Any, Where, int], Any] | None:
    if isinstance(value, enum.Enum):
        return _write_enum
    if isinstance(value, references.Reference):
        return lambda value, _where, _depth: references.written(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _write_dataclass
    for kind in (str, int, float, dict, list):
        if isinstance(value, kind):
            return _WRITERS[kind]
    if _is_decimal(value):
        return _write_as("$decimal", str)
    written = references.written(value)
    return None if written is None else lambda _value, _where, _depth: written


def _write_text(value: str, where: Where, depth: int) -> str:
    del depth
    return _text(str(value), where)


def _text(value: str, where: Where) -> str:
    if is_storable(value):
        return value
    nul, half = "a NUL character", "half of a surrogate pair"
    found = nul if "\0" in value else half
    raise ArgumentError(f"{path_of(where)} holds {found}, which PostgreSQL can't store")


def _write_int(value: int, where: Where, depth: int) -> int:
    del depth
    if value.bit_length() > INT_BITS_MAX:
        raise ArgumentError(
            f"{path_of(where)} is a whole number of more than {INT_BITS_MAX:,} bits"
        )
    return int(value)


def _write_float(value: float, where: Where, depth: int) -> Any:  # noqa: ANN401
    del where, depth
    text = repr(float(value))
    # jsonb would refuse it, or return it as an integer or without its sign.
    if not math.isfinite(value) or "e" in text or text == "-0.0":
        return {"$float": text}
    return float(value)


def _write_dict(value: dict[Any, Any], where: Where, depth: int) -> Any:  # noqa: ANN401
    if all(type(key) is str for key in value) and not is_tagged(value):
        return {_text(k, where): write(v, (where, k), depth + 1) for k, v in value.items()}
    pairs = [
        [write(k, where, depth + 1), write(v, (where, k), depth + 1)] for k, v in value.items()
    ]
    return {"$dict": pairs}


def is_tagged(value: Mapping[str, Any]) -> bool:
    """Return whether an object could be taken for a tagged value."""
    return len(value) == 1 and next(iter(value)).startswith("$")


def _write_enum(value: enum.Enum, where: Where, depth: int) -> Any:  # noqa: ANN401
    del depth
    # Combined flags have no name of their own.
    member = value.value if isinstance(value, enum.Flag) else value.name
    return {"$enum": [_registered_name(_kind(value), where), member]}


def _write_dataclass(value: Any, where: Where, depth: int) -> Any:  # noqa: ANN401
    name = _registered_name(_kind(value), where)
    fields = {
        field.name: write(getattr(value, field.name), (where, Attribute(field.name)), depth + 1)
        for field in dataclasses.fields(value)
        if field.init
    }
    return {"$dataclass": [name, fields]}


def _registered_name(kind: type[Any], where: Where) -> str:
    name = name_of(kind)
    if name is None:
        raise ArgumentError(
            f"{path_of(where)} is a {kind.__qualname__};"
            " register the class with @argument_type",
        )
    return name


def _write_items(tag: str | None) -> Callable[[Any, Where, int], Any]:
    def write_all(value: Any, where: Where, depth: int) -> Any:  # noqa: ANN401
        items = [write(item, (where, i), depth + 1) for i, item in enumerate(value)]
        return {tag: items} if tag else items

    return write_all


def _write_unordered(tag: str) -> Callable[[Any, Where, int], Any]:
    return lambda value, where, depth: {tag: [write(item, where, depth + 1) for item in value]}


def _write_as(tag: str, convert: Callable[[Any], Any]) -> Callable[[Any, Where, int], Any]:
    return lambda value, _where, _depth: {tag: convert(value)}


def _write_datetime(value: datetime) -> Any:  # noqa: ANN401
    zone = None if value.tzinfo is None else _zone_name(value.tzinfo)
    if value.fold:
        return [value.isoformat(), zone, 1]
    return [value.isoformat(), zone] if zone else value.isoformat()


def _zone_name(zone: tzinfo) -> str | None:
    """Return the name of a time zone, if it has one."""
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - slow to load, and seldom needed

    return zone.key if isinstance(zone, ZoneInfo) else None


def _write_time(value: time, where: Where, depth: int) -> Any:  # noqa: ANN401
    del depth
    if value.tzinfo is not None and value.utcoffset() is None:
        raise ArgumentError(
            f"{path_of(where)} is a time whose zone has no offset without a date"
        )
    return {"$time": [value.isoformat(), 1] if value.fold else value.isoformat()}


def _write_bytes(value: bytes) -> str:
    from base64 import b64encode  # noqa: PLC0415 - slow to load, and seldom needed

    return b64encode(value).decode()


def _is_decimal(value: object) -> bool:
    # A decimal exists only if the module is loaded, which takes 1 % of a quick command.
    module = sys.modules.get("decimal")
    return module is not None and type(value) is module.Decimal


_WRITERS: dict[type, Callable[[Any, Where, int], Any]] = {
    str: _write_text,
    int: _write_int,
    float: _write_float,
    dict: _write_dict,
    list: _write_items(None),
    tuple: _write_items("$tuple"),
    set: _write_unordered("$set"),
    frozenset: _write_unordered("$frozenset"),
    datetime: _write_as("$datetime", _write_datetime),
    date: _write_as("$date", date.isoformat),
    time: _write_time,
    timedelta: _write_as("$timedelta", lambda d: [d.days, d.seconds, d.microseconds]),
    UUID: _write_as("$uuid", str),
    bytes: _write_as("$bytes", _write_bytes),
}


AS_THEY_ARE = frozenset({str, int, float, bool, type(None)})
"""JSON types that need no conversion."""

_TINY_OFFSET = re.compile(r"([+-])00:00:00\.(\d{6})$")
_Clock = TypeVar("_Clock", datetime, time)


def read(value: Any, depth: int = 0) -> Any:  # noqa: ANN401 - any argument
    """Return the Python value of a JSON value.

    Raises:
        ArgumentError: for an unknown tag, or one with invalid content.
    """
    if depth > DEPTH_MAX * 2:
        raise ArgumentError("the arguments are nested too deeply")
    if is_list(value):
        return [read(item, depth + 1) for item in value]
    if not is_object(value):
        return value
    if is_tagged(value):
        return _read_tagged(*next(iter(value.items())), depth)
    return {key: read(item, depth + 1) for key, item in value.items()}


def _read_tagged(tag: str, held: Any, depth: int) -> Any:  # noqa: ANN401
    reader = _READERS.get(tag)
    if reader is None:
        if (reference := references.read(tag, held)) is not None:
            return reference
        raise ArgumentError(f"the arguments hold an unknown tag {tag!r}")
    try:
        return reader(held, depth + 1)
    except ArgumentError:
        raise
    except Exception as error:
        # A forged value makes the type raise this, or the user's own class raises it.
        raise ArgumentError(f"the arguments hold a {tag} that is none: {error}") from error


def _read_datetime(held: Any, depth: int) -> datetime:  # noqa: ANN401
    del depth
    if isinstance(held, str):
        return _in_its_zone(datetime.fromisoformat(held), held)
    text, name, *folded = held
    moment = _in_its_zone(datetime.fromisoformat(text), text).replace(fold=len(folded))
    if name is None:
        return moment
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - slow to load, and seldom needed

    zone = ZoneInfo(name)
    # Keep the wall-clock time, even if the zone skips it.
    for fold in (moment.fold, 1 - moment.fold):
        local = moment.replace(tzinfo=zone, fold=fold)
        if local.utcoffset() == moment.utcoffset():
            return local
    # The zone's rules have changed since then: keep the instant.
    return moment.astimezone(zone)


def _read_time(held: Any, depth: int) -> time:  # noqa: ANN401
    del depth
    if isinstance(held, str):
        return _in_its_zone(time.fromisoformat(held), held)
    text, fold = held
    return _in_its_zone(time.fromisoformat(text), text).replace(fold=fold)


def _in_its_zone(clock: _Clock, text: str) -> _Clock:
    """Restore an offset of less than a second, which Python treats as none."""
    found = _TINY_OFFSET.search(text)
    if found is None:
        return clock
    return clock.replace(tzinfo=timezone(timedelta(microseconds=int(found[1] + found[2]))))


def _read_enum(held: Any, depth: int) -> enum.Enum:  # noqa: ANN401
    del depth
    name, member = held
    kind = _registered(name)
    if not issubclass(kind, enum.Enum):
        raise ArgumentError(f"{name!r} is not an enumeration")
    return kind(member) if issubclass(kind, enum.Flag) else kind[member]


def _read_dataclass(held: Any, depth: int) -> Any:  # noqa: ANN401
    name, fields = held
    kind = _registered(name)
    if not dataclasses.is_dataclass(kind):
        raise ArgumentError(f"{name!r} is not a dataclass")
    return kind(**{key: read(value, depth) for key, value in fields.items()})


def _registered(name: str) -> type[Any]:
    kind = of_name(name)
    if kind is None:
        raise ArgumentError(f"the arguments hold a {name!r}, which is not registered here")
    return kind


def _read_items(kind: Callable[[list[Any]], Any]) -> Callable[[Any, int], Any]:
    def read_all(held: Any, depth: int) -> Any:  # noqa: ANN401
        if not is_list(held):
            raise TypeError("a list is expected")
        return kind([read(item, depth) for item in held])

    return read_all


def _read_decimal(held: Any, _depth: int) -> object:  # noqa: ANN401
    from decimal import Decimal  # noqa: PLC0415 - slow to load, and seldom needed

    return Decimal(held)


def _read_bytes(held: Any, _depth: int) -> bytes:  # noqa: ANN401
    from base64 import b64decode  # noqa: PLC0415 - slow to load, and seldom needed

    return b64decode(held, validate=True)


_READERS: dict[str, Callable[[Any, int], Any]] = {
    "$float": lambda held, _depth: float(held),
    "$tuple": _read_items(tuple),
    "$set": _read_items(set),
    "$frozenset": _read_items(frozenset),
    "$dict": lambda held, depth: {read(k, depth): read(v, depth) for k, v in held},
    "$datetime": _read_datetime,
    "$date": lambda held, _depth: date.fromisoformat(held),
    "$time": _read_time,
    "$timedelta": lambda held, _depth: timedelta(*held),
    "$decimal": _read_decimal,
    "$uuid": lambda held, _depth: UUID(held),
    "$bytes": _read_bytes,
    "$enum": _read_enum,
    "$dataclass": _read_dataclass,
}
