"""A job's arguments as JSON, and back: what goes in comes out, or is refused at once.

A list holds positional arguments; an object holds keyword arguments; with both, the last
element of the list is `{"$keywords": {…}}`. Values that JSON does not have are objects
with one key that begins with "$": `{"$decimal": "1.10"}`. Dictionaries that look like this
themselves, or whose keys are no strings, are written as `{"$dict": [[key, value], …]}`.

Nothing here imports, evaluates or unpickles: enumerations and dataclasses are found by
the name under which the program itself has registered them with `argument_type`.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import json
import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from jobsd.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SIZE_MAX = 1024 * 1024
"""Bytes of JSON; a job that needs more should be given a reference."""

DEPTH_MAX = 100

_T = TypeVar("_T")
_types: dict[str, type[Any]] = {}
_names: dict[type[Any], str] = {}


def argument_type(kind: type[_T], *, name: str | None = None) -> type[_T]:
    """Register an enumeration or a dataclass, so that arguments may hold it; a decorator.

    `name` is what is stored; without it, the class's module and name.

    Raises:
        ArgumentError: for any other class, and for a name that another class has.
    """
    allowed = issubclass(kind, enum.Enum) or dataclasses.is_dataclass(kind)
    if not allowed:
        raise ArgumentError(f"{kind.__qualname__} is neither an enumeration nor a dataclass")
    name = name or f"{kind.__module__}.{kind.__qualname__}"
    known = _types.get(name, kind)
    if (known.__module__, known.__qualname__) != (kind.__module__, kind.__qualname__):
        raise ArgumentError(f"{name!r} is registered for {known!r} already")
    _types[name], _names[kind] = kind, name
    return kind


def dump(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return the arguments as JSON text.

    Raises:
        ArgumentError: saying which argument can't be written, or that they are too large.
    """
    written: Any = [_write(value, f"argument {i + 1}", 0) for i, value in enumerate(args)]
    keywords = {key: _write(value, f"argument {key!r}", 0) for key, value in kwargs.items()}
    if keywords:
        # Alone they are the object itself, as long as it can't be taken for a tagged value.
        plain = not written and not _looks_tagged(keywords)
        written = keywords if plain else [*written, {"$keywords": keywords}]
    text = json.dumps(written, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    check_size(text)
    return text


def check_size(text: str) -> None:
    """Return when the JSON text is small enough to be stored.

    Raises:
        ArgumentError: when it is not.
    """
    if len(text) * 4 > SIZE_MAX and (size := len(text.encode())) > SIZE_MAX:
        raise ArgumentError(
            f"the arguments take {size:,} bytes; at most {SIZE_MAX:,} are stored:"
            " pass a reference instead",
        )


def load(text: str) -> tuple[list[Any], dict[str, Any]]:
    """Return positional and keyword arguments from JSON text.

    Raises:
        ArgumentError: when it holds what this program does not know, or is no list or object.
    """
    if text == "[]":
        return [], {}
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"the arguments are no JSON: {error}") from error
    items, keywords = _split(raw)
    return (
        [_read(value, 0) for value in items],
        {key: _read(value, 0) for key, value in keywords.items()},
    )


def _split(raw: Any) -> tuple[list[Any], dict[str, Any]]:  # noqa: ANN401 - any JSON
    if _is_object(raw):
        return [], raw
    if not _is_list(raw):
        raise ArgumentError("the arguments must be a JSON list or object")
    last = raw[-1] if raw else None
    if not _is_object(last) or list(last) != ["$keywords"]:
        return raw, {}
    if not _is_object(keywords := last["$keywords"]):
        raise ArgumentError("$keywords must hold an object")
    return raw[:-1], keywords


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


# Writing: the exact type decides, then what it derives from.


def _write(value: Any, where: str, depth: int) -> Any:  # noqa: ANN401 - any argument
    if value is None or value is True or value is False or type(value) is int:
        return value
    if depth > DEPTH_MAX:
        raise ArgumentError(f"{where} is nested deeper than {DEPTH_MAX} levels, or in itself")
    if type(value) is str:
        return _text(value, where)
    writer = _WRITERS.get(_kind(value)) or _inherited_writer(value)
    if writer is None:
        kind = type(value).__qualname__
        raise ArgumentError(
            f"{where} is a {kind}, which can't be stored as JSON: {value!r:.80}"
        )
    return writer(value, where, depth)


def _kind(value: object) -> type[Any]:
    return type(value)


def _inherited_writer(value: object) -> Callable[[Any, str, int], Any] | None:
    if isinstance(value, enum.Enum):
        return _write_enum
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _write_dataclass
    for kind in (str, int, float, dict, list):
        if isinstance(value, kind):
            return _WRITERS[kind]
    return None


def _text(value: str, where: str) -> str:
    if "\0" in value:
        raise ArgumentError(f"{where} holds a NUL character, which PostgreSQL can't store")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ArgumentError(
            f"{where} holds half of a surrogate pair, which is no text"
        ) from None
    return value


def _write_float(value: float, where: str, depth: int) -> Any:  # noqa: ANN401
    del where, depth
    text = repr(float(value))
    # What jsonb would refuse, or give back as an integer or without its sign.
    if not math.isfinite(value) or "e" in text or text == "-0.0":
        return {"$float": text}
    return float(value)


def _write_dict(value: dict[Any, Any], where: str, depth: int) -> Any:  # noqa: ANN401
    if all(type(key) is str for key in value) and not _looks_tagged(value):
        return {_text(k, where): _write(v, where, depth + 1) for k, v in value.items()}
    pairs = [
        [_write(k, where, depth + 1), _write(v, where, depth + 1)] for k, v in value.items()
    ]
    return {"$dict": pairs}


