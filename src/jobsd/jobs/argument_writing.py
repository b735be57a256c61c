"""Values as JSON: the exact type decides, then what it derives from."""

from __future__ import annotations

import base64
import dataclasses
import enum
import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from jobsd.errors import ArgumentError

from .argument_types import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEPTH_MAX = 100


def write(value: Any, where: str, depth: int = 0) -> Any:  # noqa: ANN401 - any argument
    """Return a value as JSON has it.

    Raises:
        ArgumentError: naming `where` the value stands that can't be written.
    """
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
    if all(type(key) is str for key in value) and not looks_tagged(value):
        return {_text(k, where): write(v, where, depth + 1) for k, v in value.items()}
    pairs = [[write(k, where, depth + 1), write(v, where, depth + 1)] for k, v in value.items()]
    return {"$dict": pairs}


def looks_tagged(value: Mapping[str, Any]) -> bool:
    """Return whether an object could be taken for a value that JSON does not have."""
    return len(value) == 1 and next(iter(value)).startswith("$")


def _write_enum(value: enum.Enum, where: str, depth: int) -> Any:  # noqa: ANN401
    del depth
    return {"$enum": [_registered_name(_kind(value), where), value.name]}


def _write_dataclass(value: Any, where: str, depth: int) -> Any:  # noqa: ANN401
    name = _registered_name(_kind(value), where)
    fields = {
        field.name: write(getattr(value, field.name), f"{where}.{field.name}", depth + 1)
        for field in dataclasses.fields(value)
        if field.init
    }
    return {"$dataclass": [name, fields]}


def _registered_name(kind: type[Any], where: str) -> str:
    name = name_of(kind)
    if name is None:
        raise ArgumentError(
            f"{where} is a {kind.__qualname__}; register the class with @argument_type",
        )
    return name


def _write_items(tag: str | None) -> Callable[[Any, str, int], Any]:
    def write_all(value: Any, where: str, depth: int) -> Any:  # noqa: ANN401
        items = [write(item, where, depth + 1) for item in value]
        return {tag: items} if tag else items

    return write_all


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