def _looks_tagged(value: Mapping[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith("$")


def _write_enum(value: enum.Enum, where: str, depth: int) -> Any:  # noqa: ANN401
    del depth
    return {"$enum": [_registered_name(_kind(value), where), value.name]}


def _write_dataclass(value: Any, where: str, depth: int) -> Any:  # noqa: ANN401
    name = _registered_name(_kind(value), where)
    fields = {
        field.name: _write(getattr(value, field.name), f"{where}.{field.name}", depth + 1)
        for field in dataclasses.fields(value)
        if field.init
    }
    return {"$dataclass": [name, fields]}


def _registered_name(kind: type[Any], where: str) -> str:
    name = _names.get(kind)
    if name is None:
        raise ArgumentError(
            f"{where} is a {kind.__qualname__}; register the class with @argument_type",
        )
    return name


def _write_items(tag: str | None) -> Callable[[Any, str, int], Any]:
    def write(value: Any, where: str, depth: int) -> Any:  # noqa: ANN401
        items = [_write(item, where, depth + 1) for item in value]
        return {tag: items} if tag else items

    return write


def _write_as(tag: str, convert: Callable[[Any], Any]) -> Callable[[Any, str, int], Any]:
    return lambda value, _where, _depth: {tag: convert(value)}


def _write_datetime(value: datetime) -> Any:  # noqa: ANN401
    zone = value.tzinfo.key if isinstance(value.tzinfo, ZoneInfo) else None
    # The name of the zone is kept; `fold` is in the offset.
    return [value.isoformat(), zone] if zone else value.isoformat()


def _write_time(value: time, where: str, depth: int) -> Any:  # noqa: ANN401
    del depth
    if value.tzinfo is not None and value.utcoffset() is None:
        raise ArgumentError(f"{where} is a time whose zone has no offset without a date")
    return {"$time": value.isoformat()}


_WRITERS: dict[type, Callable[[Any, str, int], Any]] = {
    str: lambda value, where, _depth: _text(str(value), where),
    int: lambda value, _where, _depth: int(value),
    float: _write_float,
    dict: _write_dict,
    list: _write_items(None),
    tuple: _write_items("$tuple"),
    set: _write_items("$set"),
    frozenset: _write_items("$frozenset"),
    datetime: _write_as("$datetime", _write_datetime),
    date: _write_as("$date", date.isoformat),
    time: _write_time,
    timedelta: _write_as("$timedelta", lambda d: [d.days, d.seconds, d.microseconds]),
    Decimal: _write_as("$decimal", str),
    UUID: _write_as("$uuid", str),
    bytes: _write_as("$bytes", lambda raw: base64.b64encode(raw).decode()),
}


# Reading.


def _read(value: Any, depth: int) -> Any:  # noqa: ANN401
    if depth > DEPTH_MAX * 2:
        raise ArgumentError("the arguments are nested too deeply")
    if _is_list(value):
        return [_read(item, depth + 1) for item in value]
    if not _is_object(value):
        return value
    if _looks_tagged(value):
        return _read_tagged(*next(iter(value.items())), depth)
    return {key: _read(item, depth + 1) for key, item in value.items()}


def _read_tagged(tag: str, held: Any, depth: int) -> Any:  # noqa: ANN401
    reader = _READERS.get(tag)
    if reader is None:
        raise ArgumentError(f"the arguments hold an unknown tag {tag!r}")
    try:
        return reader(held, depth + 1)
    except ArgumentError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, InvalidOperation) as error:
        raise ArgumentError(f"the arguments hold a {tag} that is none: {error}") from error


def _read_datetime(held: Any, depth: int) -> datetime:  # noqa: ANN401
    del depth
    if isinstance(held, str):
        return datetime.fromisoformat(held)
    text, zone = held
    return datetime.fromisoformat(text).astimezone(ZoneInfo(zone))


def _read_enum(held: Any, depth: int) -> enum.Enum:  # noqa: ANN401
    del depth
    name, member = held
    kind = _registered(name)
    if not issubclass(kind, enum.Enum):
        raise ArgumentError(f"{name!r} is no enumeration")
    return kind[member]


def _read_dataclass(held: Any, depth: int) -> Any:  # noqa: ANN401
    name, fields = held
    kind = _registered(name)
    if not dataclasses.is_dataclass(kind):
        raise ArgumentError(f"{name!r} is no dataclass")
    return kind(**{key: _read(value, depth) for key, value in fields.items()})


def _registered(name: str) -> type[Any]:
    kind = _types.get(name)
    if kind is None:
        raise ArgumentError(f"the arguments hold a {name!r}, which is not registered here")
    return kind


def _read_items(kind: Callable[[list[Any]], Any]) -> Callable[[Any, int], Any]:
    def read(held: Any, depth: int) -> Any:  # noqa: ANN401
        if not _is_list(held):
            raise TypeError("a list is expected")
        return kind([_read(item, depth) for item in held])

    return read


_READERS: dict[str, Callable[[Any, int], Any]] = {
    "$float": lambda held, _depth: float(held),
    "$tuple": _read_items(tuple),
    "$set": _read_items(set),
    "$frozenset": _read_items(frozenset),
    "$dict": lambda held, depth: {_read(k, depth): _read(v, depth) for k, v in held},
    "$datetime": _read_datetime,
    "$date": lambda held, _depth: date.fromisoformat(held),
    "$time": lambda held, _depth: time.fromisoformat(held),
    "$timedelta": lambda held, _depth: timedelta(*held),
    "$decimal": lambda held, _depth: Decimal(held),
    "$uuid": lambda held, _depth: UUID(held),
    "$bytes": lambda held, _depth: base64.b64decode(held, validate=True),
    "$enum": _read_enum,
    "$dataclass": _read_dataclass,
}
